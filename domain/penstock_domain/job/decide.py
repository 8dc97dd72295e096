"""Every rule about which commands a job accepts, and which events they lead to.

The events' effect is in `penstock_domain.job.lifecycle`. The diagram is in `docs/reference/states.md`.
"""

from typing import assert_never

from penstock_domain.damage import damage_message
from penstock_domain.job.attempts import abandon_attempt, end_attempt, require_attempt
from penstock_domain.job.errors import (
    IdempotencyKeyReused,
    JobEnded,
    JobGone,
    JobNotEnded,
    JobQuarantined,
    NotDamaged,
    NotQueued,
    Refused,
    UnknownJob,
)
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
    PinRemoteSources,
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
    JobDeleted,
    JobEventData,
    JobHeld,
    JobReleased,
    JobSubmitted,
    RemoteSourcesPinned,
    ResultsDelayed,
)
from penstock_schemas.jobs import JobState
from penstock_schemas.remote_sources import MAX_SHOWN_REFS
from penstock_schemas.views import JobLifecycle


def decide(job: JobLifecycle | None, command: JobCommand) -> tuple[JobEventData, ...]:
    """Return the events that `command` leads to; none when its effect is already there.

    Raises:
        Refused: the job's state does not allow the command; the subclass and the message give the reason.

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
        case PinRemoteSources():
            return _pin_remote_sources(job, command)
        case EndAttempt():
            return end_attempt(job, command)
        case AbandonAttempt():
            return abandon_attempt(job, command)
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


def _submit(job: JobLifecycle | None, command: SubmitJob) -> tuple[JobEventData, ...]:
    if job is not None and job.deleted_at is not None:
        raise JobGone(f"job {job.id} was deleted")
    if job is not None:
        if job.request_sha256 == command.request_sha256:
            return ()
        raise IdempotencyKeyReused(f"the idempotency key belongs to job {job.id}, which was another request")
    return (
        JobSubmitted(
            job_id=command.job_id,
            tenant=command.tenant,
            spec=command.spec,
            request_sha256=command.request_sha256,
        ),
    )


def _assign(job: JobLifecycle, command: AssignJob) -> tuple[JobEventData, ...]:
    if job.state is not JobState.QUEUED:
        raise NotQueued(f"job {job.id} is {job.state.value}")
    return (
        JobAssigned(
            attempt=job.attempt + 1,
            runner_id=command.runner_id,
            cycle_id=command.cycle_id,
            is_alone=command.is_alone,
            slots=command.slots,
            gpus=command.gpus,
        ),
    )


def _start(job: JobLifecycle, command: StartAttempt) -> tuple[JobEventData, ...]:
    require_attempt(job, command.attempt, command.runner_id)
    if job.state is JobState.CANCELLING:
        raise JobEnded(f"job {job.id} is being cancelled")
    if job.state is JobState.RUNNING:
        return ()
    return (AttemptStarted(attempt=command.attempt, runner_id=command.runner_id),)


def _delay_results(job: JobLifecycle, command: DelayResults) -> tuple[JobEventData, ...]:
    require_attempt(job, command.attempt, command.runner_id)
    if job.state is not JobState.RUNNING:
        return ()  # it is being cancelled: its results are not stored
    return (
        ResultsDelayed(
            attempt=command.attempt, runner_id=command.runner_id, tries=command.tries, reason=command.reason
        ),
    )


def _pin_remote_sources(job: JobLifecycle, command: PinRemoteSources) -> tuple[JobEventData, ...]:
    require_attempt(job, command.attempt, command.runner_id)
    if job.state is JobState.ASSIGNED:
        return ()  # the attempt has not started, so its workflow was not read
    return (
        RemoteSourcesPinned(
            attempt=command.attempt,
            runner_id=command.runner_id,
            manifest=command.manifest,
            sha256=command.sha256,
            files=command.files,
            size_bytes=command.size_bytes,
            refs=command.refs[:MAX_SHOWN_REFS],
        ),
    )


def _hold(job: JobLifecycle, command: HoldJob) -> tuple[JobEventData, ...]:
    match job.state:
        case JobState.QUEUED:
            return (JobHeld(reason=command.reason),)
        case JobState.HELD:
            return ()
        case _:
            raise _not_waiting(job, "held")


def _release(job: JobLifecycle) -> tuple[JobEventData, ...]:
    match job.state:
        case JobState.HELD:
            return (JobReleased(),)
        case JobState.QUEUED:
            return ()
        case _:
            raise _not_waiting(job, "released")


def _not_waiting(job: JobLifecycle, action: str) -> Refused:
    if job.state.is_terminal:
        return JobEnded(f"job {job.id} is already {job.state.value.lower()}; only one that waits can be {action}")
    return NotQueued(f"job {job.id} is {job.state.value.lower()}; only one that waits can be {action}")


def _cancel(job: JobLifecycle, command: CancelJob) -> tuple[JobEventData, ...]:
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


def _close(job: JobLifecycle, command: CloseJob) -> tuple[JobEventData, ...]:
    if job.damage is None:
        raise NotDamaged(f"the events of job {job.id} are not damaged; cancel it instead")
    return (JobClosed(damaged_seq=job.damage.seq, reason=command.reason),)


def _delete(job: JobLifecycle, command: DeleteJob) -> tuple[JobEventData, ...]:
    if job.deleted_at is not None:
        return ()
    if not job.state.is_terminal:
        raise JobNotEnded(f"job {job.id} is {job.state.value.lower()}; cancel it first")
    return (JobDeleted(reason=command.reason),)
