"""What a job becomes by what happened to it: folding refuses nothing, and knows no rules."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, get_args

from msgspec.structs import replace

from penstock_core.chain import Stored
from penstock_schemas.events import (
    AttemptStarted,
    JobAssigned,
    JobCancelled,
    JobCancelRequested,
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
from penstock_schemas.jobs import JobState, RequeueCause
from penstock_schemas.views import Head, Job

_JOB_EVENTS: Final = frozenset(get_args(JobEventData))


def evolve(job: Job | None, stored: Stored) -> Job | None:
    """Return the job after `stored`. An event that does not concern a job leaves it as it was."""
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
