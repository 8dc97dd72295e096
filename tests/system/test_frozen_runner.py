"""Runner, zygote and supervisors are stopped and the attempts are not: the next attempt never runs beside the first."""

import os
import signal
from pathlib import Path

import pytest
from tests.system.processes import running_system, wait_until

from penstock_execution.processes.process_tree import children_of, kill, live_among

pytestmark = pytest.mark.system

SETTLE_DEADLINE_S = 120.0
SNAKEFILE = """
rule endless:
    output: "x"
    shell: "echo $$ >> {config[notes]}/shells; trap '' TERM INT HUP; while :; do sleep 0.1; done"
"""


def test_two_attempts_never_run_at_once(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    settings = {"PENSTOCK_SANDBOX_WRITE": str(notes), "PENSTOCK_DRAIN_TIMEOUT_S": "0"}
    with running_system(tmp_path, **settings) as system:
        frozen = system.services["runner"].process
        assert frozen is not None
        source = {"files": {"Snakefile": SNAKEFILE}}
        body = {"pipeline_name": "endless", "parameters": {"notes": str(notes)}, "source": source}
        status, job = system.post("/jobs", body)
        assert status == 201, job
        wait_until(lambda: shells(notes) != [], deadline_s=SETTLE_DEADLINE_S, what="the first attempt runs")
        [first] = shells(notes)
        system.add("other", "penstock_runner", PENSTOCK_RUNNER_NAME="other")
        zygotes = children_of(frozen.pid)
        stopped = [frozen.pid, *zygotes, *(supervisor for zygote in zygotes for supervisor in children_of(zygote))]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: len(shells(notes)) > 1, deadline_s=SETTLE_DEADLINE_S, what="the second attempt runs")
            assert not live_among({first}), "two attempts run at once"
        finally:
            for pid in stopped:
                kill(pid, signal.SIGCONT)


def shells(notes: Path) -> list[int]:
    """The process of each attempt that began."""
    try:
        return [int(line) for line in (notes / "shells").read_text().split()]
    except OSError:
        return []
