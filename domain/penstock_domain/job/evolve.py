"""The view of a job as the fold of its events: its life, and the description that its events give."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, get_args

from msgspec.structs import asdict, replace

from penstock_domain.aggregates import job_of
from penstock_domain.chain import Stored, following
from penstock_domain.damage import damage_message, damage_of
from penstock_domain.job.lifecycle import advanced, applied, begun, first_event_fault, unknown
from penstock_schemas.events import (
    AttemptStarted,
    JobCancelled,
    JobClosed,
    JobCompleted,
    JobDeleted,
    JobEventData,
    JobFailed,
    JobHeld,
    JobReleased,
    JobRequeued,
    JobSubmitted,
    ResultsDelayed,
)
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import Failure, FailureCause
from penstock_schemas.views import EMPTY_HEAD, Job, JobLifecycle

MAX_MESSAGE_CHARS: Final = 2000
_JOB_EVENTS: Final = frozenset(get_args(JobEventData))


def evolve(job: Job | None, stored: Stored) -> Job | None:
    """Return the job after `stored`. An event that does not concern a job leaves it as it was."""
    place = job_of(stored.event.aggregate)
    if place is None or type(stored.event.data) not in _JOB_EVENTS:
        return job
    if job is None:
        return _first(*place, stored)
    if (job.tenant, job.id) != place:
        return job
    after = advanced(job, stored)
    if after.damage is None:
        return _described(job, after, stored)
    return after if job.damage is not None else _with_damage_message(after)


def changed(job: Job | None, stored: Stored) -> Job | None:
    """Return the job after an event that can follow."""
    data = stored.event.data
    if isinstance(data, JobSubmitted):
        return _submitted(data, stored)
    if job is None or type(data) not in _JOB_EVENTS:
        return job
    return _described(job, applied(job, stored), stored)


def fold(history: Iterable[Stored]) -> Job | None:
    """Return the job after `history`, the events of one aggregate in order."""
    job: Job | None = None
    for stored in history:
        job = evolve(job, stored)
    return job


def _first(tenant: TenantId, job_id: JobId, stored: Stored) -> Job:
    fault = first_event_fault(stored, EMPTY_HEAD)
    data = stored.event.data
    if fault is None and isinstance(data, JobSubmitted):
        return _submitted(data, stored)
    spec = JobSpec(pipeline_name="", engine="", owner="")
    job = _view(unknown(tenant, job_id), spec, stored)
    damage = damage_of(stored, fault or "")
    return _with_damage_message(replace(job, damage=damage, head=following(EMPTY_HEAD, stored)))


def _submitted(data: JobSubmitted, stored: Stored) -> Job:
    return _view(begun(data, stored), data.spec, stored)


def _view(life: JobLifecycle, spec: JobSpec, stored: Stored) -> Job:
    time = stored.event.time
    return Job(**asdict(life), spec=spec, created_at=time, updated_at=time, created_seq=stored.seq)


def _described(before: Job, job: Job, stored: Stored) -> Job:
    """Return `job`, whose life `stored` changed, with the rest of what the event reports."""
    data, time = stored.event.data, stored.event.time
    job = replace(job, updated_at=time)
    match data:
        case JobHeld():
            return replace(job, hold_reason=data.reason)
        case JobReleased():
            return replace(job, hold_reason=None)
        case AttemptStarted():
            return replace(job, started_at=time, results_delay=None, results_tries=0)
        case ResultsDelayed():
            return replace(job, results_delay=data.reason, results_tries=data.tries)
        case JobRequeued():
            return replace(job, requeue_reason=data.reason)
        case JobCompleted() | JobFailed() | JobCancelled():
            return _ended(job, data, time)
        case JobDeleted():
            return _emptied(job)
        case JobClosed():
            return _closed(before, job, data, time)
        case _:
            return job


def _ended(job: Job, data: JobCompleted | JobFailed | JobCancelled, time: datetime) -> Job:
    job = replace(job, completed_at=time, tasks=data.tasks, measured=data.measured, warnings=data.warnings)
    if isinstance(data, JobCancelled):
        return replace(job, hold_reason=None, results=data.results)
    job = replace(job, output_files=data.output_files, output_bytes=data.output_bytes)
    return replace(job, failure=data.failure, results=data.results) if isinstance(data, JobFailed) else job


def _with_damage_message(job: Job) -> Job:
    if job.damage is None or job.state.is_terminal:
        return job
    message = damage_message(job.damage)[:MAX_MESSAGE_CHARS]
    return replace(job, failure=Failure(cause=FailureCause.SYSTEM, message=message))


def _closed(before: Job, job: Job, data: JobClosed, closed_at: datetime) -> Job:
    if before.state.is_terminal:
        return job
    message = f"the event log of this job is damaged at sequence {data.damaged_seq}; an operator closed it"
    failure = job.failure or Failure(cause=FailureCause.SYSTEM, message=message)
    return replace(job, failure=failure, completed_at=closed_at, hold_reason=None)


def _emptied(job: Job) -> Job:
    """Return what is left of a deleted job: its owner and how it ended, and nothing of its request."""
    spec = job.spec
    kept = JobSpec(
        pipeline_name=spec.pipeline_name,
        engine=spec.engine,
        owner=spec.owner,
        pipeline=spec.pipeline,
        priority=spec.priority,
        requeue=spec.requeue,
    )
    return replace(
        job,
        spec=kept,
        requeue_reason=None,
        results_delay=None,
        failure=None,
        warnings=(),
        output_files=0,
        output_bytes=0,
        measured=None,
        results=None,
    )
