"""The command handler: every event of a decision is stored, and what is tried again."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import pytest
from msgspec import Struct

from penstock_domain import aggregates
from penstock_domain.chain import Stored, verify
from penstock_domain.decider import Decider
from penstock_domain.deciders import JOB
from penstock_domain.job.errors import JobQuarantined
from penstock_ports import AppendEntry, Conflict, Fence, LogFull, PortError, TooLarge, Unavailable
from penstock_runtime.command_handler import BOUNDED, CommandHandler, RetryPolicy, Target, TooManyConflicts
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.commands import CancelJob, CloseJob, DeleteJob, SubmitJob
from penstock_schemas.events import LimitSet
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.views import Head, Job
from penstock_testing.memory.log import MemoryLog

pytestmark = pytest.mark.anyio

AGGREGATE: Final = "policy.limit.test"
UNTIL_STORED: Final = RetryPolicy(max_conflicts=None, outage_pause_s=0.0)


class Total(Struct, frozen=True):
    """The sum of the numbers that were added."""

    value: int
    head: Head


class Add(Struct, frozen=True):
    """Add numbers, one event for each; nothing when there is none."""

    numbers: tuple[int, ...]


class NegativeNumber(Exception):
    """Only positive numbers can be added."""


def decide(total: Total | None, command: Add) -> list[LimitSet]:
    if any(number < 0 for number in command.numbers):
        raise NegativeNumber
    return [LimitSet(name="test", slots=number) for number in command.numbers]


def evolve(total: Total | None, stored: Stored) -> Total | None:
    data = stored.event.data
    added = data.slots or 0 if isinstance(data, LimitSet) else 0
    return Total((0 if total is None else total.value) + added, stored.head)


TOTAL: Final = Decider[Total, Add](decide=decide, evolve=evolve)


class FaultyLog(MemoryLog):
    """A log whose appends fail as scripted, one failure for each append, before or after they are stored."""

    def __init__(self, *failures: PortError, is_stored: bool = False) -> None:
        super().__init__(max_bytes=1 << 20)
        self.failures = list(failures)
        self.is_stored = is_stored
        self.appends = 0

    async def append(
        self, entries: Sequence[AppendEntry], *, fence: Fence | None = None, deadline_s: float = 10.0
    ) -> tuple[Stored, ...]:
        self.appends += 1
        if self.failures:
            failure = self.failures.pop(0)
            if self.is_stored:
                await super().append(entries, fence=fence)
            raise failure
        return await super().append(entries, fence=fence)


async def add(log: MemoryLog, *numbers: int, retry: RetryPolicy = BOUNDED) -> Total | None:
    handler = CommandHandler(log, runtime=SYSTEM)
    handled = await handler.handle(TOTAL, AGGREGATE, lambda _, __: Add(numbers), actor="tester", retry=retry)
    return handled.state


async def test_an_event_is_stored_after_the_last_one() -> None:
    log = FaultyLog()
    await add(log, 1)

    total = await add(log, 2)

    assert total is not None
    assert total.value == 3
    assert total.head == log.stored[-1].head
    verify(log.stored)


async def test_all_events_of_a_decision_are_stored_in_one_append() -> None:
    log = FaultyLog()

    total = await add(log, 1, 2, 3)

    assert total is not None
    assert total.value == 6
    assert total.head == log.stored[-1].head
    assert [stored.event.version for stored in log.stored] == [1, 2, 3]
    assert log.appends == 1
    verify(log.stored)


async def test_the_events_name_actor_and_cause() -> None:
    log = FaultyLog()
    handler = CommandHandler(log, runtime=SYSTEM)

    handled = await handler.handle(TOTAL, AGGREGATE, lambda _, __: Add((1, 2)), actor="tester", cause="before")

    assert [(stored.event.actor, stored.event.cause) for stored in log.stored] == [("tester", "before")] * 2
    assert handled.events == tuple(stored.event.id for stored in log.stored)


async def test_nothing_is_appended_when_there_is_nothing_to_do() -> None:
    log = FaultyLog()
    await add(log, 1)

    total = await add(log)

    assert total is not None
    assert total.value == 1
    assert log.appends == 1


async def test_a_refusal_stores_nothing_and_is_not_retried() -> None:
    log = FaultyLog()

    with pytest.raises(NegativeNumber):
        await add(log, -1, retry=UNTIL_STORED)

    assert log.appends == 0


async def test_a_conflict_makes_it_load_and_decide_again() -> None:
    log = FaultyLog()
    handler = CommandHandler(log, runtime=SYSTEM)
    await add(log, 1)
    seen: list[int | None] = []
    stale = True

    async def locate() -> Target[Total]:
        nonlocal stale
        state = await handler.load(TOTAL, AGGREGATE)
        if stale:
            stale = False
            await add(log, 10)
        return Target(AGGREGATE, state)

    def command(total: Total | None, now: datetime) -> Add:
        assert now.tzinfo is UTC
        seen.append(None if total is None else total.value)
        return Add((2,))

    handled = await handler.handle_at(TOTAL, locate, command, actor="tester")

    assert handled.state is not None
    assert handled.state.value == 13
    assert seen == [1, 11]


async def test_conflicts_are_bounded() -> None:
    log = FaultyLog(*[Conflict("changed")] * 5)

    with pytest.raises(TooManyConflicts, match=r"policy\.limit\.test changed at each of 5 tries"):
        await add(log, 1)

    assert (log.appends, log.stored) == (5, [])


async def test_one_conflict_less_than_the_bound_is_retried() -> None:
    log = FaultyLog(*[Conflict("changed")] * 4)
    assert await add(log, 1) is not None
    assert len(log.stored) == 1


async def test_a_policy_without_a_bound_goes_on() -> None:
    log = FaultyLog(*[Conflict("changed")] * 50)
    assert await add(log, 1, retry=UNTIL_STORED) is not None
    assert log.appends == 51


@pytest.mark.parametrize("failure", [LogFull("full"), Unavailable("no answer")])
async def test_an_outage_is_raised_unless_the_policy_retries_it(failure: PortError) -> None:
    log = FaultyLog(failure)

    with pytest.raises(type(failure)):
        await add(log, 1)

    assert log.appends == 1


@pytest.mark.parametrize("failure", [LogFull("full"), Unavailable("no answer")])
async def test_an_outage_is_retried_when_the_policy_has_a_pause(failure: PortError) -> None:
    log = FaultyLog(failure, failure)
    assert await add(log, 1, retry=UNTIL_STORED) is not None
    assert (log.appends, len(log.stored)) == (3, 1)


async def test_the_outcome_of_an_unanswered_append_is_read_before_the_next_try() -> None:
    log = FaultyLog(Unavailable("no answer"), is_stored=True)
    handler = CommandHandler(log, runtime=SYSTEM)

    def command(total: Total | None, _: datetime) -> Add:
        return Add(()) if total is not None else Add((1, 2))

    handled = await handler.handle(TOTAL, AGGREGATE, command, actor="tester", retry=UNTIL_STORED)

    assert handled.events == ()
    assert handled.state is not None
    assert handled.state.value == 3
    assert len(log.stored) == 2


async def test_an_event_that_is_too_large_is_never_retried() -> None:
    log = FaultyLog(TooLarge("too large"))

    with pytest.raises(TooLarge):
        await add(log, 1, retry=UNTIL_STORED)

    assert log.appends == 1


async def test_a_conflict_that_the_locator_raises_is_not_retried() -> None:
    handler = CommandHandler(FaultyLog(), runtime=SYSTEM)
    calls = 0

    async def locate() -> Target[Total]:
        nonlocal calls
        calls += 1
        raise Conflict("the key is used up")

    with pytest.raises(Conflict, match="the key is used up"):
        await handler.handle_at(TOTAL, locate, lambda _, __: Add((1,)), actor="tester", retry=UNTIL_STORED)

    assert calls == 1


class TestMissingEvents:
    """The log lost the last event of an aggregate: every append to it conflicts."""

    def handler(self, log: MemoryLog) -> CommandHandler:
        return CommandHandler(log, runtime=SYSTEM)

    async def ended_job(self, log: MemoryLog) -> str:
        job_id = JobId(str(UUID(int=7)))
        aggregate = aggregates.job(DEFAULT_TENANT, job_id)
        spec = JobSpec(owner="a", pipeline_name="p", engine="mock")
        submit = SubmitJob(now=SYSTEM.now(), job_id=job_id, tenant=DEFAULT_TENANT, spec=spec)
        await self.handler(log).handle(JOB, aggregate, lambda _, __: submit, actor="user:a")
        await self.handler(log).handle(JOB, aggregate, lambda _, now: CancelJob(now=now), actor="user:a")
        return aggregate

    async def delete(self, log: MemoryLog, aggregate: str) -> Job | None:
        handled = await self.handler(log).handle(JOB, aggregate, lambda _, now: DeleteJob(now=now), actor="user:a")
        return handled.state

    async def test_an_ended_job_whose_deletion_is_missing_can_be_closed_and_deleted(self) -> None:
        log = MemoryLog(max_bytes=1 << 20)
        aggregate = await self.ended_job(log)
        await self.delete(log, aggregate)
        log.damage(3, None)
        with pytest.raises(JobQuarantined, match="damaged at sequence 2: the event that followed this one is missing"):
            await self.delete(log, aggregate)
        with pytest.raises(JobQuarantined):
            await self.delete(log, aggregate)
        await self.handler(log).handle(
            JOB, aggregate, lambda _, now: CloseJob(now=now, reason="a disk failed"), actor="user:operator"
        )
        job = await self.delete(log, aggregate)
        assert job is not None
        assert job.deleted_at is not None
        assert [type(item.event.data).__name__ for item in await log.load(aggregate)] == [
            "JobSubmitted",
            "JobCancelled",
            "RecordDamaged",
            "JobClosed",
            "JobDeleted",
        ]

    async def test_a_missing_event_that_the_server_still_counts_is_recorded(self) -> None:
        log = MemoryLog(max_bytes=1 << 20)
        aggregate = await self.ended_job(log)
        await self.delete(log, aggregate)
        log.damage(3, None)
        log._tails[aggregate] = 3  # pyright: ignore[reportPrivateUsage]  # as a server does that did not look at its disk yet
        with pytest.raises(JobQuarantined, match="damaged at sequence 3: this event is missing"):
            await self.delete(log, aggregate)

    async def test_nothing_is_recorded_where_others_are_quicker(self) -> None:
        log = FaultyLog()
        aggregate = await self.ended_job(log)
        log.failures.extend([Conflict("moved on")] * 5)
        with pytest.raises(TooManyConflicts):
            await self.delete(log, aggregate)
        assert len(log.stored) == 2

    async def test_only_jobs_are_put_into_quarantine(self) -> None:
        log = MemoryLog(max_bytes=1 << 20)
        await add(log, 1)
        await add(log, 2)
        log.damage(2, None)
        with pytest.raises(TooManyConflicts):
            await add(log, 3)
        assert len(log.stored) == 2
