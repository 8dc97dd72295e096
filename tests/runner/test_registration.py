"""The registration of a runner: its commands are stored once, also after conflicts and outages."""

from collections.abc import Sequence

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
