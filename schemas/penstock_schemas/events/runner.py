"""The life of a runner, `penstock.events.runner.<runner_id>`, and the orders for it.

An order has the subject `penstock.events.assign.<runner_id>` and is in the same batch as the job's event.
"""

from msgspec import field

from penstock_schemas.events.base import EventData
from penstock_schemas.ids import JobId, RunnerId, TenantId


class AttemptAssigned(EventData, tag=True, frozen=True, kw_only=True):
    """The order to start an attempt."""

    job_id: JobId
    tenant: TenantId
    attempt: int
    job_version: int
    """The version that the job's aggregate has with this assignment: an older read is stale."""
    slots: int = 1
    """How many slots the attempt takes."""
    gpus: tuple[str, ...] = ()
    """The GPUs that it has alone."""


class StopOrdered(EventData, tag=True, frozen=True, kw_only=True):
    """The order to end an attempt because its job is to be cancelled."""

    job_id: JobId
    tenant: TenantId
    attempt: int
    reason: str | None = None


class RunnerJoined(EventData, tag=True, frozen=True, kw_only=True):
    """A runner process is ready for work."""

    runner_id: RunnerId
    name: str
    """Stable over restarts of the same runner."""
    slots: int
    engines: dict[str, str]
    """Engine name to the version that this runner has."""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    host: str = ""
    software_version: str = ""
    cores: int = 0
    """Of each slot; 0: not known."""
    gpus: tuple[str, ...] = ()
    """The ids of its GPUs."""
    provides: tuple[str, ...] = ()
    """Directives of workflows for which it prepares the software: `conda`, `container`."""


class RunnerDraining(EventData, tag=True, frozen=True, kw_only=True):
    """The runner finishes what it has and takes nothing new."""

    runner_id: RunnerId
    reason: str = ""


class RunnerLeft(EventData, tag=True, frozen=True, kw_only=True):
    """The runner ended; none of its work is running any more."""

    runner_id: RunnerId
    reason: str = ""
    is_crash: bool = False
    """Whether its process ended without a request; the next session found that."""


class RunnerLost(EventData, tag=True, frozen=True, kw_only=True):
    """The scheduler received no heartbeat of the runner for longer than the lease allows it to work."""

    runner_id: RunnerId
    silent_s: float


AssignEventData = AttemptAssigned | StopOrdered
"""The orders to a runner."""
RunnerEventData = RunnerJoined | RunnerDraining | RunnerLeft | RunnerLost
"""The events of a runner."""
