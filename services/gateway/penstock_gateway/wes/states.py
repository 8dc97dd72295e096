"""The WES state of each detailed status."""

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
DETAILED_STATUS_OF: Final = {state: status for status, state in _STATE_OF.items()}
"""The detailed status that WES shows as a state. No job is ever `UNKNOWN`."""


def state_of(job: Job) -> WesState:
    """Return the state of a run."""
    return _STATE_OF[detailed_status(job)]


def state_counts(counts: dict[DetailedStatus, int]) -> dict[str, int]:
    """Return how many runs are in which state; every state is there."""
    return {
        state.value: counts.get(DETAILED_STATUS_OF[state], 0) if state in DETAILED_STATUS_OF else 0
        for state in WesState
    }
