"""The scheduler's shell on a log in memory: it leads, waits as a standby, resigns, and never assigns twice."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial

import anyio
import pytest
from structlog.testing import capture_logs
from tests.scheduler.clients import Runner, add, cancel, execute, load, now, submit, until

from penstock_domain import aggregates
from penstock_domain.chain import Stored, verify
from penstock_domain.job.evolve import fold as fold_job
from penstock_ports import AppendEntry, Fence, LogTruncated, Unavailable
from penstock_scheduler import follower
from penstock_scheduler.core.decision import decide
from penstock_scheduler.core.replay import check_decisions
from penstock_scheduler.core.snapshots import compress, encode_state
from penstock_scheduler.core.state import SchedulerState, fold
from penstock_scheduler.follower import SNAPSHOT_NAME
from penstock_scheduler.scheduler import Scheduler
from penstock_schemas.commands import CloseJob
from penstock_schemas.events import JobAssigned, JobHeld, JobReleased, LeaseAcquired
from penstock_schemas.ids import DEFAULT_TENANT, EventId
from penstock_schemas.jobs import JobState
from penstock_schemas.views import Job
from penstock_testing.memory import MemoryCluster, MemoryLog


@pytest.fixture
def cluster(memory_cluster: MemoryCluster) -> MemoryCluster:
    return memory_cluster


def jobs_of(cluster: MemoryCluster, *, is_whole: bool = True) -> list[Job]:
    histories: dict[str, list[Stored]] = {}
    for stored in cluster.log.stored:
        histories.setdefault(stored.event.aggregate, []).append(stored)
    if is_whole:
        for history in histories.values():
            verify(history)
    return [job for history in histories.values() if (job := fold_job(history)) is not None]


def states(cluster: MemoryCluster, *, is_whole: bool = True) -> list[JobState]:
    return [job.state for job in jobs_of(cluster, is_whole=is_whole)]


async def test_jobs_flow_from_the_queue_to_their_end(cluster: MemoryCluster) -> None:
    scheduler, runner = Scheduler(cluster, holder="a"), Runner(cluster)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scheduler.run)
        tasks.start_soon(runner.run)
        for _ in range(50):
            await submit(cluster)
        await until(lambda: states(cluster) == [JobState.COMPLETED] * 50, "all completed")
        tasks.cancel_scope.cancel()
    assert list(check_decisions(cluster.log.stored)) == []
    assert fold(cluster.log.stored).slots_used == 0
    assert await cluster.heartbeats.scheduler() is None, "it left its place at once"


async def test_the_settings_become_limits_of_the_log(cluster: MemoryCluster) -> None:
    assert await running_at_once(cluster, wanted=None, jobs=3) == 3, "no limit is set"
    assert await running_at_once(cluster, wanted=4, jobs=2) == 4
    assert await running_at_once(cluster, wanted=4, jobs=0) == 4
    assert await running_at_once(cluster, wanted=None, jobs=0) == 4, "the log remembers"
    assert await running_at_once(cluster, wanted=0, jobs=0) == 5, "no bound any more"
    limits = [stored for stored in cluster.log.stored if stored.event.aggregate == "policy.limit.global"]
    assert len(limits) == 2, "what is set already is not set again"


async def running_at_once(cluster: MemoryCluster, *, wanted: int | None, jobs: int) -> int:
    """Submit more jobs that never end, start a scheduler, and return how many hold a slot when it has settled."""
    scheduler, runner = Scheduler(cluster, holder="a", max_running=wanted), Runner(cluster, slots=10)
    runner.ends_at_once = False
    for _ in range(jobs):
        await submit(cluster)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scheduler.run)
        tasks.start_soon(runner.run)
        await until(lambda: runner.id in scheduler.state.runners, "the runner is known")
        elections = len([stored for stored in cluster.log.stored if isinstance(stored.event.data, LeaseAcquired)])
        await until(lambda: scheduler.state.lease.term == elections, "it leads")
        cycle_id = EventId("next")
        await until(lambda: not decide(scheduler.state, now(), cycle_id=cycle_id), "settled")
        tasks.cancel_scope.cancel()
    return scheduler.state.slots_used


async def test_a_standby_takes_over_when_the_leader_stops(cluster: MemoryCluster) -> None:
    leading: list[str] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Runner(cluster).run)
        scopes: dict[str, anyio.CancelScope] = {}

        async def run(name: str) -> None:
            with anyio.CancelScope() as scope:
                scopes[name] = scope
                await Scheduler(cluster, holder=name).run(on_elected=lambda _: leading.append(name))

        tasks.start_soon(run, "a")
        await until(lambda: leading == ["a"], "a leads")
        tasks.start_soon(run, "b")
        await submit(cluster)
        await until(lambda: states(cluster) == [JobState.COMPLETED], "done by a")
        scopes["a"].cancel()
        await until(lambda: leading == ["a", "b"], "b leads", deadline_s=2.0)
        await submit(cluster)
        await until(lambda: states(cluster) == [JobState.COMPLETED] * 2, "done by b")
        tasks.cancel_scope.cancel()
    terms = [stored.event.data.term for stored in cluster.log.stored if isinstance(stored.event.data, LeaseAcquired)]
    assert terms == [1, 2]


@pytest.mark.parametrize("reason", ["no JSON", None], ids=["unreadable", "missing"])
async def test_a_job_with_a_damaged_event_holds_nobody_up_until_it_is_closed(
    cluster: MemoryCluster, reason: str | None
) -> None:
    broken = await submit(cluster)
    aggregate = aggregates.job(DEFAULT_TENANT, broken)
    await add(cluster, aggregate, JobHeld(), await cluster.log.head(aggregate))
    await add(cluster, aggregate, JobReleased(), await cluster.log.head(aggregate))
    damaged_seq = len(cluster.log.stored)
    cluster.log.damage(damaged_seq, reason)
    for _ in range(5):
        await submit(cluster)
    scheduler = Scheduler(cluster, holder="a")
    with capture_logs() as lines:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Runner(cluster).run)
            tasks.start_soon(scheduler.run)
            completed = partial(states, cluster, is_whole=False)
            await until(lambda: completed().count(JobState.COMPLETED) == 5, "all but one completed")
            beat = await cluster.heartbeats.scheduler()
            assert beat is not None
            await until(lambda: [*scheduler.state.damages] == [damaged_seq], "the damage is known")
            assert scheduler.state.gaps == []
            job = await load(cluster, broken)
            assert job is not None
            assert job.damage is not None
            assert (job.damage.seq, job.failure is not None) == (damaged_seq, True)
            await execute(cluster, broken, CloseJob(now=now()))
            await until(lambda: not scheduler.state.damages and aggregate not in scheduler.state.jobs, "closed")
            tasks.cancel_scope.cancel()
    assert [line for line in lines if line["event"] == "cycle_refused"] == []
    assert states(cluster, is_whole=False).count(JobState.FAILED) == 1
    assert list(check_decisions(cluster.log.stored)) == []
    replayed = SchedulerState()
    replayed.apply_all(cluster.log.stored[: scheduler.state.seq])
    assert encode_state(replayed) == encode_state(scheduler.state)


async def test_a_log_that_is_read_slowly_is_not_taken_for_its_end(
    cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill of all servers: the copy that is read stays behind what was acknowledged."""

    class Lagging(MemoryLog):
        has_caught_up = anyio.Event()

        async def read(self, *, after: int = 0, aggregates: str = ">") -> AsyncGenerator[tuple[Stored, ...], None]:
            async with aclosing(super().read(after=after, aggregates=aggregates)) as batches:
                async for batch in batches:
                    yield batch[:1]
                    await self.has_caught_up.wait()
                    if batch[1:]:
                        yield batch[1:]

    monkeypatch.setattr(follower, "SLOW_S", 0.02)
    cluster.log = log = Lagging(max_bytes=1 << 30)
    for _ in range(3):
        await submit(cluster)
    ready: list[int] = []
    with capture_logs() as lines:
        async with anyio.create_task_group() as tasks:
            scheduler = Scheduler(cluster, holder="a")
            tasks.start_soon(lambda: scheduler.run(on_ready=lambda: ready.append(scheduler.state.seq)))
            await until(lambda: "log_read_slowly" in [line["event"] for line in lines], "it waits")
            assert ready == []
            log.has_caught_up.set()
            await until(lambda: ready == [3], "it read everything")
            tasks.cancel_scope.cancel()


