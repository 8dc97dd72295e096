"""Clients of WES that others wrote, and the ones of `examples/wes`, against the real system."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from tests.interop.environments import CLIENTS, SCRIPTS, Client
from tests.system.processes import System, running_system, wait_until

from penstock_gateway.authentication.passwords import hash_password

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "wes"
DEADLINE_S = 120.0
SUMMARY = "raven\t21\ntyger\t10\n"

pytestmark = pytest.mark.system
needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None and "CI" not in os.environ, reason="the example is a script of curl, which is missing"
)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Generator[System]:
    with running_system(tmp_path_factory.mktemp("interop")) as system:
        yield system


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Generator[System]:
    """A system that accepts alice's password, and tokens."""
    settings = {"AUTH_METHOD": "basic,token", "BASIC_AUTH_USERS": f"alice:{hash_password('secret')}:submitter"}
    with running_system(tmp_path_factory.mktemp("guarded"), **settings) as system:
        yield system


def run(command: list[str], folder: Path, *, code: int = 0, **environ: str) -> str:
    """Run a program that ends with `code`, and return what it wrote."""
    kept = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(
        command, cwd=folder, env={**kept, **environ}, capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def wes_url(system: System) -> str:
    return f"{system.url}/ga4gh/wes/v1"


def example(system: System, folder: Path, *arguments: str, code: int = 0, **environ: str) -> str:
    """Run the example client."""
    command = [sys.executable, str(EXAMPLES / "wes_client.py"), *arguments]
    return run(command, folder, code=code, WES_URL=wes_url(system), **environ)


@pytest.mark.parametrize(
    "client",
    [
        pytest.param(one_client, id=one_client.name, marks=pytest.mark.interop(one_client.name))
        for one_client in CLIENTS
    ],
)
def test_a_client_by_others_lists_submits_follows_and_cancels(
    client: Client, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    assert client.is_there, f"{client.name} is not installed in {client.folder}: `make interop` installs it"
    system: System = request.getfixturevalue("guarded" if client.has_password else "system")
    workflow = EXAMPLES / "workflows" / "word-count"

    # -P: what is beside the script is not to be found in place of the package that it is named after.
    output = run([str(client.python), "-P", str(SCRIPTS / client.script), wes_url(system), str(workflow)], tmp_path)

    saw: dict[str, Any] = json.loads(output)
    assert saw["service"] == "Penstock"
    assert saw["completed"]["state"] == "COMPLETE"
    assert saw["cancelled"]["state"] == "CANCELED"
    assert saw["listed"][:2] == [saw["cancelled"]["id"], saw["completed"]["id"]], "newest first"
    assert saw["completed"].get("outputs", ["numbers.txt"])[-1] in ("numbers.txt", "results/summary.tsv")
    assert "3 of 3 steps" in saw.get("log", "3 of 3 steps")
    assert saw.get("refused", 400) == 400


def test_the_example_client_runs_a_workflow_of_many_files(system: System, tmp_path: Path) -> None:
    def offers_snakemake() -> bool:
        return "SMK" in json.loads(example(system, tmp_path, "service-info"))["workflow_type_versions"]

    wait_until(offers_snakemake, deadline_s=DEADLINE_S, what="a runner that offers Snakemake")

    workflow, params = str(EXAMPLES / "workflows" / "word-count"), str(EXAMPLES / "inputs" / "word-count.json")
    submitted = ("submit", workflow, "--params", params, "--tag", "project=poems", "--engine", "keep-going", "--watch")
    run_id = example(system, tmp_path, *submitted).strip()

    assert f"{run_id}\tCOMPLETE" in example(system, tmp_path, "list", "--state", "COMPLETE")
    tasks = [line.split("\t") for line in example(system, tmp_path, "tasks", run_id).splitlines()]
    assert sorted(name for _, name, _ in tasks) == ["all", "count", "count", "summary"]
    count = next(task_id for task_id, name, _ in tasks if name == "count")
    assert "counting" in example(system, tmp_path, "logs", run_id, count)
    assert "4 of 4 steps" in example(system, tmp_path, "logs", run_id, "--follow")
    example(system, tmp_path, "outputs", run_id, "--to", "fetched")
    assert (tmp_path / "fetched" / "results" / "summary.tsv").read_text() == SUMMARY


def test_the_example_client_cancels_and_reports_how_a_run_ended(system: System, tmp_path: Path) -> None:
    (tmp_path / "long.json").write_text('{"pause_s": 600}')
    workflow = str(EXAMPLES / "workflows" / "one-file.smk")
    run_id = example(system, tmp_path, "submit", workflow, "--params", "long.json").strip()

    example(system, tmp_path, "cancel", run_id)

    example(system, tmp_path, "watch", run_id, code=10)
    assert run_id in example(system, tmp_path, "list", "--state", "CANCELED")


def test_the_example_client_reports_a_refusal_in_one_line(system: System, tmp_path: Path) -> None:
    example(system, tmp_path, "watch", "nobody", code=1)


@needs_curl
def test_the_example_script_runs_its_workflows(system: System, tmp_path: Path) -> None:
    output = run(["bash", str(EXAMPLES / "run_workflows.sh")], tmp_path, WES_URL=wes_url(system))

    assert SUMMARY in output
    assert "numbers:\n" + "".join(f"{number}\n" for number in range(1, 11)) in output
    assert output.splitlines()[-1].endswith("was cancelled")


def test_the_examples_show_who_they_are(guarded: System, tmp_path: Path) -> None:
    login = urllib3.make_headers(basic_auth="alice:secret")["authorization"]
    status, issued = guarded.post("/tokens", {"name": "of the examples"}, authorization=login)
    assert status == 201

    example(guarded, tmp_path, "list", code=1)
    example(guarded, tmp_path, "list", WES_USER="alice", WES_PASSWORD="secret")
    token = issued["token"]
    workflow, params = str(EXAMPLES / "workflows" / "one-file.smk"), str(EXAMPLES / "inputs" / "one-file.json")
    run_id = example(guarded, tmp_path, "submit", workflow, "--params", params, "--watch", WES_TOKEN=token).strip()
    example(guarded, tmp_path, "outputs", run_id, "--to", "fetched", WES_TOKEN=token)
    assert (tmp_path / "fetched" / "numbers.txt").read_text().split()[-1] == "10"


@needs_curl
def test_the_example_script_shows_who_it_is(guarded: System, tmp_path: Path) -> None:
    script, url = ["bash", str(EXAMPLES / "run_workflows.sh")], wes_url(guarded)
    assert SUMMARY in run(script, tmp_path, WES_URL=url, WES_USER="alice", WES_PASSWORD="secret")
