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
    assert capsys.readouterr().out == ""
    assert module.VALUE == 1
    assert capsys.readouterr().out == "executed\n"


def test_a_missing_module_stays_missing() -> None:
    with deferred("deferred_missing"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("deferred_missing")


@pytest.mark.system
def test_an_attempt_has_the_client_of_s3_when_it_uses_it() -> None:
    program = """
import sys
import penstock_engines.snakemake.attempt_process.attempt
assert "botocore.session" not in sys.modules, "it was executed before it was used"
import smart_open.transport
s3 = smart_open.transport.get_transport("s3")
assert s3.boto3.client is not None
assert "botocore.session" in sys.modules
assert issubclass(s3.botocore.client.ClientError, Exception)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
