"""The bodies of the server itself: version, readiness, runners and status."""

from datetime import datetime

from msgspec import Struct

from penstock_schemas.ids import RunnerId
from penstock_schemas.jobs import Damage, UnsupportedDirectives
from penstock_schemas.views import SandboxLevel


class Echo(Struct, frozen=True, kw_only=True):
    """The body of `GET /`."""

    message: str


class VersionResponse(Struct, frozen=True, kw_only=True):
    """The body of `GET /version`."""

    version: str
    """The deployed image's tag, `unknown` when it is not configured."""


class VersionDetails(Struct, frozen=True, kw_only=True):
    """The body of `GET /version/details`."""

    version: str
    """The deployed image's tag, `unknown` when it is not configured."""
    software_version: str
    """The version of Penstock."""


class Readiness(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of `GET /readyz`: 200 when ready, 503 when not."""

    ready: bool
    reasons: list[str]
    """Why it is not ready: each check that fails; empty when it is."""
    warnings: list[str] = []
    """What does not work although requests are answered, such as the removal of what is not needed any more."""


class RunnerResponse(Struct, frozen=True, kw_only=True):
    """A runner that is connected."""

    id: RunnerId
    """Of this start of the runner; another one has another."""
    name: str
    engines: dict[str, str]
    """What it can run, with versions."""
    slots: int
    """How many attempts it runs at the same time."""
    busy: int
    """How many slots its attempts take."""
    cores: int = 0
    """Of each slot; 0: not reported."""
    gpus: int = 0
    """How many GPUs it has."""
    draining: bool
    """It finishes what it runs and takes nothing new."""
    seen_at: datetime
    """When it reported this last, by its own clock."""
    sandbox: SandboxLevel | None = None
    """How far its workflows are confined; `None`: not reported."""
    sandbox_lacks: tuple[str, ...] = ()
    """What a workflow still may do that the full sandbox would refuse."""
    unsupported_directives: UnsupportedDirectives | None = None
    """What it does with runs that declare software that it does not provide, as `conda:` does; null: not known."""
    provides: tuple[str, ...] = ()
    """Directives of workflows for which it prepares the software: `conda`, `container`."""


class RunnerList(Struct, frozen=True, kw_only=True):
    """The body of `GET /runners`."""

    runners: list[RunnerResponse]
    """By name."""


class LogStatus(Struct, frozen=True, kw_only=True):
    """How the event log is."""

    events: int
    bytes: int
    max_bytes: int
    """A full log takes nothing new; -1 when there is no bound."""
    last_seq: int
    replicas: int
    server_version: str


class SchedulerStatus(Struct, frozen=True, kw_only=True):
    """The leading scheduler."""

    holder: str
    term: int
    """How many elections there were."""
    seen_at: datetime


class StatusResponse(Struct, frozen=True, kw_only=True):
    """The body of `GET /status`."""

    log: LogStatus
    projected_seq: int
    """The list of jobs reflects the log up to here."""
    lag: int
    """How many events the list of jobs is behind."""
    scheduler: SchedulerStatus | None
    """`null` when none leads: nothing is started then."""
    damaged: int = 0
    """How many events of the log are known to be damaged and are not of a job that was closed."""
    damages: tuple[Damage, ...] = ()
    """The first of them."""
