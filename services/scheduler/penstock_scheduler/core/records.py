"""What the scheduler keeps of each live job, runner and limit: no more than a decision needs."""

from datetime import datetime
from enum import Enum

from msgspec import Struct, field

from penstock_domain import aggregates
from penstock_domain.job.attempts import needs_isolation
from penstock_domain.policy.limits import Limit
from penstock_domain.scheduling.capacity import Capacity
from penstock_scheduler.core.order import Key
from penstock_schemas.ids import EventId, RunnerId, TenantId
from penstock_schemas.jobs import Damage
from penstock_schemas.views import EMPTY_HEAD, Head, JobLifecycle

Owner = tuple[TenantId, str]
"""Whose jobs are counted together."""


class LiveJob(Struct, kw_only=True, array_like=True, gc=False):
    """A job that has not ended: its life, and what places it in the queue. Only `SchedulerState` changes it."""

    life: JobLifecycle
    """Every rule about the job depends on this alone."""
    owner: str
    demand: str
    """Which runners it may start on: see `demands`."""
    priority: int
    created_seq: int
    not_before: datetime | None = None
    """When its back-off ends; `None` once a cycle found that it has ended."""
    is_stop_ordered: bool = False
    """Whether its runner was ordered to stop the current attempt."""

    @property
    def account(self) -> Owner:
        """The owner whose jobs are counted together."""
        return (self.life.tenant, self.owner)

    @property
    def key(self) -> Key:
        """Its place in the queue."""
        return (-self.priority, self.created_seq)

    @property
    def must_run_alone(self) -> bool:
        """Whether it must run alone, because runners crashed while they had it."""
        return needs_isolation(self.life.runner_crashes)

    @property
    def aggregate(self) -> str:
        """The name of its events."""
        return aggregates.job(self.life.tenant, self.life.id)


class RunnerStatus(Enum):
    """Which orders a runner may still receive."""

    ACTIVE = "active"
    DRAINING = "draining"
    LEFT = "left"
    LOST = "lost"

    @property
    def is_over(self) -> bool:
        """Whether none of its work can still be running."""
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
    """Whether it ended without a request."""
    provides: tuple[str, ...] = ()
    """The directives that it honours."""
    cores: int = 0
    """Of each slot; 0: not known."""
    gpus: tuple[str, ...] = ()

    @property
    def capacity(self) -> Capacity:
        """What it has in all."""
        return Capacity(slots=self.slots, cores=self.cores, gpus=len(self.gpus))


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
