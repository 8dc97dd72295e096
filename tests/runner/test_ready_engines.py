"""An engine that fails, at any place of its port, stops neither the runner nor other engines."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from random import Random

import anyio
import pytest
from structlog.testing import capture_logs
from tests.runner.conftest import Stage
from tests.runner.runner_harness import eventually

from penstock_domain.lease import HEARTBEAT_INTERVAL_S
from penstock_execution.engine import Attempt, Emit, Engine, EngineFault, Outcome, RemainingLease
from penstock_execution.workspace import RunnerStorage, Workspaces
from penstock_runner.ready_engines import READY_DEADLINE_S, READY_PAUSES_S, ReadyEngine, ready_engines
from penstock_runtime import exception_groups
from penstock_schemas.jobs import JobState
from penstock_testing.scripted_engine import ScriptedEngine, succeed
from penstock_testing.virtual_time import VirtualLoop, run


class FaultyEngine(ScriptedEngine):
    """An engine that fails in one call of its port."""

    name = "faulty"

    def __init__(self, fault: str, *, times: int = 1_000, error: BaseException | None = None) -> None:
        super().__init__(succeed)
        self._fault, self._left = fault, times
        self._error = error or RuntimeError("a fault of the plug-in")

    def _call(self, name: str) -> None:
        if name == self._fault and self._left > 0:
            self._left -= 1
            raise self._error

    def workspaces(self, storage: RunnerStorage) -> Workspaces | None:
        self._call("workspaces")
        return None

    async def __aenter__(self) -> "FaultyEngine":
        self._call("enter")
        if self._fault == "hang":
            await anyio.sleep_forever()
        self.is_open = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.is_open = False
        self._call("exit")

    def extend_lease(self, remaining_s: RemainingLease) -> None:
        self._call("extend_lease")

    async def run(self, attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
        self._call("run")
        return await super().run(attempt, emit, stop)


class CrashingEngine(ScriptedEngine):
    """An engine whose own background task fails once it is ready."""

    name = "crashing"

    def __init__(self, crash: anyio.Event) -> None:
        super().__init__(succeed)
        self._crash = crash

    async def __aenter__(self) -> "CrashingEngine":
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._watch)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(None, None, None)

    async def _watch(self) -> None:
        await self._crash.wait()
        raise RuntimeError("the watch of the cluster ended")


def no_files(engine: Engine) -> Workspaces | None:
    return engine.workspaces(None)  # type: ignore[arg-type]  # these engines do not use it


@asynccontextmanager
async def made_ready(
    engines: Sequence[Engine], stopping: anyio.Event | None = None
) -> AsyncGenerator[dict[str, ReadyEngine]]:
    async with ready_engines(engines, no_files, stopping or anyio.Event()) as ready:
        yield dict(ready)


def names_of(*engines: Engine) -> tuple[list[str], float]:
    """Return which engines become ready, and after how many seconds."""

    async def main(loop: VirtualLoop) -> tuple[list[str], float]:
        async with made_ready(engines) as ready:
            return sorted(ready), loop.time()

    return run(main, Random(0))


@pytest.mark.parametrize(
    "engine",
    [FaultyEngine("enter"), FaultyEngine("workspaces"), FaultyEngine("enter", error=SystemExit(3))],
    ids=["enter", "workspaces", "exit code"],
)
def test_an_engine_that_does_not_become_ready_is_left_out(engine: Engine) -> None:
    with capture_logs() as logged:
        assert names_of(engine, ScriptedEngine()) == (["scripted"], sum(READY_PAUSES_S))
    failures = [entry for entry in logged if entry["event"] == "engine_not_ready"]
    assert [entry["next_try_in_s"] for entry in failures] == [*READY_PAUSES_S, None]


def test_an_engine_that_becomes_ready_at_a_later_try_is_used() -> None:
    assert names_of(FaultyEngine("enter", times=2))[0] == ["faulty"]


def test_an_engine_that_never_becomes_ready_is_left_out() -> None:
    names, after_s = names_of(FaultyEngine("hang"), ScriptedEngine())
    assert names == ["scripted"]
    assert after_s == sum(READY_PAUSES_S) + (len(READY_PAUSES_S) + 1) * READY_DEADLINE_S


def test_without_any_engine_the_runner_cannot_work() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        names_of(FaultyEngine("enter"))
    (fault,) = exception_groups.leaves(caught.value)
    assert isinstance(fault, EngineFault)
    assert str(fault) == "the engine 'faulty' is left out: RuntimeError: a fault of the plug-in"


def test_a_runner_that_stops_makes_no_further_try() -> None:
    async def main(loop: VirtualLoop) -> float:
        stopping = anyio.Event()
        stopping.set()
        async with made_ready([FaultyEngine("enter")], stopping) as ready:
            assert not ready
        return loop.time()

    assert run(main, Random(0)) == 0


async def test_engines_are_left_though_the_work_or_another_engine_fails() -> None:
    engine, faulty = ScriptedEngine(), FaultyEngine("exit")

    async def work() -> None:
        async with made_ready([faulty, engine]) as ready:
            assert len(ready) == 2
            raise OSError("the work failed")

    with capture_logs() as logged, pytest.raises(ExceptionGroup):
        await work()
    assert not engine.is_open
    assert not faulty.is_open
    assert [entry["engine"] for entry in logged if entry["event"] == "engine_failed"] == ["faulty"]


async def test_a_crash_of_what_an_engine_keeps_warm_reaches_no_other_task() -> None:
    crash = anyio.Event()
    with capture_logs() as logged:
        async with made_ready([CrashingEngine(crash), ScriptedEngine()]) as ready:
            crash.set()
            with anyio.fail_after(10):
                while not logged:  # noqa: ASYNC110  # the log has no event to wait for
                    await anyio.sleep(0.01)
            assert len(ready) == 2
    assert [(entry["event"], entry["engine"]) for entry in logged] == [("engine_failed", "crashing")]


def test_a_lease_that_is_not_extended_is_logged_once_until_it_is() -> None:
    engine = ReadyEngine(FaultyEngine("extend_lease", times=2))
    with capture_logs() as logged:
        for _ in range(3):
            engine.extend_lease(lambda: 8.0)
    assert [entry["event"] for entry in logged] == ["engine_lease_not_extended"]


async def test_other_engines_work_beside_one_that_fails_everywhere(stage: Stage) -> None:
    """With heartbeats that go on: a session that ended would be another runner."""
    faulty, engine = FaultyEngine("extend_lease"), ScriptedEngine(succeed)
    leaving = FaultyEngine("run", error=SystemExit("licence expired"))
    leaving.name = "leaving"
    with capture_logs() as logged:
        async with stage.runner(faulty, leaving, engine):
            _, joined = await stage.desk.joined()
            assert set(joined.engines) == {"faulty", "leaving", "scripted"}
            failing = await stage.desk.submit(engine="leaving")
            await stage.desk.assign(failing, joined.runner_id)
            job = await stage.desk.reaches(failing, JobState.QUEUED)
            assert "called sys.exit('licence expired')" in (job.requeue_reason or "")
            await anyio.sleep(HEARTBEAT_INTERVAL_S)
            job_id = await stage.desk.submit()
            await stage.desk.assign(job_id, joined.runner_id)
            await stage.desk.reaches(job_id, JobState.COMPLETED)
    events = [entry["event"] for entry in logged]
    assert "engine_lease_not_extended" in events
    assert "session_fault" not in events


async def test_an_engine_that_was_left_out_gets_no_work(stage: Stage) -> None:
    async with stage.runner(FaultyEngine("enter"), ScriptedEngine(succeed)):
        _, joined = await stage.desk.joined()
        assert set(joined.engines) == {"scripted"}
        job_id = await stage.desk.submit(engine="faulty")
        await stage.desk.assign(job_id, joined.runner_id)

        async def is_returned() -> bool:
            return "JobRequeued" in await stage.desk.types(job_id)

        await eventually(is_returned)
