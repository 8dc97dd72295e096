"""A machine whose kernel has no Landlock: `auto` runs there and says what is missing, `required` does not start."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.runner.snakemake.lab import Lab

from penstock_runner.confinement import policy
from penstock_runner.engines.snakemake import SnakemakeEngine
from penstock_runner.sandbox.standing import Found, SandboxMode, standing
from penstock_runner.settings import RunnerSettings
from penstock_schemas.views import SandboxLevel

pytestmark = pytest.mark.system

SCRIPT = Path(__file__).with_name("without_landlock.py")
DEADLINE_S = 60.0


def without_landlock(module: str, **environ: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, str(SCRIPT), module]
    return subprocess.run(command, env=os.environ | environ, capture_output=True, timeout=DEADLINE_S, check=False)


def test_auto_is_told_what_is_missing() -> None:
    found = msgspec.json.decode(without_landlock("penstock_runner.sandbox.probe").stdout, type=Found)
    assert (found.abi, found.files, found.signals) == (0, False, False)
    in_force = standing(SandboxMode.AUTO, found)
    assert in_force.level is SandboxLevel.NONE
    assert in_force.lacks[0] == "read and change every file that the runner's user may"


def test_required_does_not_start(tmp_path: Path) -> None:
    done = without_landlock(
        "penstock_runner",
        PENSTOCK_SANDBOX="required",
        PENSTOCK_STATE_DIR=str(tmp_path / "state"),
        PENSTOCK_BLOBS=str(tmp_path / "blobs"),
    )
    assert done.returncode == 1, done.stderr
    assert b"PENSTOCK_SANDBOX is 'required', but here a workflow could still read and change every file" in done.stderr
    assert not (tmp_path / "state").exists()


async def test_workflows_run_there_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    zygote = "penstock_runner.engines.snakemake.zygote"
    # The engine starts its zygote as `python -P -m <module> ...`.
    python.write_text(f'#!/bin/sh\nshift 3\nexec {sys.executable} -P {SCRIPT} {zygote} "$@"\n')
    python.chmod(0o755)
    settings = RunnerSettings(state_dir=tmp_path / "state", blobs=str(tmp_path / "blobs"))
    rules = policy(settings, os.environ)
    monkeypatch.setattr(sys, "executable", str(python))
    async with SnakemakeEngine(sandbox=rules) as engine:
        lab = Lab(engine, tmp_path / "lab")
        outside = tmp_path / "outside.txt"
        await lab.succeed(f'open("{outside}", "w").close()\nrule x:\n    output: "x"\n    shell: "touch x"\n')
    assert outside.exists()
