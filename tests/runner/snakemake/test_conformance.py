"""Snakemake's own conformance tests for executor plugins, and what this engine leans on beyond public interfaces."""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import inspect
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from snakemake.common.tests import TestWorkflowsLocalStorageBase
from snakemake.executors import local
from snakemake.io import _IOFile, is_flagged  # pyright: ignore[reportPrivateUsage] - it is what this file is about
from snakemake.workflow import Workflow
from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase

from penstock_engines.snakemake import executor_plugin
from penstock_engines.snakemake.exception_messages import JOBS_FAILED

pytestmark = pytest.mark.system


class TestConformance(TestWorkflowsLocalStorageBase):  # type: ignore[misc]  # Snakemake is not typed
    __test__ = True

    def get_executor(self) -> str:
        executor_plugin.register()
        return executor_plugin.PLUGIN_NAME

    def get_executor_settings(self) -> ExecutorSettingsBase | None:
        return None


def test_the_version_whose_inner_parts_are_relied_on() -> None:
    """Look at each test of this file, and at the executor plugin, before another minor version is allowed."""
    assert metadata.version("snakemake").startswith("9.27.")


def test_a_job_s_arguments_fit_the_function_that_runs_it() -> None:
    assert len(inspect.signature(local.run_wrapper).parameters) == 27
    assert list(inspect.signature(local.Executor.job_args_and_prepare).parameters) == ["self", "job"]
    assert callable(is_flagged)


def test_event_loops_of_a_workflow_are_where_a_forked_job_looks_for_them() -> None:
    source = inspect.getsource(Workflow)
    assert "self._async_runners = dict()" in source
    assert "self._async_executor = ThreadPoolExecutor()" in source
    assert JOBS_FAILED in source


def test_snakemake_starts_commands_by_a_module_that_can_be_stood_in_for() -> None:
    source = inspect.getsource(sys.modules["snakemake.shell"])
    assert "import subprocess as sp" in source
    assert source.count("sp.Popen(") == 1
    assert "_lock = threading.Lock()" in source


def test_snakemake_lists_the_folder_of_an_input_where_that_can_be_tolerated() -> None:
    source = inspect.getsource(_IOFile)
    assert source.count("await self.exists_local()") > 0
    assert "tasks.append(self._local_inventory(cache))" in source
    assert "except PermissionError:\n                raise WorkflowError(" in source


def test_the_engine_does_not_import_snakemake_into_the_runner() -> None:
    code = "import sys, penstock_engines.snakemake; sys.exit('snakemake' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_place_that_relies_on_inner_parts_says_so() -> None:
    folder = Path(executor_plugin.__file__).parent
    users = {path.name for path in folder.glob("*.py") if "from snakemake." in path.read_text()}
    assert users == {
        "attempt.py",
        "exception_messages.py",
        "executor_plugin.py",
        "patches.py",
        "profile.py",
        "task_process.py",
        "unsupported.py",
    }
