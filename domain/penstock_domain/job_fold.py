"""What a job becomes by what happened to it.

Folding refuses nothing. An event that cannot be read, does not follow in the chain, or cannot happen in the job's state
puts the job into quarantine: it keeps what it was, and nothing changes it but the event by which an operator closes it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, get_args

from msgspec.structs import replace

from penstock_domain.chain import Stored
from penstock_domain.damage import closes, damage_message, damage_of, following, job_fault
from penstock_domain.placement import job_of
from penstock_schemas.events import (
    AttemptStarted,
    JobAssigned,
    JobCancelled,
    JobCancelRequested,
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
from penstock_schemas.jobs import Damage, Failure, FailureCause, JobState, RequeueCause
from penstock_schemas.views import EMPTY_HEAD, Head, Job

MAX_MESSAGE_CHARS: Final = 2000
_JOB_EVENTS: Final = frozenset(get_args(JobEventData))


def evolve(job: Job | None, stored: Stored) -> Job | None:
    """Return the job after `stored`. An event that does not concern a job leaves it as it was."""
    place = job_of(stored.event.aggregate)
    if place is None or type(stored.event.data) not in _JOB_EVENTS:
        return job
    if job is not None and (job.tenant, job.id) != place:
        return job
    head = EMPTY_HEAD if job is None else job.head
    if job is not None and closes(head, stored):
        return changed(job, stored)
    if job is not None and job.damage is not None:
        return replace(job, head=following(head, stored))
    fault = job_fault(None if job is None else job.state, 0 if job is None else job.attempt, head, stored)
    if fault is None:
        return changed(job, stored)
    return _quarantined(job or _unknown(*place, stored), damage_of(stored, fault), following(head, stored))


def changed(job: Job | None, stored: Stored) -> Job | None:
    """Return what an event that fits makes of a job."""
    event, data = stored.event, stored.event.data
    head = stored.head
    if isinstance(data, JobSubmitted):
        return _submitted(data, event.time, head)
    if job is None or type(data) not in _JOB_EVENTS:
        return job
    job = replace(job, head=head, updated_at=event.time)
    match data:
        case JobHeld():
            return replace(job, state=JobState.HELD, hold_reason=data.reason)
        case JobReleased():
            return replace(job, state=JobState.QUEUED, hold_reason=None)
        case JobAssigned():
            return replace(
                job,
                state=JobState.ASSIGNED,
                attempt=data.attempt,
                runner_id=data.runner_id,
                not_before=None,
                is_alone=data.is_alone,
            )
        case AttemptStarted():
            # A job that is being cancelled stays so: the runner ends what it just started.
            state = JobState.CANCELLING if job.state is JobState.CANCELLING else JobState.RUNNING
            return replace(job, state=state, started_at=event.time, results_delay=None, results_tries=0)
        case ResultsDelayed():
            return replace(job, results_delay=data.reason, results_tries=data.tries)
        case JobCompleted():
            return replace(
                job,
                state=JobState.COMPLETED,
                completed_at=event.time,
                tasks=data.tasks,
                output_files=data.output_files,
                output_bytes=data.output_bytes,
                warnings=data.warnings,
            )
        case JobFailed():
            return replace(
                job,
                state=JobState.FAILED,
                completed_at=event.time,
                failure=data.failure,
                tasks=data.tasks,
                output_files=data.output_files,
                output_bytes=data.output_bytes,
                warnings=data.warnings,
            )
        case JobRequeued():
            return replace(
                job,
                state=JobState.QUEUED,
                runner_id=None,
                requeues=job.requeues + counts_as_requeue(data),
                runner_crashes=job.runner_crashes + data.is_runner_gone,
                crashes_alone=job.crashes_alone + (data.is_runner_gone and job.is_alone),
                is_alone=False,
                not_before=data.not_before,
                requeue_reason=data.reason,
            )
        case JobCancelRequested():
            return replace(job, state=JobState.CANCELLING, cancel_reason=data.reason)
        case JobCancelled():
            return replace(
                job,
                state=JobState.CANCELLED,
                completed_at=event.time,
                hold_reason=None,
                cancel_reason=data.reason if data.reason is not None else job.cancel_reason,
                tasks=data.tasks,
                warnings=data.warnings,
            )
        case JobDeleted():
            return _emptied(job, event.time)
        case JobClosed():
            return _closed(job, data, event.time)
        case _:
            return job


def counts_as_requeue(data: JobRequeued) -> bool:
    """Say whether a requeue brings its job nearer to being given up.

    The stop of a runner does not, nor its end: that is counted by itself, see `runner_crashes`.
    """
    return data.cause is not RequeueCause.PREEMPTED and not data.is_runner_gone


def fold(history: Iterable[Stored]) -> Job | None:
    """Return the job that `history`, the events of one aggregate in order, made."""
    job: Job | None = None
    for stored in history:
        job = evolve(job, stored)
    return job


def _submitted(data: JobSubmitted, time: datetime, head: Head) -> Job:
    return Job(
        id=data.job_id,
        tenant=data.tenant,
        owner=data.owner,
        pipeline_name=data.pipeline_name,
        engine=data.engine,
        state=JobState.HELD if data.hold else JobState.QUEUED,
        created_at=time,
        updated_at=time,
        created_seq=head.seq,
        head=head,
        parameters=data.parameters,
        description=data.description,
        source=data.source,
        labels=data.labels,
        priority=data.priority,
        idempotency_key=data.idempotency_key,
        request_sha256=data.request_sha256,
        engine_parameters=data.engine_parameters,
        workflow=data.workflow,
        pipeline=data.pipeline,
        requeue=data.requeue,
    )


def _quarantined(job: Job, damage: Damage, head: Head) -> Job:
    failure = Failure(cause=FailureCause.SYSTEM, message=damage_message(damage)[:MAX_MESSAGE_CHARS])
    return replace(job, damage=damage, failure=job.failure if job.state.is_terminal else failure, head=head)


def _unknown(tenant: TenantId, job_id: JobId, stored: Stored) -> Job:
    """Return what is known of a job whose submission cannot be read."""
    return Job(
        id=job_id,
        tenant=tenant,
        owner="",
        pipeline_name="",
        engine="",
        state=JobState.QUEUED,
        created_at=stored.event.time,
        updated_at=stored.event.time,
        created_seq=stored.seq,
        head=EMPTY_HEAD,
    )


def _closed(job: Job, data: JobClosed, closed_at: datetime) -> Job:
    if job.state.is_terminal:
        return replace(job, damage=None)
    message = f"the event log of this job is damaged at sequence {data.damaged_seq}; an operator closed it"
    failure = job.failure or Failure(cause=FailureCause.SYSTEM, message=message)
    return replace(job, state=JobState.FAILED, damage=None, failure=failure, completed_at=closed_at, hold_reason=None)


def _emptied(job: Job, deleted_at: datetime) -> Job:
    """Return what is left of a deleted job: who it belonged to and how it ended, and nothing that it was given."""
    return replace(
        job,
        deleted_at=deleted_at,
        parameters={},
        description=None,
        source=None,
        labels={},
        idempotency_key=None,
        cancel_reason=None,
        requeue_reason=None,
        results_delay=None,
        engine_parameters=None,
        workflow=None,
        failure=None,
        warnings=(),
        output_files=0,
        output_bytes=0,
    )
