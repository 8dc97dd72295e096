"""An attempt that this runner does not make is returned once, and only while it is this runner's."""

from pathlib import Path

from tests.runner.runner_harness import Desk

from penstock_domain import aggregates
from penstock_runner.attempts.dependencies import AttemptDependencies, job_log
from penstock_runner.attempts.reporting import Reports
from penstock_runner.attempts.returns import return_attempt
from penstock_runner.attempts.uploads import Uploads
from penstock_runner.core.kept_work import KeepPolicy
from penstock_runner.core.orders import StartOrder
from penstock_runner.kept_work import KeptWorkspaces
from penstock_runner.remote_sources.runner_sources import RunnerSources
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.events import JobRequeued
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId, RunnerId
from penstock_schemas.jobs import JobState, RequeueCause
from penstock_sources.egress.addresses import SourceHosts
from penstock_testing.memory import MemoryBlobs, MemoryCluster

RUNNER = RunnerId("r-1")
CAUSE = EventId("order")


def place_of(cluster: MemoryCluster, folder: Path) -> AttemptDependencies:
    blobs = MemoryBlobs()
    uploads = Uploads(blobs)
    return AttemptDependencies(
        runner_id=RUNNER,
        log=cluster.log,
        engines={},
        uploads=uploads,
        remote_sources=RunnerSources(SourceHosts(), (), blobs, folder),
        reports=Reports(cluster.tasks, cluster.logs, uploads),
        cores=1,
        keep_work=False,
        kept=KeptWorkspaces(folder, KeepPolicy(), dict, runtime=SYSTEM),
        upload_retry_s=1.0,
    )


def order_of(job_id: JobId, *, version: int = 2) -> StartOrder:
    return StartOrder(job_id=job_id, tenant=DEFAULT_TENANT, attempt=1, job_version=version, cause=CAUSE)


async def test_it_is_returned_with_the_reason_and_waits_again(memory_cluster: MemoryCluster, tmp_path: Path) -> None:
    desk, place = Desk(memory_cluster.log), place_of(memory_cluster, tmp_path)
    job_id = await desk.submit()
    await desk.assign(job_id, RUNNER)

    await return_attempt(place, order_of(job_id), RequeueCause.PREEMPTED, "the runner leaves")

    assert (await desk.job(job_id)).state is JobState.QUEUED
    last = (await desk.history(job_id))[-1].event
    assert isinstance(last.data, JobRequeued)
    assert (last.data.cause, last.data.reason) == (RequeueCause.PREEMPTED, "the runner leaves")
    assert (last.actor, last.cause) == (f"runner:{RUNNER}", CAUSE)


async def test_nothing_happens_when_it_belongs_to_another_runner_by_now(
    memory_cluster: MemoryCluster, tmp_path: Path
) -> None:
    desk, place = Desk(memory_cluster.log), place_of(memory_cluster, tmp_path)
    job_id = await desk.submit()
    await desk.assign(job_id, RunnerId("other"))
    before = await desk.types(job_id)

    await return_attempt(place, order_of(job_id), RequeueCause.PREEMPTED, "the runner leaves")

    assert await desk.types(job_id) == before


async def test_the_job_of_an_order_is_the_one_that_it_names(memory_cluster: MemoryCluster, tmp_path: Path) -> None:
    desk, place = Desk(memory_cluster.log), place_of(memory_cluster, tmp_path)
    job_id = await desk.submit()
    jobs = job_log(place, order_of(job_id, version=1))
    await jobs.load(min_version=1)
    assert jobs.job is not None
    assert jobs.job.id == job_id
    assert aggregates.job(DEFAULT_TENANT, job_id) == memory_cluster.log.stored[-1].event.aggregate
