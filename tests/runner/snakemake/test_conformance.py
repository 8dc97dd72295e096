"""Snakemake's own conformance tests for executor plugins, and what this engine leans on beyond public interfaces."""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import inspect
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from snakemake.common.tests import TestWorkflowsLocalStorageBase
from snakemake.io import is_flagged
from snakemake.workflow import Workflow
from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase

from penstock_engines.snakemake.attempt_process import executor_plugin
from penstock_engines.snakemake.attempt_process.exception_messages import JOBS_FAILED

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


def test_the_engine_does_not_import_snakemake_into_the_runner() -> None:
    code = "import sys, penstock_engines.snakemake; sys.exit('snakemake' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_words_of_snakemake_that_a_failure_is_known_by() -> None:
    assert callable(is_flagged)
    assert JOBS_FAILED in inspect.getsource(Workflow)


def test_modules_that_import_snakemake() -> None:
    folder = Path(executor_plugin.__file__).parent
    users = {
        str(path.relative_to(folder))
        for path in folder.rglob("*.py")
        if re.search(r"from snakemake[. ]", path.read_text())
    }
    assert users == {
        "attempt.py",
        "exception_messages.py",
        "executor_plugin.py",
        "patches.py",
        "profile.py",
        "report_items.py",
        "software/provisions.py",
        "software/unsupported.py",
        "tasks/task_keys.py",
        "tasks/task_process.py",
        "workflow_settings.py",
    }
