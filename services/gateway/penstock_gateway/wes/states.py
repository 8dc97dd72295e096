"""The states of WES for where jobs stand."""

from typing import Final

from penstock_gateway.index.job_status import DetailedStatus, detailed_status
from penstock_gateway.operations.wes_models import WesState
from penstock_schemas.views import Job

_STATE_OF: Final = {
    DetailedStatus.QUEUED: WesState.QUEUED,
    DetailedStatus.HELD: WesState.PAUSED,
    DetailedStatus.ASSIGNED: WesState.INITIALIZING,
    DetailedStatus.RUNNING: WesState.RUNNING,
    DetailedStatus.CANCELLING: WesState.CANCELING,
    DetailedStatus.COMPLETED: WesState.COMPLETE,
    DetailedStatus.FAILED_BY_WORKFLOW: WesState.EXECUTOR_ERROR,
    DetailedStatus.FAILED_BY_SYSTEM: WesState.SYSTEM_ERROR,
    DetailedStatus.PREEMPTED: WesState.PREEMPTED,
    DetailedStatus.CANCELLED: WesState.CANCELED,
}
STANDING_OF: Final = {state: standing for standing, state in _STATE_OF.items()}
"""Where jobs stand that WES shows in a state. No job is ever `UNKNOWN`."""


def state_of(job: Job) -> WesState:
    """Return the state of a run."""
    return _STATE_OF[detailed_status(job)]


def state_counts(counts: dict[DetailedStatus, int]) -> dict[str, int]:
    """Return how many runs are in which state; every state is there."""
    return {state.value: counts.get(STANDING_OF[state], 0) if state in STANDING_OF else 0 for state in WesState}
