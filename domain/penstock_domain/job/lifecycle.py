"""The one fold of a job's life, for every service: what an event makes of a `JobLifecycle`, and when it can follow.

Folding rejects nothing. An event that cannot be read, does not follow in the chain, or cannot happen in the job's state
puts the job into quarantine: it keeps its state, and only the event by which an operator closes it changes it.
"""

from typing import Final, TypeVar

from msgspec.structs import replace

from penstock_domain.chain import Stored, following, misfit
from penstock_domain.damage import damage_of
from penstock_schemas.events import (
    AttemptStarted,
    EventData,
    JobAssigned,
    JobCancelled,
    JobCancelRequested,
    JobClosed,
    JobCompleted,
    JobDeleted,
    JobFailed,
    JobHeld,
    JobReleased,
    JobRequeued,
    JobSubmitted,
    RemoteSourcesPinned,
    ResultsDelayed,
)
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.jobs import JobState, RequeueCause
from penstock_schemas.views import EMPTY_HEAD, Head, JobLifecycle

Life = TypeVar("Life", bound=JobLifecycle)
"""A lifecycle, alone or with more fields, which the functions of this module keep as they are."""

_HOLDING: Final = frozenset(state for state in JobState if state.holds_slot)
_TERMINAL: Final = frozenset(state for state in JobState if state.is_terminal)
_OF_ATTEMPT: Final = (
    JobAssigned,
    AttemptStarted,
    ResultsDelayed,
    RemoteSourcesPinned,
    JobCompleted,
    JobFailed,
    JobRequeued,
)
STATES_BEFORE: Final[dict[type[EventData], frozenset[JobState]]] = {
    JobHeld: frozenset({JobState.QUEUED}),
    JobReleased: frozenset({JobState.HELD}),
    JobAssigned: frozenset({JobState.QUEUED}),
    AttemptStarted: frozenset({JobState.ASSIGNED}),
    ResultsDelayed: frozenset({JobState.RUNNING}),
    RemoteSourcesPinned: frozenset({JobState.RUNNING, JobState.CANCELLING}),
    JobCompleted: _HOLDING,
    JobFailed: _HOLDING,
    JobRequeued: _HOLDING,
    JobCancelRequested: frozenset({JobState.ASSIGNED, JobState.RUNNING}),
    JobCancelled: frozenset({JobState.QUEUED, JobState.HELD, JobState.CANCELLING}),
    JobDeleted: _TERMINAL,
}
"""The states that each event can follow."""


def begun(data: JobSubmitted, stored: Stored) -> JobLifecycle:
    """Return the life of a job after its submission."""
    return JobLifecycle(
        id=data.job_id,
        tenant=data.tenant,
        state=JobState.HELD if data.spec.hold else JobState.QUEUED,
        head=stored.head,
        request_sha256=data.request_sha256,
        can_requeue=data.spec.requeue,
    )


def unknown(tenant: TenantId, job_id: JobId) -> JobLifecycle:
    """Return the life of a job whose submission cannot be read."""
    return JobLifecycle(id=job_id, tenant=tenant, state=JobState.QUEUED, head=EMPTY_HEAD)


def advanced(job: Life, stored: Stored) -> Life:
    """Return `job` after the next event of its aggregate. Only the fields of `JobLifecycle` change."""
    if closes(job.head, stored):
        return applied(job, stored)
    if job.damage is not None:
        return replace(job, head=following(job.head, stored))
    fault = next_event_fault(job, stored)
    if fault is None:
        return applied(job, stored)
    return replace(job, damage=damage_of(stored, fault), head=following(job.head, stored))


def applied(job: Life, stored: Stored) -> Life:
    """Return `job` after an event that can follow."""
    data, head = stored.event.data, stored.head
    match data:
        case JobAssigned():
            return replace(
                job,
                head=head,
                state=JobState.ASSIGNED,
                attempt=data.attempt,
                runner_id=data.runner_id,
                not_before=None,
                is_alone=data.is_alone,
                slots=data.slots,
                gpus=data.gpus,
            )
        case JobRequeued():
            return replace(_requeued(job, data), head=head)
        case JobCancelRequested():
            return replace(job, head=head, state=JobState.CANCELLING, cancel_reason=data.reason)
        case JobCancelled():
            reason = data.reason if data.reason is not None else job.cancel_reason
            return replace(job, head=head, state=JobState.CANCELLED, cancel_reason=reason)
        case JobDeleted():
            return replace(job, head=head, deleted_at=stored.event.time, cancel_reason=None)
        case JobClosed():
            state = job.state if job.state.is_terminal else JobState.FAILED
            return replace(job, head=head, state=state, damage=None)
        case _:
            return replace(job, head=head, state=_state_after(job, data))


def first_event_fault(stored: Stored, head: Head) -> str | None:
    """Return why `stored` cannot be the first event of a job; `None` when it can."""
    fault = misfit(head, stored)
    if fault is not None or isinstance(stored.event.data, JobSubmitted):
        return fault
    return f"{type(stored.event.data).__name__} cannot be here"


def next_event_fault(job: JobLifecycle, stored: Stored) -> str | None:
    """Return why `stored` cannot be the next event of `job`; `None` when it can."""
    fault = misfit(job.head, stored)
    if fault is not None:
        return fault
    data = stored.event.data
    name = type(data).__name__
    if isinstance(data, JobSubmitted):
        return f"{name} cannot be here"
    if job.state not in STATES_BEFORE.get(type(data), frozenset()):
        return f"{name} cannot follow while the job is {job.state.value}"
    expected = job.attempt + 1 if isinstance(data, JobAssigned) else job.attempt
    if isinstance(data, _OF_ATTEMPT) and data.attempt != expected:
        return f"{name} is of attempt {data.attempt}, and {expected} is the current one"
    return None


def closes(head: Head, stored: Stored) -> bool:
    """Return whether an event closes a job that ends at `head`.

    Its version counts the events that its writer could read, so it need not follow. A service that read the job before
    the damage closes the job as well.
    """
    return isinstance(stored.event.data, JobClosed) and stored.event.previous == head.hash


def counts_as_requeue(data: JobRequeued) -> bool:
    """Return whether a requeue counts towards `MAX_REQUEUES`.

    The stop of a runner does not; its end is counted separately, see `runner_crashes`.
    """
    return data.cause is not RequeueCause.PREEMPTED and not data.is_runner_gone


def _state_after(job: JobLifecycle, data: object) -> JobState:
    match data:
        case JobHeld():
            return JobState.HELD
        case JobReleased():
            return JobState.QUEUED
        case AttemptStarted():
            # A job that is being cancelled stays so: the runner stops what it just started.
            return JobState.CANCELLING if job.state is JobState.CANCELLING else JobState.RUNNING
        case JobCompleted():
            return JobState.COMPLETED
        case JobFailed():
            return JobState.FAILED
        case _:
            return job.state


def _requeued(job: Life, data: JobRequeued) -> Life:
    return replace(
        job,
        state=JobState.QUEUED,
        runner_id=None,
        requeues=job.requeues + counts_as_requeue(data),
        runner_crashes=job.runner_crashes + data.is_runner_gone,
        crashes_alone=job.crashes_alone + (data.is_runner_gone and job.is_alone),
        is_alone=False,
        slots=1,
        gpus=(),
        not_before=data.not_before,
    )
