"""The settings of a scheduler, read from the environment."""

from typing import Annotated

from msgspec import Meta

from penstock_jetstream.settings import ServiceSettings
from penstock_runtime.settings import LogLevel, LogLevelSetting
from penstock_schemas.patterns import END

NamePart = Annotated[
    str,
    Meta(
        pattern=rf"^[A-Za-z0-9][A-Za-z0-9_-]{{0,50}}{END}",
        description="What its name in elections begins with; each process adds its own digits.",
    ),
]
Bound = Annotated[int, Meta(ge=0, le=1_000_000)]


class SchedulerSettings(ServiceSettings, frozen=True, kw_only=True):
    """The settings of one scheduler."""

    scheduler_name: NamePart = "scheduler"
    max_running_jobs: Annotated[
        Bound | None,
        Meta(
            description="Jobs that run at the same time; 0 for no bound, unset to leave it as it is.",
            extra={"other_name": "DAEMON_MAX_CONCURRENT_RUNS"},
        ),
    ] = None
    max_running_jobs_per_owner: Annotated[
        Bound | None,
        Meta(description="Jobs of one owner that run at the same time; 0 for no bound, unset to leave it as it is."),
    ] = None
    log_level: LogLevelSetting = LogLevel.INFO
