"""Which event of a job can follow in which state, and what an event that cannot makes of it.

Every fold of a job's life decides by these functions, from the log alone: the gateway, the projector, the runner and
the scheduler find the same damage.
"""

from typing import Final

from penstock_domain.chain import Stored
from penstock_domain.damage import misfit
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
    ResultsDelayed,
)
from penstock_schemas.jobs import JobState
from penstock_schemas.views import Head, JobLifecycle

_HOLDING: Final = frozenset(state for state in JobState if state.holds_slot)
_TERMINAL: Final = frozenset(state for state in JobState if state.is_terminal)
_OF_ATTEMPT: Final = (JobAssigned, AttemptStarted, ResultsDelayed, JobCompleted, JobFailed, JobRequeued)
STATES_BEFORE: Final[dict[type[EventData], frozenset[JobState]]] = {
    JobHeld: frozenset({JobState.QUEUED}),
    JobReleased: frozenset({JobState.HELD}),
    JobAssigned: frozenset({JobState.QUEUED}),
    AttemptStarted: frozenset({JobState.ASSIGNED}),
    ResultsDelayed: frozenset({JobState.RUNNING}),
    JobCompleted: _HOLDING,
    JobFailed: _HOLDING,
    JobRequeued: _HOLDING,
    JobCancelRequested: frozenset({JobState.ASSIGNED, JobState.RUNNING}),
    JobCancelled: frozenset({JobState.QUEUED, JobState.HELD, JobState.CANCELLING}),
    JobDeleted: _TERMINAL,
}
"""The states that each event can follow."""


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
