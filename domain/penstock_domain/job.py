"""The life of a job: every rule about what may happen to it.

`decide(job, command)` says what happens, or refuses. What the job becomes by it is in `penstock_domain.job_fold`.
The diagram is in `docs/reference/states.md`.
"""

from datetime import datetime, timedelta
from typing import Final, assert_never

from penstock_domain.damage import damage_message
from penstock_schemas.commands import (
    AbandonAttempt,
    AssignJob,
    CancelJob,
    CloseJob,
    DelayResults,
    DeleteJob,
    EndAttempt,
    HoldJob,
    JobCommand,
    OutcomeKind,
    ReleaseJob,
    StartAttempt,
    SubmitJob,
)
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
from penstock_schemas.ids import RunnerId
from penstock_schemas.jobs import Failure, FailureCause, JobState, RequeueCause
from penstock_schemas.views import Job

MAX_REQUEUES: Final = 5
"""A job that was requeued this often is not tried again when its next attempt ends without an outcome, too. Attempts
that were given back because their runner was stopped do not count."""
MAX_SHARED_CRASHES: Final = 2
"""A job that was on so many runners when they ended is a suspect: it runs on a runner where nothing else does."""
MAX_CRASHES_ALONE: Final = 2
"""A job is quarantined when so many runners ended that had it alone."""
REQUEUE_BACKOFF_S: Final = (0.0, 1.0, 5.0, 15.0, 60.0)
"""How long a job waits after its first, second, ... attempt without an outcome."""


class Refused(Exception):
    """The job is not in a state where this can be done to it."""


class UnknownJob(Refused):
    """There is no such job."""


class JobEnded(Refused):
    """The job is over."""


class StaleAttempt(Refused):
    """Another attempt, or another runner, holds the job now."""


class JobNotEnded(Refused):
    """Only a job that is over can be deleted."""


class NotQueued(Refused):
    """Only a job that waits in the queue can be assigned, held or released."""


class IdempotencyKeyReused(Refused):
    """The key belongs to a submission that asked for something else."""


class JobQuarantined(Refused):
    """The events of the job are damaged; nothing happens to it until an operator closes it."""


class NotDamaged(Refused):
    """Only a job whose events are damaged can be closed."""


class JobGone(Refused):
    """The job was deleted; nothing happens to it any more."""


def decide(job: Job | None, command: JobCommand) -> tuple[JobEventData, ...]:
    """Return what happens when `command` is given to `job`; nothing when it already is so.

    Raises:
        Refused: the command cannot be obeyed; the subclass and the message say why.

    """
    if job is not None and job.damage is not None and not isinstance(command, CloseJob):
        raise JobQuarantined(f"{damage_message(job.damage)}. An operator can close job {job.id}")
    if isinstance(command, SubmitJob):
        return _submit(job, command)
    if job is None:
        raise UnknownJob("there is no such job")
    match command:
        case AssignJob():
            return _assign(job, command)
        case StartAttempt():
            return _start(job, command)
        case DelayResults():
            return _delay_results(job, command)
        case EndAttempt():
            return _end(job, command)
        case AbandonAttempt():
            return _abandon(job, command)
        case HoldJob():
            return _hold(job, command)
        case ReleaseJob():
            return _release(job)
        case CancelJob():
            return _cancel(job, command)
        case CloseJob():
            return _close(job, command)
        case DeleteJob():
            return _delete(job, command)
        case _:
            assert_never(command)


def _submit(job: Job | None, command: SubmitJob) -> tuple[JobEventData, ...]:
    if job is not None and job.deleted_at is not None:
        raise JobGone(f"job {job.id} was deleted")
    if job is not None:
        if job.request_sha256 == command.request_sha256:
            return ()
        raise IdempotencyKeyReused(f"the idempotency key belongs to job {job.id}, which asked for something else")
    return (
        JobSubmitted(
            job_id=command.job_id,
            tenant=command.tenant,
            owner=command.owner,
            pipeline_name=command.pipeline_name,
            engine=command.engine,
            parameters=command.parameters,
            description=command.description,
            source=command.source,
            labels=command.labels,
            priority=command.priority,
            idempotency_key=command.idempotency_key,
            request_sha256=command.request_sha256,
            engine_parameters=command.engine_parameters,
            workflow=command.workflow,
            pipeline=command.pipeline,
            hold=command.hold,
            requeue=command.requeue,
        ),
    )


