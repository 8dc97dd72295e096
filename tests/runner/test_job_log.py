"""A runner's view of one job: commands are decided on what the log has, and recorded once."""

from datetime import datetime

import pytest
from tests.scheduler.clients import load, submit

from penstock_domain import aggregates
from penstock_domain.job.errors import Refused
from penstock_ports import Unavailable
from penstock_runner.attempts import job_log
from penstock_runner.attempts.job_log import JobLog
from penstock_schemas.commands import AssignJob, CancelJob, EndAttempt, JobCommand, OutcomeKind, StartAttempt
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId, RunnerId
from penstock_schemas.jobs import JobState
from penstock_testing.memory import MemoryCluster

RUNNER = RunnerId("r")
CAUSE = EventId("order")


def log_of(cluster: MemoryCluster, job_id: JobId) -> JobLog:
    return JobLog(cluster.log, tenant=DEFAULT_TENANT, job_id=job_id, runner_id=RUNNER, cause=CAUSE)


async def assigned(cluster: MemoryCluster) -> tuple[JobId, JobLog]:
    job_id = await submit(cluster)
    await log_of(cluster, job_id).perform(lambda now: AssignJob(now=now, runner_id=RUNNER, cycle_id=EventId("c")))
    return job_id, log_of(cluster, job_id)


def start(now: datetime) -> JobCommand:
    return StartAttempt(now=now, attempt=1, runner_id=RUNNER)


def end(now: datetime) -> JobCommand:
    return EndAttempt(now=now, attempt=1, runner_id=RUNNER, outcome=OutcomeKind.SUCCEEDED)


async def test_each_command_is_caused_by_the_events_of_the_one_before(memory_cluster: MemoryCluster) -> None:
    job_id, log = await assigned(memory_cluster)
    await log.load()
    await log.perform(start)
    await log.perform(end)
    _, _, started, completed = await memory_cluster.log.load(aggregates.job(DEFAULT_TENANT, job_id))
    assert started.event.cause == CAUSE
    assert completed.event.cause == started.event.id
    assert {started.event.actor, completed.event.actor} == {f"runner:{RUNNER}"}
    assert log.job is not None
    assert log.job.state is JobState.COMPLETED


async def test_a_command_whose_effect_is_there_already_stores_nothing(memory_cluster: MemoryCluster) -> None:
    job_id, log = await assigned(memory_cluster)
    await log.perform(start)
    before = await memory_cluster.log.last_seq()
    await log.perform(start)
    assert await memory_cluster.log.last_seq() == before
    assert (await load(memory_cluster, job_id)) == log.job


async def test_a_change_by_another_service_is_read_before_the_next_try(memory_cluster: MemoryCluster) -> None:
    job_id, log = await assigned(memory_cluster)
    await log.load()
    await log.perform(start)
    await log_of(memory_cluster, job_id).perform(lambda now: CancelJob(now=now))
    await log.perform(lambda now: EndAttempt(now=now, attempt=1, runner_id=RUNNER, outcome=OutcomeKind.STOPPED))
    assert log.job is not None
    assert log.job.state is JobState.CANCELLED


async def test_a_refused_command_leaves_the_state_as_it_was_read(memory_cluster: MemoryCluster) -> None:
    _, log = await assigned(memory_cluster)
    before = await log.load()
    with pytest.raises(Refused):
        await log.perform(lambda now: EndAttempt(now=now, attempt=2, runner_id=RUNNER, outcome=OutcomeKind.FAILED))
    assert log.job == before
    await log.perform(start)
    assert log.job is not None
    assert log.job.state is JobState.RUNNING


async def test_an_outage_is_waited_for(memory_cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_log, "RETRY_PAUSE_S", 0.0)
    _, log = await assigned(memory_cluster)
    outages = iter([True, True, False])
    whole = memory_cluster.log.load

    async def load_when_up(aggregate: str, *, min_version: int = 0) -> object:
        if next(outages):
            raise Unavailable("away")
        return await whole(aggregate, min_version=min_version)

    monkeypatch.setattr(memory_cluster.log, "load", load_when_up)
    job = await log.load()
    assert job is not None
    assert job.state is JobState.ASSIGNED
    assert list(outages) == []
