"""Background tasks: a fault is reported and retried, and ends nothing else."""

import anyio
import pytest
import structlog

from penstock_runtime import background
from penstock_runtime.background import BackgroundTasks, described


class Clock:
    """Seconds that pass when the test wants it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> list[float]:
    """Let pauses take no time, and record them."""
    taken: list[float] = []

    async def sleep(pause_s: float) -> None:
        taken.append(pause_s)
        clock.now += pause_s

    monkeypatch.setattr(anyio, "sleep", sleep)
    return taken


async def test_a_task_that_fails_starts_again_after_growing_pauses(clock: Clock, pauses: list[float]) -> None:
    tasks, runs = BackgroundTasks(clock=clock), 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs <= 10:
            raise ValueError(f"fault {runs}")

    with structlog.testing.capture_logs() as logs:
        await tasks.keep("index", work)
    assert runs == 11
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert [log["task"] for log in logs] == ["index"] * 10
    assert tasks.faults() == ()


async def test_a_fault_is_known_until_the_task_runs_stably(clock: Clock, pauses: list[float]) -> None:
    tasks, runs = BackgroundTasks(clock=clock), 0
    seen: list[tuple[str, ...]] = []

    async def work() -> None:
        nonlocal runs
        runs += 1
        seen.append(tuple(map(str, tasks.faults())))
        clock.now += background.STABLE_S if runs == 2 else 1.0
        seen.append(tuple(map(str, tasks.faults())))
        if runs < 4:
            raise OSError("the disk is gone")

    await tasks.keep("index", work)
    first = ("the background task index failed (OSError: the disk is gone)",)
    assert seen[:4] == [(), (), first, ()]
    assert seen[4:6] == [first, first], "it had recovered before it failed again"
    assert seen[6:] == [("the background task index failed 2 times in a row (OSError: the disk is gone)",)] * 2


async def test_other_tasks_go_on() -> None:
    tasks, other = BackgroundTasks(), anyio.Event()

    async def fails() -> None:
        raise ExceptionGroup("several", [KeyError("a"), ValueError("b")])

    async def works() -> None:
        while not tasks.faults():
            await anyio.lowlevel.checkpoint()
        other.set()

    async with anyio.create_task_group() as group:
        group.start_soon(tasks.keep, "first", fails)
        group.start_soon(tasks.keep, "second", works)
        with anyio.fail_after(10):
            await other.wait()
        group.cancel_scope.cancel()
    (fault,) = tasks.faults()
    assert (fault.task, fault.reason, fault.is_essential) == ("first", "KeyError: 'a'", True)


def test_a_reason_is_one_short_line() -> None:
    assert described(ValueError("a\nb" + "c" * 1000)) == "ValueError: a b" + "c" * (background.MAX_FAULT_CHARS - 3)
    assert described(TimeoutError()) == "TimeoutError"
