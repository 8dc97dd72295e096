"""The limit of open files, and the share of it that one run may take."""

import json
import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_execution.processes.file_descriptors import (
    MAX_OPEN,
    MAX_PROCESSES,
    MIN_PROCESSES,
    OF_ATTEMPT,
    OF_RUNNER,
    processes_of_run,
)

PROGRAM = """
import json, resource
from penstock_execution.processes.file_descriptors import raise_limit
print(json.dumps([raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""


@pytest.mark.system
@pytest.mark.parametrize(("soft", "hard"), [(256, 1_024), (1_024, 1_024), (512, 4_096)])
def test_as_many_files_as_the_machine_allows_may_be_open(soft: int, hard: int) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        check=True,
        capture_output=True,
        preexec_fn=limited,
    )
    assert json.loads(ended.stdout) == [hard, hard, hard]


@given(st.integers(min_value=1_024, max_value=MAX_OPEN), st.integers(min_value=1, max_value=16))
def test_the_runs_of_all_slots_leave_room_for_the_runner(limit: int, slots: int) -> None:
    process_limit = processes_of_run(limit, slots)
    assert MIN_PROCESSES <= process_limit <= MAX_PROCESSES
    if process_limit > MIN_PROCESSES:
        assert slots * (process_limit + OF_ATTEMPT) + OF_RUNNER <= limit