async def test_a_log_that_lost_its_end_is_not_scheduled_on(cluster: MemoryCluster) -> None:
    for _ in range(3):
        await submit(cluster)
    state = SchedulerState()
    state.apply_all(cluster.log.stored)
    await cluster.snapshots.save(follower.SNAPSHOT_NAME, state.seq, compress(encode_state(state)))
    cluster.log.stored.pop()
    with pytest.raises(LogTruncated, match="ends at sequence 2, and 3 was read before"):
        await Scheduler(cluster, holder="a").run()


async def test_a_deposed_leader_steps_down(cluster: MemoryCluster) -> None:
    terms: list[int] = []
    async with anyio.create_task_group() as tasks:
        scheduler = Scheduler(cluster, holder="a")
        tasks.start_soon(lambda: scheduler.run(on_elected=terms.append))
        await until(lambda: terms == [1], "elected")
        head = await cluster.log.head(aggregates.SCHEDULER_LEASE)
        await add(cluster, aggregates.SCHEDULER_LEASE, LeaseAcquired(holder="b", term=2), head)
        await until(lambda: scheduler.state.lease.holder == "b", "it received the election")
        seen = len(cluster.log.stored)
        tasks.start_soon(Runner(cluster).run)
        await submit(cluster)
        await until(lambda: scheduler.state.seq > seen + 1, "folded on")
        assert not [stored for stored in cluster.log.stored if isinstance(stored.event.data, JobAssigned)]
        # The other one never beats, so it takes its place back.
        await until(lambda: terms == [1, 3], "elected again")
        await until(lambda: states(cluster) == [JobState.COMPLETED], "done")
        tasks.cancel_scope.cancel()


