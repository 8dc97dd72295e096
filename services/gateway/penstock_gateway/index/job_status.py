"""The detailed status of a job, used for the filters and the counters of lists."""

from enum import Enum
from typing import Final, assert_never

from penstock_schemas.jobs import STATUS_OF, FailureCause, JobState, JobStatus
from penstock_schemas.views import Job


class DetailedStatus(Enum):
    """A job's state, with failures divided by their cause."""

    QUEUED = "QUEUED"
    HELD = "HELD"
    ASSIGNED = "ASSIGNED"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    FAILED_BY_WORKFLOW = "FAILED_BY_WORKFLOW"
    FAILED_BY_SYSTEM = "FAILED_BY_SYSTEM"
    PREEMPTED = "PREEMPTED"
    CANCELLED = "CANCELLED"


_STATE_OF: Final = {
    DetailedStatus.QUEUED: JobState.QUEUED,
    DetailedStatus.HELD: JobState.HELD,
    DetailedStatus.ASSIGNED: JobState.ASSIGNED,
    DetailedStatus.RUNNING: JobState.RUNNING,
    DetailedStatus.CANCELLING: JobState.CANCELLING,
    DetailedStatus.COMPLETED: JobState.COMPLETED,
    DetailedStatus.FAILED_BY_WORKFLOW: JobState.FAILED,
    DetailedStatus.FAILED_BY_SYSTEM: JobState.FAILED,
    DetailedStatus.PREEMPTED: JobState.FAILED,
    DetailedStatus.CANCELLED: JobState.CANCELLED,
}
_FAILED: Final = {
    FailureCause.WORKFLOW: DetailedStatus.FAILED_BY_WORKFLOW,
    FailureCause.SYSTEM: DetailedStatus.FAILED_BY_SYSTEM,
    FailureCause.PREEMPTED: DetailedStatus.PREEMPTED,
}
DETAILED_STATUSES_OF: Final = {
    status: tuple(detail for detail, state in _STATE_OF.items() if STATUS_OF[state] is status) for status in JobStatus
}
"""The detailed statuses that the native API shows as one status."""


def detailed_status(job: Job) -> DetailedStatus:
    """Return the detailed status of `job`."""
    match job.state:
        case JobState.FAILED:
            # What a deleted job failed of was removed with it; the workflow is the usual reason.
            return DetailedStatus.FAILED_BY_WORKFLOW if job.failure is None else _FAILED[job.failure.cause]
        case (
            JobState.QUEUED
            | JobState.HELD
            | JobState.ASSIGNED
            | JobState.RUNNING
            | JobState.CANCELLING
            | JobState.COMPLETED
            | JobState.CANCELLED
        ):
            return DetailedStatus[job.state.name]
        case _:
            assert_never(job.state)