def _assign(job: Job, command: AssignJob) -> tuple[JobEventData, ...]:
    if job.state is not JobState.QUEUED:
        raise NotQueued(f"job {job.id} is {job.state.value}")
    return (
        JobAssigned(
            attempt=job.attempt + 1,
            runner_id=command.runner_id,
            cycle_id=command.cycle_id,
            is_alone=command.is_alone,
        ),
    )


def _start(job: Job, command: StartAttempt) -> tuple[JobEventData, ...]:
    _require_attempt(job, command.attempt, command.runner_id)
    if job.state is JobState.CANCELLING:
        raise JobEnded(f"job {job.id} is being cancelled")
    if job.state is JobState.RUNNING:
        return ()
    return (AttemptStarted(attempt=command.attempt, runner_id=command.runner_id),)


def _delay_results(job: Job, command: DelayResults) -> tuple[JobEventData, ...]:
    _require_attempt(job, command.attempt, command.runner_id)
    if job.state is not JobState.RUNNING:
        return ()  # it is being cancelled, so nobody waits for its results
    return (
        ResultsDelayed(
            attempt=command.attempt, runner_id=command.runner_id, tries=command.tries, reason=command.reason
        ),
    )


def _end(job: Job, command: EndAttempt) -> tuple[JobEventData, ...]:
    _require_attempt(job, command.attempt, command.runner_id)
    match command.outcome:
        case OutcomeKind.SUCCEEDED:
            # The work was done before the order to stop arrived: what is true is that it completed.
            return (
                JobCompleted(
                    attempt=command.attempt,
                    runner_id=command.runner_id,
                    tasks=command.tasks,
                    output_files=command.output_files,
                    output_bytes=command.output_bytes,
                    warnings=command.warnings,
                ),
            )
        case OutcomeKind.FAILED:
            return (_failed(job, command),)
        case OutcomeKind.STOPPED:
            if job.state is not JobState.CANCELLING:
                # Nobody asked for the job's end: what was stopped is the runner, and the job goes on elsewhere.
                return _requeue(job, command.runner_id, command.now, RequeueCause.PREEMPTED, "the work was stopped")
            return (
                JobCancelled(
                    attempt=command.attempt,
                    runner_id=command.runner_id,
                    reason=job.cancel_reason,
                    tasks=command.tasks,
                    warnings=command.warnings,
                ),
            )
        case _:
            assert_never(command.outcome)


def _failed(job: Job, command: EndAttempt) -> JobEventData:
    if job.state is JobState.CANCELLING:
        return JobCancelled(
            attempt=command.attempt,
            runner_id=command.runner_id,
            reason=job.cancel_reason,
            tasks=command.tasks,
            warnings=command.warnings,
        )
    failure = command.failure or Failure(cause=FailureCause.SYSTEM, message="the runner gave no reason")
    return JobFailed(
        attempt=command.attempt,
        runner_id=command.runner_id,
        failure=failure,
        tasks=command.tasks,
        output_files=command.output_files,
        output_bytes=command.output_bytes,
        warnings=command.warnings,
    )


def _abandon(job: Job, command: AbandonAttempt) -> tuple[JobEventData, ...]:
    _require_attempt(job, command.attempt, command.runner_id)
    if job.state is JobState.CANCELLING:
        return (JobCancelled(attempt=command.attempt, runner_id=command.runner_id, reason=job.cancel_reason),)
    return _requeue(job, command.runner_id, command.now, command.cause, command.reason, command.is_runner_gone)


def is_suspect(runner_crashes: int) -> bool:
    """Say whether a job must run alone, because so many runners ended while they had it.

    One of the jobs that a runner had may be what ended it, and nobody knows which: alone, it can end no other.
    """
    return runner_crashes >= MAX_SHARED_CRASHES


