"""How an attempt ends: with an outcome, or without one, and then whether the job gets another attempt."""

from datetime import datetime, timedelta
from typing import Final, assert_never

from penstock_domain.job.errors import JobEnded, StaleAttempt
from penstock_schemas.commands import AbandonAttempt, EndAttempt, OutcomeKind
from penstock_schemas.events import JobCancelled, JobCompleted, JobEventData, JobFailed, JobRequeued
from penstock_schemas.ids import RunnerId
from penstock_schemas.jobs import Failure, FailureCause, JobState, RequeueCause
from penstock_schemas.views import JobLifecycle

MAX_REQUEUES: Final = 5
"""A job with so many requeues is not tried again when its next attempt ends without an outcome. Attempts that ended
because their runner was stopped do not count."""
MAX_SHARED_CRASHES: Final = 2
"""A job that was on so many runners when they crashed runs only on a runner where nothing else does."""
MAX_CRASHES_ALONE: Final = 2
"""A job is quarantined when so many runners crashed that had no other job."""
REQUEUE_BACKOFF_S: Final = (0.0, 1.0, 5.0, 15.0, 60.0)
"""The delay before the next attempt, after the first, second, ... attempt without an outcome."""


def end_attempt(job: JobLifecycle, command: EndAttempt) -> tuple[JobEventData, ...]:
    """Return the events of an attempt that ended with an outcome.

    Raises:
        JobEnded, StaleAttempt: as `require_attempt`.

    """
    require_attempt(job, command.attempt, command.runner_id)
    match command.outcome:
        case OutcomeKind.SUCCEEDED:
            # The work was done before the order to stop arrived: the job completed.
            return (
                JobCompleted(
                    attempt=command.attempt,
                    runner_id=command.runner_id,
                    tasks=command.tasks,
                    output_files=command.output_files,
                    output_bytes=command.output_bytes,
                    measured=command.measured,
                    warnings=command.warnings,
                ),
            )
        case OutcomeKind.FAILED:
            return (_failed(job, command),)
        case OutcomeKind.STOPPED:
            if job.state is not JobState.CANCELLING:
                # The runner was stopped, and not the job: it continues on another runner.
                return _requeue(job, command.runner_id, command.now, RequeueCause.PREEMPTED, "the work was stopped")
            return (
                JobCancelled(
                    attempt=command.attempt,
                    runner_id=command.runner_id,
                    reason=job.cancel_reason,
                    tasks=command.tasks,
                    measured=command.measured,
                    warnings=command.warnings,
                    results=command.results,
                ),
            )
        case _:
            assert_never(command.outcome)


def _failed(job: JobLifecycle, command: EndAttempt) -> JobEventData:
    if job.state is JobState.CANCELLING:
        return JobCancelled(
            attempt=command.attempt,
            runner_id=command.runner_id,
            reason=job.cancel_reason,
            tasks=command.tasks,
            measured=command.measured,
            warnings=command.warnings,
            results=command.results,
        )
    failure = command.failure or Failure(cause=FailureCause.SYSTEM, message="the runner gave no reason")
    return JobFailed(
        attempt=command.attempt,
        runner_id=command.runner_id,
        failure=failure,
        tasks=command.tasks,
        output_files=command.output_files,
        output_bytes=command.output_bytes,
        measured=command.measured,
        warnings=command.warnings,
        results=command.results,
    )


def abandon_attempt(job: JobLifecycle, command: AbandonAttempt) -> tuple[JobEventData, ...]:
    """Return the events of an attempt that ended without an outcome.

    Raises:
        JobEnded, StaleAttempt: as `require_attempt`.

    """
    require_attempt(job, command.attempt, command.runner_id)
    if job.state is JobState.CANCELLING:
        return (JobCancelled(attempt=command.attempt, runner_id=command.runner_id, reason=job.cancel_reason),)
    return _requeue(job, command.runner_id, command.now, command.cause, command.reason, command.is_runner_gone)


def needs_isolation(runner_crashes: int) -> bool:
    """Return whether a job must run alone, because so many runners crashed while they had it.

    Any of the jobs on a crashed runner may be the cause. A job that runs alone cannot harm another one.
    """
    return runner_crashes >= MAX_SHARED_CRASHES


def _requeue(
    job: JobLifecycle,
    runner_id: RunnerId,
    now: datetime,
    cause: RequeueCause,
    reason: str,
    is_runner_gone: bool = False,
) -> tuple[JobEventData, ...]:
    if job.state is JobState.RUNNING and not job.can_requeue:
        return (JobFailed(attempt=job.attempt, runner_id=runner_id, failure=_not_again(cause, reason)),)
    if is_runner_gone and job.is_alone and job.crashes_alone + 1 >= MAX_CRASHES_ALONE:
        return (JobFailed(attempt=job.attempt, runner_id=runner_id, failure=_quarantined(job, reason)),)
    if cause is not RequeueCause.PREEMPTED and not is_runner_gone and job.requeues >= MAX_REQUEUES:
        failure = Failure(
            cause=FailureCause.SYSTEM,
            message=f"stopped trying after {job.requeues + 1} attempts without an outcome; the last one: {reason}",
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


def _quarantined(job: JobLifecycle, reason: str) -> Failure:
    message = (
        f"quarantined: this run was on a runner that crashed {job.runner_crashes + 1} times, the last "
        f"{job.crashes_alone + 1} times with no other run beside it; the last time: {reason}"
    )
    return Failure(cause=FailureCause.SYSTEM, message=message)


def _not_again(cause: RequeueCause, reason: str) -> Failure:
    is_preempted = cause is RequeueCause.PREEMPTED
    return Failure(
        cause=FailureCause.PREEMPTED if is_preempted else FailureCause.SYSTEM,
        message=f"the attempt ended without an outcome: {reason}; the job was submitted with requeue off",
    )


def require_attempt(job: JobLifecycle, attempt: int, runner_id: RunnerId) -> None:
    """Check that `attempt` on `runner_id` is the job's current one.

    Raises:
        JobEnded: the job is over.
        StaleAttempt: another attempt, or another runner, has the job now.

    """
    if job.state.is_terminal:
        raise JobEnded(f"job {job.id} is already {job.state.value.lower()}")
    if not job.state.holds_slot or job.attempt != attempt or job.runner_id != runner_id:
        raise StaleAttempt(f"attempt {attempt} of job {job.id} on {runner_id} is no longer the current one")


def _backoff(requeues: int, cause: RequeueCause) -> timedelta:
    if cause is RequeueCause.PREEMPTED:
        return timedelta(0)
    return timedelta(seconds=REQUEUE_BACKOFF_S[min(requeues, len(REQUEUE_BACKOFF_S) - 1)])
