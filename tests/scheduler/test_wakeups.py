"""A scheduler that waits for the end of a back-off starts the job then, however the wall clock moves meanwhile."""

from datetime import datetime, timedelta
from functools import partial

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scheduler.clients import Runner, add, eventually, now, submit, until
from tests.scheduler.history import History

from penstock_domain import aggregates
from penstock_domain.job.attempts import REQUEUE_BACKOFF_S
from penstock_runtime.runtime import Runtime
from penstock_scheduler.core.decision import decide
from penstock_scheduler.core.leader import Leader
from penstock_scheduler.scheduler import Scheduler
from penstock_schemas.events import JobAssigned, JobRequeued, RunnerLeft
from penstock_schemas.ids import DEFAULT_TENANT, EventId, RunnerId
from penstock_schemas.jobs import RequeueCause
from penstock_testing.memory import MemoryCluster

LONGEST_S = max(REQUEUE_BACKOFF_S)
MICROSECOND = timedelta(microseconds=1)
DUE = now() + timedelta(days=1)


class PassingClock(Runtime):
    """A wall clock that passes `DUE` while the first decision after an election is made, and stops then."""

    def __init__(self) -> None:
        self.time = DUE - timedelta(milliseconds=1)
        self.is_leading = False

    def now(self) -> datetime:
        return self.time

    def new_id(self) -> str:
        if self.is_leading:  # from now on only decisions need ids, after they have read the clock
            self.time = DUE + timedelta(milliseconds=1)
        return super().new_id()

    def elected(self, _term: int) -> None:
        self.is_leading = True


async def test_a_back_off_that_ends_during_a_decision_is_not_missed(memory_cluster: MemoryCluster) -> None:
    job_id = await submit(memory_cluster)
    aggregate = aggregates.job(DEFAULT_TENANT, job_id)
    gone = RunnerId("gone")
    for data in (
        JobAssigned(attempt=1, runner_id=gone, cycle_id=EventId("c")),
        JobRequeued(attempt=1, runner_id=gone, cause=RequeueCause.LOST, reason="r", not_before=DUE),
    ):
        await add(memory_cluster, aggregate, data, await memory_cluster.log.head(aggregate))
    clock, runner = PassingClock(), Runner(memory_cluster)

    async def has_joined() -> bool:
        return runner.id in await memory_cluster.heartbeats.runners()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run)
        await eventually(has_joined, "the runner has joined")
        scheduler = Scheduler(memory_cluster, holder="a", runtime=clock)
        tasks.start_soon(partial(scheduler.run, on_elected=clock.elected))
        await until(lambda: runner.attempts == [(job_id, 2)], "the job is started again")
        tasks.cancel_scope.cancel()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_between_a_decision_and_the_next_wake_up_nothing_can_start(data: st.DataObject) -> None:
    """Time alone changes a decision only at the times that `Leader.next_due` names."""
    log = History()
    leader = Leader(log.state, holder="s", elected_at=1, new_id=log.new_id)
    for number in range(1, 1 + data.draw(st.integers(1, 3))):
        log.submit(number)
    for crashed in range(data.draw(st.integers(0, 3))):
        runner_id = log.join(f"crashing-{crashed}", data.draw(st.integers(1, 3)))
        while log.cycle():
            pass
        log.add(aggregates.runner(runner_id), RunnerLeft(runner_id=runner_id, is_crash=data.draw(st.booleans())))
        while log.cycle():
            pass
        log.wait(data.draw(st.integers(0, int(LONGEST_S))))
    log.join("r", 1)
    while log.cycle():
        pass
    due = leader.next_due(log.now)
    quiet = (timedelta(seconds=2 * LONGEST_S) if due is None else due - log.now) // MICROSECOND
    for later in data.draw(st.lists(st.integers(0, quiet - 1), max_size=5)):
        assert not decide(log.state, log.now + later * MICROSECOND, cycle_id=EventId("c"))
    if due is not None:
        assert due > log.now
        following = leader.next_due(due)
        assert following is None or following > due