def _requeue(
    job: Job, runner_id: RunnerId, now: datetime, cause: RequeueCause, reason: str, is_runner_gone: bool = False
) -> tuple[JobEventData, ...]:
    if job.state is JobState.RUNNING and not job.requeue:
        return (JobFailed(attempt=job.attempt, runner_id=runner_id, failure=_not_again(cause, reason)),)
    if is_runner_gone and job.is_alone and job.crashes_alone + 1 >= MAX_CRASHES_ALONE:
        return (JobFailed(attempt=job.attempt, runner_id=runner_id, failure=_quarantined(job, reason)),)
    if cause is not RequeueCause.PREEMPTED and not is_runner_gone and job.requeues >= MAX_REQUEUES:
        failure = Failure(
            cause=FailureCause.SYSTEM,
            message=f"given up after {job.requeues + 1} attempts without an outcome; the last one: {reason}",
        )
        return (JobFailed(attempt=job.attempt, runner_id=runner_id, failure=failure),)
    return (
        JobRequeued(
            attempt=job.attempt,
            runner_id=runner_id,
            cause=cause,
            reason=reason,
            not_before=now + _backoff(job.requeues + job.runner_crashes, cause),
            is_runner_gone=is_runner_gone,
        ),
    )


def _quarantined(job: Job, reason: str) -> Failure:
    message = (
        f"quarantined: this run was on a runner that crashed {job.runner_crashes + 1} times, the last "
        f"{job.crashes_alone + 1} times with no other run beside it; the last time: {reason}"
    )
    return Failure(cause=FailureCause.SYSTEM, message=message)


def _not_again(cause: RequeueCause, reason: str) -> Failure:
    is_preempted = cause is RequeueCause.PREEMPTED
    return Failure(
        cause=FailureCause.PREEMPTED if is_preempted else FailureCause.SYSTEM,
        message=f"the attempt ended without an outcome: {reason}; the job was submitted not to be requeued",
    )


def _hold(job: Job, command: HoldJob) -> tuple[JobEventData, ...]:
    match job.state:
        case JobState.QUEUED:
            return (JobHeld(reason=command.reason),)
        case JobState.HELD:
            return ()
        case _:
            raise _refused_to(job, "held")


def _release(job: Job) -> tuple[JobEventData, ...]:
    match job.state:
        case JobState.HELD:
            return (JobReleased(),)
        case JobState.QUEUED:
            return ()
        case _:
            raise _refused_to(job, "released")


def _refused_to(job: Job, told: str) -> Refused:
    if job.state.is_terminal:
        return JobEnded(f"job {job.id} is already {job.state.value.lower()}; only one that waits can be {told}")
    return NotQueued(f"job {job.id} is {job.state.value.lower()}; only one that waits can be {told}")


def _cancel(job: Job, command: CancelJob) -> tuple[JobEventData, ...]:
    match job.state:
        case JobState.QUEUED | JobState.HELD:
            return (JobCancelled(attempt=job.attempt, reason=command.reason),)
        case JobState.ASSIGNED | JobState.RUNNING:
            return (JobCancelRequested(reason=command.reason),)
        case JobState.CANCELLING | JobState.CANCELLED:
            return ()
        case JobState.COMPLETED | JobState.FAILED:
            raise JobEnded(f"job {job.id} is already {job.state.value.lower()}")
        case _:
            assert_never(job.state)


def _close(job: Job, command: CloseJob) -> tuple[JobEventData, ...]:
    if job.damage is None:
        raise NotDamaged(f"the events of job {job.id} are not damaged; cancel it instead")
    return (JobClosed(damaged_seq=job.damage.seq, reason=command.reason),)


def _delete(job: Job, command: DeleteJob) -> tuple[JobEventData, ...]:
    if job.deleted_at is not None:
        return ()
    if not job.state.is_terminal:
        raise JobNotEnded(f"job {job.id} is {job.state.value.lower()}; cancel it first")
    return (JobDeleted(reason=command.reason),)


def _require_attempt(job: Job, attempt: int, runner_id: RunnerId) -> None:
    if job.state.is_terminal:
        raise JobEnded(f"job {job.id} is already {job.state.value.lower()}")
    if not job.state.holds_slot or job.attempt != attempt or job.runner_id != runner_id:
        raise StaleAttempt(f"attempt {attempt} of job {job.id} on {runner_id} is no longer the current one")


def _backoff(requeues: int, cause: RequeueCause) -> timedelta:
    if cause is RequeueCause.PREEMPTED:
        return timedelta(0)
    return timedelta(seconds=REQUEUE_BACKOFF_S[min(requeues, len(REQUEUE_BACKOFF_S) - 1)])
