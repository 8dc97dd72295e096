"""Missing events on a log in memory: each stops only what it belongs to, and nothing waits for it for ever."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.scheduler.clients import Runner, add, submit, until
from tests.scheduler.history import History

from penstock_domain import aggregates
from penstock_domain.chain import Stored
from penstock_domain.deciders import JOB
from penstock_domain.job.evolve import fold
from penstock_ports import AppendEntry, Fence, Unavailable
from penstock_runtime.command_handler import CommandHandler
from penstock_runtime.runtime import SYSTEM
from penstock_scheduler import damage_search
from penstock_scheduler.core.leader import Leader
from penstock_scheduler.scheduler import Scheduler
from penstock_schemas.commands import CloseJob
from penstock_schemas.events import (
    AttemptAssigned,
    JobAssigned,
    JobHeld,
    JobReleased,
    LeaseAcquired,
    RunnerJoined,
    RunnerLeft,
)
from penstock_schemas.ids import DEFAULT_TENANT, JobId, RunnerId
from penstock_schemas.jobs import JobState
from penstock_schemas.views import EMPTY_HEAD
from penstock_testing.memory import MemoryCluster, MemoryLog


@pytest.fixture
def cluster(memory_cluster: MemoryCluster) -> MemoryCluster:
    return memory_cluster


@asynccontextmanager
async def scheduling(cluster: MemoryCluster, *, with_runner: bool = True) -> AsyncGenerator[Scheduler, None]:
    scheduler = Scheduler(cluster, holder="a")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scheduler.run)
        if with_runner:
            tasks.start_soon(Runner(cluster).run)
        yield scheduler
        tasks.cancel_scope.cancel()


def state_of(cluster: MemoryCluster, job_id: JobId) -> JobState | None:
    aggregate = aggregates.job(DEFAULT_TENANT, job_id)
    job = fold([stored for stored in cluster.log.stored if stored.event.aggregate == aggregate])
    return None if job is None else job.state


async def with_missing_event(cluster: MemoryCluster) -> JobId:
    """Submit a job whose last event is missing."""
    job_id = await submit(cluster)
    aggregate = aggregates.job(DEFAULT_TENANT, job_id)
    await add(cluster, aggregate, JobHeld(), await cluster.log.head(aggregate))
    await add(cluster, aggregate, JobReleased(), await cluster.log.head(aggregate))
    cluster.log.damage(len(cluster.log.stored), None)
    return job_id


class LossyLog(MemoryLog):
    """A log that loses the events of one type, and fails some requests for a tail."""

    def __init__(self) -> None:
        super().__init__(max_bytes=1 << 30)
        self.lost: type[object] | None = None
        self.failures = 0

    async def append(
        self, entries: Sequence[AppendEntry], *, fence: Fence | None = None, deadline_s: float = 10.0
    ) -> tuple[Stored, ...]:
        stored = await super().append(entries, fence=fence, deadline_s=deadline_s)
        for item in stored:
            if self.lost is not None and isinstance(item.event.data, self.lost):
                self.lost = None
                self.damage(item.seq, None)
        return stored

    async def tail(self, aggregate: str, *, deadline_s: float = 10.0) -> int:
        if aggregate.startswith("job.") and self.failures:
            self.failures -= 1
            raise Unavailable("no answer")
        return await super().tail(aggregate, deadline_s=deadline_s)


async def test_a_search_that_failed_is_repeated(cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage_search, "RETRY_S", 0.01)
    log = cluster.log = LossyLog()
    log.failures = 2
    await with_missing_event(cluster)
    damaged_seq = len(log.stored)
    async with scheduling(cluster, with_runner=False) as scheduler:
        await until(lambda: [*scheduler.state.damages] == [damaged_seq] and not scheduler.state.gaps, "recorded")
    assert log.failures == 0


async def test_an_election_that_the_log_lost_is_repeated(cluster: MemoryCluster) -> None:
    log = cluster.log = LossyLog()
    log.lost = LeaseAcquired
    job_id = await submit(cluster)
    async with scheduling(cluster):
        await until(lambda: state_of(cluster, job_id) is JobState.COMPLETED, "completed")


async def test_a_scheduler_is_elected_after_an_election_that_is_missing(cluster: MemoryCluster) -> None:
    async with scheduling(cluster, with_runner=False) as scheduler:
        await until(lambda: scheduler.state.lease.term == 1, "elected")
    cluster.log.damage(scheduler.state.lease.head.seq, None)
    job_id = await submit(cluster)
    async with scheduling(cluster):
        await until(lambda: state_of(cluster, job_id) is JobState.COMPLETED, "completed")


async def test_a_quarantined_job_whose_last_event_is_missing_can_be_closed(cluster: MemoryCluster) -> None:
    job_id = await submit(cluster)
    aggregate = aggregates.job(DEFAULT_TENANT, job_id)
    for reason in ("no JSON", None):
        await add(cluster, aggregate, JobHeld(), await cluster.log.head(aggregate))
        cluster.log.damage(len(cluster.log.stored), reason)
    async with scheduling(cluster) as scheduler:
        await until(lambda: scheduler.state.seq >= 3 and not scheduler.state.gaps, "recorded")
        commands = CommandHandler(cluster.log, runtime=SYSTEM)
        await commands.handle(JOB, aggregate, lambda _, at: CloseJob(now=at), actor="test")
        await until(lambda: not scheduler.state.damages, "closed")
    assert state_of(cluster, job_id) is JobState.FAILED


async def test_a_first_order_that_is_missing_is_recorded_with_its_runner(cluster: MemoryCluster) -> None:
    """The runner reads the record and ends its session, so its job is requeued."""
    log = cluster.log = LossyLog()
    log.lost = AttemptAssigned
    runner_id = RunnerId("r-1")
    joined = RunnerJoined(runner_id=runner_id, name="r", slots=1, engines={"mock": "1"})
    await add(cluster, aggregates.runner(runner_id), joined, EMPTY_HEAD)
    await submit(cluster)
    async with scheduling(cluster, with_runner=False) as scheduler:
        await until(lambda: scheduler.state.damages.keys() == {6} and not scheduler.state.gaps, "recorded")
    assert scheduler.state.damages[6].aggregate == aggregates.assign(runner_id)


def test_a_runner_that_was_forgotten_lacks_nothing() -> None:
    """A job was assigned to a runner that had left, so its events were read and forgotten."""
    history = History()
    runner_id = history.join("one", 1)
    left = history.add(aggregates.runner(runner_id), RunnerLeft(runner_id=runner_id, reason="stopped"))
    history.submit(1)
    history.add_event(1, JobAssigned(attempt=1, runner_id=runner_id, cycle_id=history.new_id()))
    leader = Leader(history.state, holder="a", elected_at=1, new_id=history.new_id)
    assert aggregates.runner(runner_id) in leader.tracked()
    for aggregate in (aggregates.runner(runner_id), aggregates.assign(runner_id)):
        assert leader.lacks(aggregate, left.seq) is None
