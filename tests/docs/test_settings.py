"""Every environment variable and stream that the documentation names is one that something reads or makes."""

import re
from pathlib import Path

import pytest
from tests.docs.test_text import markdown_files
from tools.reference import ROOT
from tools.reference.configuration import SERVICES

from penstock_execution.processes.markers import ATTEMPT_MARKER, RUNNER_MARKER
from penstock_jetstream import names
from penstock_runtime.engine_plugins import engine_variables
from penstock_runtime.liveness import WATCHDOG_VARIABLE
from penstock_runtime.settings import describe

VARIABLE = re.compile(r"\bPENSTOCK_[A-Z_]*[A-Z]\b")
OF_THE_COMMAND_LINE = {
    *("PENSTOCK_URL", "PENSTOCK_STATE_DIR", "PENSTOCK_TOKEN", "PENSTOCK_TOKEN_FILE", "PENSTOCK_USER"),
    "PENSTOCK_SEND_CONFIRM_BYTES",
}


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_named_variable_exists(path: Path) -> None:
    known = {row.variable for _, _, shape in SERVICES for row in describe(shape)} | OF_THE_COMMAND_LINE
    known |= engine_variables()
    known |= {names.EVENTS, names.TASKS, names.LOGS, RUNNER_MARKER, ATTEMPT_MARKER, WATCHDOG_VARIABLE}
    assert set(VARIABLE.findall(path.read_text())) <= known
