"""Processes of tasks: each is reported once when it ended, with its exit code, and is killed when it is not needed.

They are forks of the process that starts them, so each test starts one.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock_engines.snakemake.attempt_process.tasks.running_tasks import RunningTask, SubmittedGroup

PROGRAM = """
import queue
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from penstock_engines.snakemake.attempt_process.graph import TaskNumbers
from penstock_engines.snakemake.attempt_process.tasks.running_tasks import RunningTask, RunningTasks, SubmittedGroup
from penstock_execution.processes.event_pipe import NullReporter

DEADLINE_S = 30
ended = queue.Queue()
workflow = SimpleNamespace(linemaps={}, _async_runners={})
running = RunningTasks(
    workflow, Path(sys.argv[1]), lambda: None, reporter=NullReporter(), numbers=TaskNumbers(), settle=ended.put
)


def task(name):
    job = SimpleNamespace(rule=SimpleNamespace(name=name), wildcards_dict={})
    group = SubmittedGroup(info=None, tasks=[])
    group.tasks.append(RunningTask(job, name, 1, group=group))
    return group.tasks[0]


def sleep():
    print("begun", flush=True)
    time.sleep(DEADLINE_S)


def wait_begun(name):
    log = Path(sys.argv[1], name + ".stdout")
    end = time.monotonic() + DEADLINE_S
    while not (log.exists() and log.read_text()):
        assert time.monotonic() < end
        time.sleep(0.01)
"""


def run(program: str, logs: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM + program, str(logs)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.system
def test_a_task_that_ends_is_settled_once_with_its_exit_code_and_output(tmp_path: Path) -> None:
    run(
        """
good, bad = task("good"), task("bad")
running.start(good, lambda: print("out"))
running.start(bad, lambda: sys.exit(3))
assert {ended.get(timeout=DEADLINE_S) for _ in range(2)} == {good, bad}
assert (good.exit_code, good.report) == (0, None)
assert bad.exit_code == bad.report.exit_code == 3
running.shut_down()
assert ended.empty()
""",
        tmp_path,
    )
    assert (tmp_path / "good.stdout").read_text() == "out\n"


@pytest.mark.system
def test_a_member_that_is_not_needed_is_killed_and_settled(tmp_path: Path) -> None:
    run(
        """
needless = task("needless")
running.start(needless, sleep)
wait_begun("needless")
running.kill_members(needless.group, lambda member: True)
assert ended.get(timeout=DEADLINE_S) is needless
assert needless.was_killed
assert needless.exit_code != 0
""",
        tmp_path,
    )


@pytest.mark.system
def test_nothing_is_settled_after_a_cancellation(tmp_path: Path) -> None:
    run(
        """
import os

one = task("one")
running.start(one, sleep)
wait_begun("one")
running.cancel()
end = time.monotonic() + DEADLINE_S
while Path(f"/proc/{one.pid}").exists():
    assert time.monotonic() < end
    time.sleep(0.01)
running.shut_down()
assert one.was_killed
assert ended.empty()
""",
        tmp_path,
    )


@pytest.mark.parametrize(
    ("is_service", "exit_code", "waits"), [(False, None, True), (False, 0, False), (True, None, False)]
)
def test_a_group_waits_for_members_that_end_by_themselves(
    *, is_service: bool, exit_code: int | None, waits: bool
) -> None:
    task = RunningTask(None, "key", 1, is_service=is_service, exit_code=exit_code)
    unused: Any = None
    assert SubmittedGroup(unused, [task]).waits_for is waits
