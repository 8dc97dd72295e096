"""What the scheduler remembers of each live job, runner and limit: no more than a decision needs."""

from datetime import UTC, datetime
from enum import Enum
from typing import Final

from msgspec import Struct, field

from penstock_domain import aggregates
from penstock_domain.job import decide, is_suspect
from penstock_domain.policy.limits import Limit
from penstock_scheduler.core.order import Key
from penstock_schemas.commands import JobCommand
from penstock_schemas.events import JobEventData
from penstock_schemas.ids import EventId, JobId, RunnerId, TenantId
from penstock_schemas.jobs import Damage, JobState
from penstock_schemas.views import EMPTY_HEAD, Head, Job

Owner = tuple[TenantId, str]
"""Whose jobs are counted together."""

_UNKNOWN_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


class LiveJob(Struct, kw_only=True, array_like=True, gc=False):
    """A job that has not ended. It changes in place, and only `State` changes it."""

    id: JobId
    tenant: TenantId
    owner: str
    engine: str
    priority: int
    created_seq: int
    head: Head
    state: JobState = JobState.QUEUED
    attempt: int = 0
    runner_id: RunnerId | None = None
    requeues: int = 0
    not_before: datetime | None = None
    """`None` once a cycle saw that this time had come."""
    cancel_reason: str | None = None
    stop_told: bool = False
    """Whether its runner was ordered to stop the current attempt."""
    requeue: bool = True
    """Whether an attempt that had started may be made again."""
    runner_crashes: int = 0
    crashes_alone: int = 0
    is_alone: bool = False
    """Whether its current attempt has a runner for itself."""
    damaged_seq: int = 0
    """The sequence of its first damaged event, 0 for none: nothing is decided on it until an operator closes it."""

    @property
    def key(self) -> Key:
        """Its place in the queue."""
        return (-self.priority, self.created_seq)

    @property
    def is_suspect(self) -> bool:
        """Say whether it must run alone, because runners ended while they had it."""
        return is_suspect(self.runner_crashes)

    @property
    def aggregate(self) -> str:
        """The name of its events."""
        return aggregates.job(self.tenant, self.id)

    def decide(self, command: JobCommand) -> tuple[JobEventData, ...]:
        """Return what the job core decides. Only what the core looks at for these commands is filled in."""
        job = Job(
            id=self.id,
            tenant=self.tenant,
            owner=self.owner,
            pipeline_name="",
            engine=self.engine,
            state=self.state,
            created_at=_UNKNOWN_TIME,
            updated_at=_UNKNOWN_TIME,
            created_seq=self.created_seq,
            head=self.head,
            attempt=self.attempt,
            runner_id=self.runner_id,
            requeues=self.requeues,
            cancel_reason=self.cancel_reason,
            requeue=self.requeue,
            runner_crashes=self.runner_crashes,
            crashes_alone=self.crashes_alone,
            is_alone=self.is_alone,
        )
        return decide(job, command)


class RunnerStatus(Enum):
    """What may still be asked of a runner."""

    ACTIVE = "active"
    DRAINING = "draining"
    LEFT = "left"
    LOST = "lost"

    @property
    def is_over(self) -> bool:
        """Say whether none of its work can still be running."""
        return self in (RunnerStatus.LEFT, RunnerStatus.LOST)


class RunnerRecord(Struct, kw_only=True, array_like=True):
    """A runner that is there, or that is gone and whose attempts were not all abandoned yet."""

    id: RunnerId
    slots: int = 0
    engines: tuple[str, ...] = ()
    state: RunnerStatus = RunnerStatus.LEFT
    head: Head = EMPTY_HEAD
    """Of `runner.<id>`."""
    assign_head: Head = EMPTY_HEAD
    """Of `assign.<id>`."""
    is_crash: bool = False
    """Whether it ended without having been asked to."""


class LeadershipLease(Struct, frozen=True, array_like=True):
    """Who was elected last."""

    holder: str = ""
    term: int = 0
    head: Head = EMPTY_HEAD


class Snapshot(Struct, kw_only=True, array_like=True):
    """Everything that a state is made of, in an order that depends on nothing else."""

    version: int
    seq: int
    lease: LeadershipLease
    cycle_id: EventId | None
    cycle_head: Head
    limits: dict[str, Limit] = field(default_factory=dict[str, Limit])
    runners: list[RunnerRecord] = field(default_factory=list[RunnerRecord])
    jobs: list[LiveJob] = field(default_factory=list[LiveJob])
    damages: list[Damage] = field(default_factory=list[Damage])
    gaps: list[int] = field(default_factory=list[int])
