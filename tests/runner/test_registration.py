"""The registration of a runner: its commands are stored once, also after conflicts and outages."""

from collections.abc import Sequence
from random import Random

import anyio
import pytest

from penstock_domain import aggregates
from penstock_domain.chain import Stored, link
from penstock_ports import AppendEntry, Fence, LogFull, Unavailable
from penstock_runner import registration
from penstock_runner.registration import RunnerRegistration
from penstock_runtime.command_handler import RetryPolicy
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.events import RunnerJoined, RunnerLost
from penstock_schemas.ids import EventId, RunnerId
from penstock_testing.memory.log import MemoryLog
from penstock_testing.virtual_time import VirtualLoop, run

pytestmark = pytest.mark.anyio
RUNNER = RunnerId("one-1")
JOINED = RunnerJoined(runner_id=RUNNER, name="one", slots=1, engines={"mock": "1"})


class RefusingLog(MemoryLog):
    """A log that refuses the first appends."""

    def __init__(self, *failures: LogFull | Unavailable) -> None:
        super().__init__(max_bytes=1 << 20)
        self.failures = list(failures)

    async def append(
        self, entries: Sequence[AppendEntry], *, fence: Fence | None = None, deadline_s: float = 10.0
    ) -> tuple[Stored, ...]:
        if self.failures:
            raise self.failures.pop()
        return await super().append(entries, fence=fence)


def kinds(log: MemoryLog) -> list[str]:
    return [type(stored.event.data).__name__ for stored in log.stored]


async def test_each_command_is_stored_once() -> None:
    log = RefusingLog()
    runner = RunnerRegistration(log, RUNNER)
    for _ in range(2):
        await runner.join(JOINED)
        await runner.drain()
    for _ in range(2):
        await runner.leave("stopped")
    assert kinds(log) == ["RunnerJoined", "RunnerDraining", "RunnerLeft"]
    assert runner.is_joined


async def test_it_waits_for_a_log_that_is_full_or_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "UNTIL_STORED", RetryPolicy(max_conflicts=None, outage_pause_s=0.0))
    log = RefusingLog(LogFull("full"), Unavailable("no answer"))
    await RunnerRegistration(log, RUNNER).join(JOINED)
    assert kinds(log) == ["RunnerJoined"]


async def test_nothing_follows_the_loss_of_the_runner() -> None:
    log = RefusingLog()
    runner = RunnerRegistration(log, RUNNER)
    await runner.join(JOINED)
    lost = RunnerLost(runner_id=RUNNER, silent_s=11.0)
    head = log.stored[-1].head
    event = link(
        head, aggregates.runner(RUNNER), lost, event_id=EventId(SYSTEM.new_id()), time=SYSTEM.now(), actor="scheduler"
    )
    await log.append([AppendEntry(event, head.seq)])
    await runner.drain()
    await runner.leave("stopped")
    assert kinds(log) == ["RunnerJoined", "RunnerLost"]


async def test_a_damaged_registration_is_left_to_the_scheduler() -> None:
    log = RefusingLog()
    runner = RunnerRegistration(log, RUNNER)
    await runner.join(JOINED)
    log.damage(1, "not JSON")
    await runner.leave("stopped")
    assert len(log.stored) == 1


def test_a_registration_that_the_log_lost_is_noticed_by_an_idle_runner() -> None:
    async def main(loop: VirtualLoop) -> tuple[float, float]:
        log, busy_until_s = RefusingLog(), 5 * registration.CHECK_S
        runner = RunnerRegistration(log, RUNNER)
        await runner.join(JOINED)
        with anyio.move_on_after(100 * registration.CHECK_S) as kept:
            await runner.until_lost(lambda: True)
        assert kept.cancelled_caught
        log.damage(1, None)
        began_s = loop.time()
        await runner.until_lost(lambda: loop.time() - began_s > busy_until_s)
        return loop.time() - began_s, busy_until_s

    noticed_s, busy_until_s = run(main, Random(0))
    assert noticed_s == busy_until_s + registration.CHECK_S


def test_a_registration_that_cannot_be_read_now_is_not_taken_for_lost() -> None:
    async def main(_: VirtualLoop) -> None:
        log = RefusingLog()
        runner = RunnerRegistration(log, RUNNER)
        await runner.join(JOINED)
        log.damage(1, "not JSON")
        with anyio.move_on_after(10 * registration.CHECK_S) as kept:
            await runner.until_lost(lambda: True)
        assert kept.cancelled_caught
        with anyio.fail_after(1):
            await runner.until_ended()

    run(main, Random(0))
