"""Requests of a rule become limits of its tasks."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from penstock_engines.snakemake.attempt_process.tasks.task_limits import LimitedTask, Processors, TaskLimits, limits_of

REQUESTS = {"runtime": 5, "mem_mb": 100, "disk_mb": "<TBD>", "gpu": 1}


@pytest.mark.parametrize(
    ("enforced", "limits"),
    [
        ((), TaskLimits()),
        (("runtime",), TaskLimits(runtime_min=5)),
        (("runtime", "mem_mb", "disk_mb", "threads"), TaskLimits(runtime_min=5, mem_mb=100, threads=2)),
        (("disk_mb",), TaskLimits()),
    ],
)
def test_what_is_enforced_and_requested_as_a_number_is_a_limit(enforced: tuple[str, ...], limits: TaskLimits) -> None:
    assert limits_of(SimpleNamespace(resources=REQUESTS, threads=2), enforced) == limits
    assert bool(limits) == (limits != TaskLimits())


def test_processors_are_given_to_as_few_tasks_as_possible() -> None:
    available = os.sched_getaffinity(0)
    processors = Processors()
    chosen = [processors.take(1) for _ in available]
    assert frozenset().union(*chosen) == available
    processors.give_back(chosen[0])
    assert processors.take(1) == chosen[0]
    assert processors.take(10_000) == available


def test_what_a_task_left_is_measured_with_its_folders_and_without_what_links_lead_to(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for name in "ab":
        (tmp_path / "many" / name).write_bytes(os.urandom(600_000))
    (tmp_path / "link").symlink_to(tmp_path / "many")
    declared = (str(tmp_path / "many"), str(tmp_path / "link"), str(tmp_path / "gone"))
    assert LimitedTask(TaskLimits(disk_mb=2), declared).at_end() is None
    assert "its rule requests disk_mb=1" in (LimitedTask(TaskLimits(disk_mb=1), declared).at_end() or "")
    assert LimitedTask(TaskLimits(mem_mb=1), declared).at_end() is None
