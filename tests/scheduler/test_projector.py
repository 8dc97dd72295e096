"""The projector on a log in memory: exactly once under every fault."""

from collections.abc import Sequence

import anyio
import pytest
from tests.scheduler.clients import cancel, eventually, projected, submit, until
from tests.scheduler.history import History
from tests.scheduler.history import job as job_of

from penstock_domain import aggregates
from penstock_domain.chain import Stored
from penstock_domain.job.evolve import evolve
from penstock_ports import Unavailable
from penstock_projector import Projector
from penstock_projector.core.projection import MAX_JOBS_A_WRITE, Projection, divided
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.views import Job
from penstock_testing.memory import MemoryCluster


@pytest.fixture
def cluster(memory_cluster: MemoryCluster) -> MemoryCluster:
    return memory_cluster


def expected(history: Sequence[Stored]) -> dict[JobId, Job]:
    jobs: dict[str, Job | None] = {}
    for stored in history:
        jobs[stored.event.aggregate] = evolve(jobs.get(stored.event.aggregate), stored)
    return {job.id: job for job in jobs.values() if job is not None}


async def view(cluster: MemoryCluster) -> dict[JobId, Job]:
    return await cluster.jobs.get_many(list(expected(cluster.log.stored)))


async def settled(cluster: MemoryCluster) -> None:
    await eventually(lambda: projected(cluster), "projected")


async def test_the_view_is_the_fold_also_after_restarts_and_with_rivals(cluster: MemoryCluster) -> None:
    for rivals in (1, 2, 1):
        async with anyio.create_task_group() as tasks:
            for _ in range(rivals):
                tasks.start_soon(Projector(cluster).run)
            for number in range(20):
                job_id = await submit(cluster)
                if number % 3 == 0:
                    await cancel(cluster, job_id)
            await settled(cluster)
            tasks.cancel_scope.cancel()
        assert await view(cluster) == expected(cluster.log.stored)


async def test_every_accepted_event_is_published_in_order(cluster: MemoryCluster) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Projector(cluster).run)
        for _ in range(5):
            await cancel(cluster, await submit(cluster))
        await settled(cluster)
        tasks.cancel_scope.cancel()
    published = [feed_event.seq for feed_event in cluster.live.published]
    assert published == list(range(1, 11))


async def test_an_outage_of_the_view_is_survived(cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    write, failures = cluster.jobs.write, [True, True, False, True]

    async def fails(jobs: Sequence[Job], *, previous: int, checkpoint: int) -> None:
        is_stored_though = failures[-1:] == [True]
        if failures:
            if failures.pop():
                await write(jobs, previous=previous, checkpoint=checkpoint)
            raise Unavailable(f"stored: {is_stored_though}")
        await write(jobs, previous=previous, checkpoint=checkpoint)

    monkeypatch.setattr(cluster.jobs, "write", fails)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Projector(cluster).run)
        for _ in range(4):
            await cancel(cluster, await submit(cluster))
            await settled(cluster)
        await until(lambda: not failures, "all failures happened")
        tasks.cancel_scope.cancel()
    assert await view(cluster) == expected(cluster.log.stored)


def test_a_batch_is_cut_where_too_many_jobs_would_change() -> None:
    log = History()
    for number in range(1, 2 * MAX_JOBS_A_WRITE + 2):
        log.submit(number)
        log.cancel_waiting(number)
    cut = list(divided(log.stored))
    assert [stored for batch in cut for stored in batch] == log.stored
    assert [len(batch) for batch in cut] == [1 + 2 * MAX_JOBS_A_WRITE, 2 * MAX_JOBS_A_WRITE, 2]
    assert list(divided([])) == []


def test_the_cache_is_bounded_and_forgets_what_ended() -> None:
    log = History()
    projection = Projection(max_jobs=2)
    for number in (1, 2, 3):
        log.submit(number)
    projection.written(projection.fold(log.stored, {}))
    log.cancel_waiting(3)
    assert projection.missing(log.stored[-1:]) == (), "the last ones are remembered"
    projection.written(projection.fold(log.stored[-1:], {}))
    log.cancel_waiting(1)
    log.cancel_waiting(2)
    assert projection.missing(log.stored[-2:]) == (job_of(1),), "the oldest one is not"
    assert projection.missing(log.stored) == (), "a whole life needs nothing"


@pytest.mark.parametrize("name", ["job.default.no-uuid", "job.x", f"job.default.{str(job_of(1)).upper()}X"])
def test_what_is_the_name_of_no_job_is_not_written(name: str) -> None:
    log = History()
    stored = log.put_unreadable(name)
    assert Projection().missing([stored]) == ()
    assert Projection().fold([stored], {}).jobs == ()


def test_a_job_of_another_tenant_with_the_same_id_leaves_a_job_as_it_was() -> None:
    log = History()
    log.submit(1)
    (before,) = Projection().fold(log.stored, {}).jobs
    stored = log.put_unreadable(aggregates.job(TenantId("another"), job_of(1)))
    assert evolve(before, stored) == before
