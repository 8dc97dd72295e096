"""The states of WES for where jobs stand."""

from typing import Final

from penstock_gateway.standings import Standing, standing_of
from penstock_gateway.wes.models import State
from penstock_schemas.views import Job

_STATE_OF: Final = {
    Standing.QUEUED: State.QUEUED,
    Standing.HELD: State.PAUSED,
    Standing.ASSIGNED: State.INITIALIZING,
    Standing.RUNNING: State.RUNNING,
    Standing.CANCELLING: State.CANCELING,
    Standing.COMPLETED: State.COMPLETE,
    Standing.FAILED_BY_WORKFLOW: State.EXECUTOR_ERROR,
    Standing.FAILED_BY_SYSTEM: State.SYSTEM_ERROR,
    Standing.PREEMPTED: State.PREEMPTED,
    Standing.CANCELLED: State.CANCELED,
}
STANDING_OF: Final = {state: standing for standing, state in _STATE_OF.items()}
"""Where jobs stand that WES shows in a state. No job is ever `UNKNOWN`."""


def state_of(job: Job) -> State:
    """Return the state of a run."""
    return _STATE_OF[standing_of(job)]


def state_counts(counts: dict[Standing, int]) -> dict[str, int]:
    """Return how many runs are in which state; every state is there."""
    return {state.value: counts.get(STANDING_OF[state], 0) if state in STANDING_OF else 0 for state in State}