class DoubtfulLog(MemoryLog):
    """Reports an unknown outcome of some fenced appends; half of them are stored, and some only later."""

    def __init__(self) -> None:
        super().__init__(max_bytes=1 << 30)
        self.appends = 0
        self.late: list[tuple[Sequence[AppendEntry], Fence]] = []

    async def append(
        self, entries: Sequence[AppendEntry], *, fence: Fence | None = None, deadline_s: float = 10.0
    ) -> tuple[Stored, ...]:
        if fence is None:
            return await super().append(entries, fence=fence)
        self.appends += 1
        if self.appends % 3 == 1:
            self.late.append((entries, fence))
            raise Unavailable("the answer got lost, and perhaps the question")
        if self.appends % 3 == 2:
            await super().append(entries, fence=fence)
            raise Unavailable("the answer got lost")
        return await super().append(entries, fence=fence)


async def test_after_a_doubt_nothing_is_assigned_twice(cluster: MemoryCluster) -> None:
    log = cluster.log = DoubtfulLog()
    runner = Runner(cluster, slots=3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Scheduler(cluster, holder="a", max_running=2).run)
        tasks.start_soon(runner.run)
        for _ in range(12):
            await submit(cluster)
        await until(lambda: states(cluster) == [JobState.COMPLETED] * 12, "all completed")
        tasks.cancel_scope.cancel()
    assert log.appends > 5
    for entries, fence in log.late:
        with pytest.raises(Exception, match=r"scheduler\.lease"):
            await MemoryLog.append(log, entries, fence=fence)
    assert sorted(runner.attempts) == sorted(set(runner.attempts))
    assert len(runner.attempts) == 12
    assert list(check_decisions(log.stored)) == []


async def test_cancel_reaches_the_runner(cluster: MemoryCluster) -> None:
    runner = Runner(cluster)
    runner.ends_at_once = False
    job_id = await submit(cluster)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Scheduler(cluster, holder="a").run)
        tasks.start_soon(runner.run)
        await until(lambda: states(cluster) == [JobState.RUNNING], "running")
        await cancel(cluster, job_id)
        await until(lambda: states(cluster) == [JobState.CANCELLED], "cancelled")
        tasks.cancel_scope.cancel()
    assert runner.stops == [job_id]


async def test_attempts_of_a_runner_that_left_go_to_another(cluster: MemoryCluster) -> None:
    first, second = Runner(cluster), Runner(cluster)
    first.ends_at_once = False
    job_id = await submit(cluster)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Scheduler(cluster, holder="a").run)
        tasks.start_soon(first.run)
        await until(lambda: states(cluster) == [JobState.RUNNING], "running")
        await first.leave()
        tasks.start_soon(second.run)
        await until(lambda: states(cluster) == [JobState.COMPLETED], "completed elsewhere")
        tasks.cancel_scope.cancel()
    assert second.attempts == [(job_id, 2)]


async def test_an_unreadable_snapshot_is_ignored(cluster: MemoryCluster) -> None:
    await cluster.snapshots.save(SNAPSHOT_NAME, 5, b"of another world")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Scheduler(cluster, holder="a").run)
        tasks.start_soon(Runner(cluster).run)
        await submit(cluster)
        await until(lambda: states(cluster) == [JobState.COMPLETED], "completed")
        tasks.cancel_scope.cancel()


async def test_a_snapshot_is_saved_on_a_clean_stop_and_started_from(cluster: MemoryCluster) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Scheduler(cluster, holder="a").run)
        tasks.start_soon(Runner(cluster).run)
        for _ in range(250):
            await submit(cluster)
        await until(lambda: states(cluster) == [JobState.COMPLETED] * 250, "completed")
        tasks.cancel_scope.cancel()
    saved = await cluster.snapshots.load(SNAPSHOT_NAME)
    assert saved is not None
    assert saved[0] == len(cluster.log.stored)
    again = Scheduler(cluster, holder="b")
    ready = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: again.run(on_ready=ready.set))
        with anyio.fail_after(5):
            await ready.wait()
        assert again.state.seq >= saved[0]
        tasks.cancel_scope.cancel()
