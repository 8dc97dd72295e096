"""The example of an engine in a separate distribution: installed, and run without a change to the product."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from typing import cast

import pytest
from tests.cli.systems import call, up, wait_until

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.registry import EngineRegistry
from penstock_execution.engine import Engine
from penstock_execution.launching import LaunchContext, LocalProcesses
from penstock_runner.confinement import policy
from penstock_runner.engines import launched_engines
from penstock_runner.settings import RunnerSettings
from penstock_testing.contracts.engine import EngineContract, Workflow

pytestmark = pytest.mark.system
ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "examples/engines/shell"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the distribution into a folder that the path of processes can contain."""
    uv = shutil.which("uv") or str(ROOT / ".uv/bin/uv")
    copy, folder = tmp_path_factory.mktemp("project") / "shell", tmp_path_factory.mktemp("installed")
    shutil.copytree(PROJECT, copy)
    install = [
        uv,
        "--offline",
        "pip",
        "install",
        "--no-deps",
        "--no-build-isolation",  # with the build backend of this environment: nothing is fetched
        "--python",
        sys.executable,
        "--target",
        str(folder),
        str(copy),
    ]
    result = subprocess.run(install, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def importable(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Import it in this process, too; the engine passes PYTHONPATH on to its own processes."""
    monkeypatch.setattr(sys, "path", [str(installed), *sys.path])
    monkeypatch.setenv("PYTHONPATH", str(installed))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "penstock_engine_shell"]:
        del sys.modules[name]


@pytest.mark.usefixtures("importable")
class TestShell(EngineContract):
    @property
    def descriptor(self) -> EngineDescriptor:  # type: ignore[override]  # it can be imported only once it is installed
        return cast("EngineDescriptor", import_module("penstock_engine_shell.descriptor").DESCRIPTOR)

    @pytest.fixture
    async def engine(self, importable: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
        root = tmp_path_factory.mktemp("runner")
        settings = RunnerSettings(state_dir=root / "state", blobs=str(root / "blobs"))
        context = LaunchContext(local=LocalProcesses(sandbox=policy(settings, os.environ)))
        (engine,) = launched_engines(EngineRegistry((self.descriptor,)), (), context, {})
        async with engine:
            yield engine

    def succeeding(self) -> Workflow:
        text = 'mkdir outputs; echo "$PARAMETERS" > outputs/p.json; echo hello\n'
        return Workflow(files={"run.sh": text}, parameters={"a": 1}, outputs={"outputs/p.json": b'{"a":1}\n'})

    def failing(self) -> Workflow:
        return Workflow(files={"run.sh": "echo broken >&2; exit 3\n"})

    def endless(self) -> Workflow:
        return Workflow(files={"run.sh": "touch running; sleep 3600\n"}, marker="running")


def test_a_job_runs_through_the_whole_system_once_the_engine_is_installed(installed: Path, tmp_path: Path) -> None:
    """Gateway, runner and command line find it by its entry point; none of them was changed for it."""
    path = str(installed)
    with up(tmp_path, environ={"PYTHONPATH": path}):
        wait_until(lambda: "shell" in call(tmp_path, "runners", PYTHONPATH=path).stdout, "a runner offers the engine")
        workflow = str(PROJECT / "workflow")
        refused = call(tmp_path, "submit", workflow, "--engine", "snakemake", PYTHONPATH=path)
        assert refused.returncode != 0
        assert "Snakefile" in refused.stderr
        ended = call(tmp_path, "submit", workflow, "--engine", "shell", "-p", "x=1", "--watch", PYTHONPATH=path)
        assert ended.returncode == 0, ended.stderr + ended.stdout
        (job_id,) = set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", ended.stdout + ended.stderr))
        got = call(tmp_path, "outputs", job_id, "--get", str(tmp_path / "got"), PYTHONPATH=path)
        assert got.returncode == 0, got.stderr
        (found,) = (tmp_path / "got").rglob("parameters.json")
        assert json.loads(found.read_text()) == {"x": 1}
        assert "done" in call(tmp_path, "logs", job_id, PYTHONPATH=path).stdout


FAULTY = """
from msgspec.structs import replace
from penstock_engines.mock.descriptor import DESCRIPTOR
from penstock_engines.mock.engine import MockEngine

class Unready(MockEngine):
    name = "unready"
    async def __aenter__(self):
        raise RuntimeError("the licence expired")

class Unleased(MockEngine):
    name = "unleased"
    def extend_lease(self, remaining_s):
        raise RuntimeError("the cluster is gone")

def described(name):
    return replace(DESCRIPTOR, name=name, languages=(), default_rank=0, launcher=f"faulty_engines:{name}")

def unready(context):
    return Unready()

def unleased(context):
    return Unleased()

UNREADY, UNLEASED = described("unready"), described("unleased")
"""
"""Engines that are launched and fail later."""


def test_faulty_plugins_stop_nothing_and_are_named(tmp_path: Path) -> None:
    info = tmp_path / "broken_engine-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-engine\nVersion: 1\n")
    points = (
        "broken = absent_module:DESCRIPTOR",
        "unready = faulty_engines:UNREADY",
        "unleased = faulty_engines:UNLEASED",
    )
    (info / "entry_points.txt").write_text("\n".join(("[penstock.engines]", *points, "")))
    (tmp_path / "faulty_engines.py").write_text(FAULTY)
    workflow = tmp_path / "workflow"
    workflow.mkdir()
    (workflow / "Snakefile").write_text('rule all:\n    output: "done.txt"\n    shell: "touch {output}"\n')
    path = str(tmp_path)
    name = "the engine plug-in 'broken' (absent_module:DESCRIPTOR) of the distribution 'broken-engine'"
    with up(tmp_path, environ={"PYTHONPATH": path}):
        ended = call(tmp_path, "submit", str(workflow), "--watch", PYTHONPATH=path)
        assert ended.returncode == 0, ended.stderr + ended.stdout
        assert name in call(tmp_path, "doctor", PYTHONPATH=path).stdout
        offered = call(tmp_path, "runners", PYTHONPATH=path).stdout
        assert "snakemake" in offered
        assert "unleased" in offered
        assert "unready" not in offered
    logs = {file.stem: file.read_text() for file in tmp_path.rglob("*.log")}
    for service in ("gateway", "runner"):
        assert "engine_plugin_not_used" in logs[service]
        assert name in logs[service]
    assert logs["runner"].count('"event":"ready"') == 1, "a fault of an engine ended the session"
    for event in ("engine_not_ready", "engine_lease_not_extended", "the licence expired", "the cluster is gone"):
        assert event in logs["runner"]
