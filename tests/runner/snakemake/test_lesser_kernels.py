"""Machines whose kernel has no Landlock, or lets nobody filter system calls or make namespaces.

`auto` runs there and states what is missing, `required` does not start.
"""

import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.runner.snakemake.engine_harness import EngineHarness

from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_execution.sandbox.status import Capabilities, SandboxMode, sandbox_status
from penstock_runner.confinement import confinement
from penstock_runner.settings import RunnerSettings
from penstock_schemas.views import SandboxLevel

pytestmark = pytest.mark.system

SCRIPT = Path(__file__).with_name("lesser_kernel.py")
DEADLINE_S = 60.0
BOTH = pytest.mark.parametrize("missing", ["landlock", "seccomp"])


def without(missing: str, module: str, **environ: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, str(SCRIPT), missing, module]
    return subprocess.run(command, env=os.environ | environ, capture_output=True, timeout=DEADLINE_S, check=False)


@pytest.mark.parametrize(("missing", "is_refused"), [("landlock", False), ("seccomp", True)])
def test_auto_receives_what_is_missing(missing: str, is_refused: bool) -> None:
    found = msgspec.json.decode(without(missing, "penstock_execution.sandbox.probe").stdout, type=Capabilities)
    assert (found.files, found.signals, found.is_refused) == (False, False, is_refused)
    in_force = sandbox_status(SandboxMode.AUTO, found)
    assert in_force.level is SandboxLevel.NONE
    assert in_force.lacks[0] == "read and change every file that the runner's user may"


@BOTH
def test_required_does_not_start(missing: str, tmp_path: Path) -> None:
    done = without(
        missing,
        "penstock_runner",
        PENSTOCK_SANDBOX="required",
        PENSTOCK_STATE_DIR=str(tmp_path / "state"),
        PENSTOCK_BLOBS=str(tmp_path / "blobs"),
    )
    assert done.returncode == 1, done.stderr
    assert b"PENSTOCK_SANDBOX is 'required', but here a workflow could still read and change every file" in done.stderr
    assert not (tmp_path / "state").exists()


def test_auto_receives_that_namespaces_are_missing() -> None:
    found = msgspec.json.decode(without("namespaces", "penstock_execution.sandbox.probe").stdout, type=Capabilities)
    if not found.files:
        pytest.skip("this kernel has no Landlock")
    assert not found.attributes
    in_force = sandbox_status(SandboxMode.AUTO, found)
    assert in_force.level is SandboxLevel.PARTIAL
    assert in_force.lacks[-1] == "change modes, owners and times of files outside its folders"


def test_required_does_not_start_without_namespaces(tmp_path: Path) -> None:
    done = without("namespaces", "penstock_runner", PENSTOCK_SANDBOX="required", PENSTOCK_STATE_DIR=str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert b"change modes, owners and times of files outside its folders" in done.stderr


async def test_without_namespaces_a_workflow_is_confined_but_for_attributes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(lesser_python(tmp_path, "namespaces")))
    settings = RunnerSettings(state_dir=tmp_path / "state", blobs=str(tmp_path / "blobs"))
    policy, in_force = await confinement(settings, os.environ)
    if in_force.level is SandboxLevel.NONE:
        pytest.skip("this kernel has no Landlock")
    assert in_force.level is SandboxLevel.PARTIAL
    outside = tmp_path / "outside.txt"
    outside.write_text("x")
    async with SnakemakeEngine(sandbox=policy) as engine:
        harness = EngineHarness(engine, tmp_path / "harness")
        await harness.succeed(
            f"""
            import os
            os.chmod("{outside}", 0o600)
            try:
                os.chmod("Snakefile", 0o4755)
            except PermissionError:
                refused = "set-id"
            try:
                open("{outside}")
            except PermissionError:
                refused += " read"
            open("refused", "w").write(refused)
            """
        )
        assert (harness.work / "refused").read_text() == "set-id read"
    assert stat.S_IMODE(outside.stat().st_mode) == 0o600, "the documentation states that this is possible here"


def lesser_python(folder: Path, missing: str) -> Path:
    """Make a Python for such a machine. The probe and the zygote are started as `python -P -m <module> ...`."""
    python = folder / "bin/python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} -P {SCRIPT} {missing} "$@"\n')
    python.chmod(0o755)
    return python


@BOTH
async def test_workflows_run_there_all_the_same(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(lesser_python(tmp_path, missing)))
    settings = RunnerSettings(state_dir=tmp_path / "state", blobs=str(tmp_path / "blobs"))
    policy, in_force = await confinement(settings, os.environ)
    assert in_force.level is SandboxLevel.NONE
    async with SnakemakeEngine(sandbox=policy) as engine:
        harness = EngineHarness(engine, tmp_path / "harness")
        outside = tmp_path / "outside.txt"
        await harness.succeed(f'open("{outside}", "w").close()\nrule x:\n    output: "x"\n    shell: "touch x"\n')
    assert outside.exists()
