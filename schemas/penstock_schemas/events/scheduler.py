"""The scheduler: subjects `penstock.events.scheduler.lease` and `.cycle`."""

from msgspec import Struct, field

from penstock_schemas.events.base import EventData, Moment
from penstock_schemas.ids import JobId, RunnerId


class LeaseAcquired(EventData, tag=True, frozen=True, kw_only=True):
    """A scheduler became the leader. The event's sequence fences every batch of its predecessors."""

    holder: str
    term: int


class Assignment(Struct, frozen=True, kw_only=True):
    """One decided start."""

    job_id: JobId
    attempt: int
    runner_id: RunnerId


class CycleDecided(EventData, tag=True, frozen=True, kw_only=True):
    """What one cycle of the scheduler had seen and what it decided, so that a replay can verify it."""

    term: int
    seen: int
    """The last sequence of the log that had been folded."""
    now: Moment
    """The time that was given to the decision."""
    silent_runners: dict[RunnerId, float] = field(default_factory=dict[RunnerId, float])
    """Runners that the shell reported as silent for too long, with the seconds."""
    assigned: tuple[Assignment, ...] = ()
    requeued: tuple[JobId, ...] = ()
    stopped: tuple[JobId, ...] = ()
    failed: tuple[JobId, ...] = ()
    cancelled: tuple[JobId, ...] = ()
    max_entries: int = 1000
    """How many entries the batch was allowed to have: fewer after a conflict."""


SchedulerEventData = LeaseAcquired | CycleDecided
"""The elections and the cycles of the scheduler."""
