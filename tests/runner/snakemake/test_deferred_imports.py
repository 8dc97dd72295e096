"""Modules that are executed when something of them is used."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from penstock_engines.snakemake.attempt_process.deferred_imports import deferred


def test_a_deferred_module_is_executed_at_its_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deferred_example.py").write_text("print('executed')\nVALUE = 1\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with deferred("deferred_example"):
        module = importlib.import_module("deferred_example")
        assert importlib.import_module("deferred_example") is module
        exec("import deferred_example", {})
    assert capsys.readouterr().out == ""
    assert module.VALUE == 1
    assert capsys.readouterr().out == "executed\n"


def test_a_missing_module_stays_missing() -> None:
    with deferred("deferred_missing"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("deferred_missing")


@pytest.mark.system
def test_an_attempt_has_the_clients_of_other_hosts_when_it_uses_them() -> None:
    program = """
import sys
import penstock_engines.snakemake.attempt_process.attempt
for module in ("botocore.session", "requests.sessions", "snakemake.report"):
    assert module not in sys.modules, f"{module} was executed before it was used"
import smart_open.transport
s3 = smart_open.transport.get_transport("s3")
assert s3.boto3.client is not None
assert "botocore.session" in sys.modules
assert issubclass(s3.botocore.client.ClientError, Exception)
import smart_open.http
assert smart_open.http.requests.get is not None
from requests.auth import HTTPBasicAuth
import snakemake.report
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


RECORDS = """
import json
import os
import sys
from pathlib import Path
from penstock_engines.snakemake.attempt_process.deferred_imports import database_left_out

if sys.argv[1] == "without":
    with database_left_out():
        import snakemake.api
    assert not {"sqlalchemy", "sqlmodel"} & sys.modules.keys()
from snakemake.api import SnakemakeApi
from snakemake.settings.enums import PersistenceBackend
from snakemake.settings.types import OutputSettings, ResourceSettings, WorkflowSettings

Path("Snakefile").write_text(
    'rule a:\\n    output: "a.txt"\\n    params: n=1\\n    log: "a.log"\\n'
    '    shell: "echo {params.n} > {output} 2> {log}"\\n'
)
backend = PersistenceBackend.parse_choice(sys.argv[2])
times = []
for _ in range(2):
    with SnakemakeApi(OutputSettings(quiet={"all"})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            workflow_settings=WorkflowSettings(persistence_backend=backend),
            snakefile=Path("Snakefile"),
        )
        workflow.dag().execute_workflow()
    times.append(os.stat("a.txt").st_mtime_ns)
assert times[0] == times[1], "the record of the first run was not found"
for record in Path(".snakemake").glob("metadata/*"):
    print(json.dumps({**json.loads(record.read_text()), "starttime": 0, "endtime": 0, "job_hash": 0}, sort_keys=True))
import sqlalchemy, sqlmodel
assert sqlmodel.SQLModel.metadata is not None and sqlalchemy.create_engine is not None
"""


def records_of(folder: Path, *arguments: str) -> str:
    folder.mkdir()
    command = [sys.executable, "-c", RECORDS, *arguments]
    done = subprocess.run(command, check=False, timeout=120, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.system
def test_records_are_the_same_without_the_database(tmp_path: Path) -> None:
    without = records_of(tmp_path / "without", "without", "file")
    assert '"log": ["a.log"]' in without
    assert without == records_of(tmp_path / "with", "with", "file")


@pytest.mark.system
def test_a_run_that_chooses_the_database_has_it(tmp_path: Path) -> None:
    records_of(tmp_path / "run", "without", "db")
    assert (tmp_path / "run/.snakemake/metadata.db").is_file()
