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
from tests.cli.systems import call, up

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.registry import EngineRegistry
from penstock_execution.engine import Engine, LaunchContext
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
        context = LaunchContext(sandbox=policy(settings, os.environ))
        (engine,) = launched_engines(EngineRegistry((self.descriptor,)), (), context, {})
        async with engine:
            yield engine

    def succeeding(self, work_dir: Path) -> Workflow:
        (work_dir / "run.sh").write_text('mkdir outputs; echo "$PARAMETERS" > outputs/p.json; echo hello\n')
        return Workflow(parameters={"a": 1}, outputs=("outputs/p.json",))

    def failing(self, work_dir: Path) -> Workflow:
        (work_dir / "run.sh").write_text("echo broken >&2; exit 3\n")
        return Workflow()

    def endless(self, work_dir: Path) -> Workflow:
        (work_dir / "run.sh").write_text("touch running; sleep 3600\n")
        return Workflow(marker=work_dir / "running")


def test_a_job_runs_through_the_whole_system_once_the_engine_is_installed(installed: Path, tmp_path: Path) -> None:
    """Gateway, runner and command line find it by its entry point; none of them was changed for it."""
    path = str(installed)
    with up(tmp_path, environ={"PYTHONPATH": path}):
        runners = json.loads(call(tmp_path, "runners", "-o", "json", PYTHONPATH=path).stdout)
        assert "shell" in json.dumps(runners)
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


def test_a_plugin_that_cannot_be_imported_ends_the_start_with_its_name(tmp_path: Path) -> None:
    """Services and commands name the plug-in and the reason in one line."""
    info = tmp_path / "broken_engine-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-engine\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[penstock.engines]\nbroken = absent_module:DESCRIPTOR\n")
    workflow = tmp_path / "w"
    workflow.mkdir()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    for command in (["penstock_gateway"], ["penstock_runner"], ["penstock", "submit", str(workflow)]):
        ended = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env=environ | {"PYTHONPATH": str(tmp_path), "PENSTOCK_NATS_URL": "nats://127.0.0.1:1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 2, ended
        report = ended.stdout + ended.stderr
        assert "the engine plug-in 'broken' (absent_module:DESCRIPTOR) of the distribution 'broken-engine'" in report
        assert "Traceback" not in report
