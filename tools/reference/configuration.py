"""`configuration.md`: the environment variables of every service, from its settings Struct."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from penstock_gateway.settings import GatewaySettings
from penstock_projector.settings import ProjectorSettings
from penstock_runner.settings import RunnerSettings
from penstock_runtime.engine_plugins import installed_engines, settings_prefix
from penstock_runtime.settings import SettingRow, describe, other_names
from penstock_runtime.storage_variables import BACKEND, BLOBS, BUCKET, CLIENT_REGION, FOLDER, REGION
from penstock_scheduler.settings import SchedulerSettings
from tools.reference.markdown import code, heading, table

SERVICES: Final[tuple[tuple[str, str, type[msgspec.Struct]], ...]] = (
    ("Gateway", "penstock gateway", GatewaySettings),
    ("Scheduler", "penstock scheduler", SchedulerSettings),
    ("Projector", "penstock projector", ProjectorSettings),
    ("Runner", "penstock runner", RunnerSettings),
)
"""Title, command and settings of each service."""

INTRODUCTION: Final = """
A service reads its settings from environment variables when it starts. An empty variable counts as one that is not set.
When settings are wrong the service reports all of them, one line for each variable, and ends with exit code 2. A
variable whose name is close to one that a service reads, but is not it, counts as wrong.

`penstock up` sets these variables for the services that it starts. Its own settings are options
([command line](command-line.md#penstock-up)); variables that it does not set itself are passed on.
"""

OTHER_NAMES: Final = """
## Names of other WES servers

These are usual names of settings of WES servers. The services that have the setting take them, `penstock up` too. When
both names are set to different values, the service ends with an error that names both. `.env.example` holds every
setting under its own name.
"""
TAKEN: Final = {name: ours for _, _, shape in SERVICES for name, ours in other_names(shape).items()}
"""Names that a service takes as they are, and its own names for the same."""
COUNTERPARTS: Final = {
    "DATABASE_URL": "none: there is no database beside the event log; `PENSTOCK_NATS_URL` has its address",
    BACKEND: "`local`, which it is when not set, or `s3`",
    FOLDER: f"with `local`, the folder for {code(BLOBS)}; left out: that variable's own default",
    BUCKET: f"with `s3`, the bucket for {code(BLOBS)}, `s3://bucket`; needed then, and without a meaning otherwise",
    REGION: f"with `s3`, the region of the bucket; counts before {code(CLIENT_REGION)}. Credentials are read from "
    "`AWS_ACCESS_KEY_ID` and the other variables of the S3 client",
    **{name: f"taken as it is, for {code(ours)}" for name, ours in TAKEN.items()},
    "DAEMON_MAX_CONCURRENT_RUNS": "taken by the scheduler, for `PENSTOCK_MAX_RUNNING_JOBS`: all runs together, "
    "on every runner. How many each runner takes is `PENSTOCK_SLOTS`",
    "DAEMON_POLL_INTERVAL": "none: nothing polls, the log delivers every job to the scheduler",
}
"""What each name means here."""


def page() -> str:
    """Return the page."""
    parts = [heading("Configuration", source="the settings of each service"), INTRODUCTION.lstrip()]
    for title, command, shape in SERVICES:
        parts.append(f"## {title}\n\n`{command}`\n")
        parts.append(_table(describe(shape)))
    for engine in installed_engines():
        if engine.settings is not None:
            parts.append(f"## Runners with {engine.title}\n\nSettings of the engine `{engine.name}`.\n")
            parts.append(_table(describe(engine.settings, prefix=settings_prefix(engine.name))))
    parts.append(f"{OTHER_NAMES.lstrip()}")
    parts.append(table(("name", "here"), [(code(name), text) for name, text in COUNTERPARTS.items()]))
    return "\n".join(parts)


def _table(settings: Iterable[SettingRow]) -> str:
    rows = [(code(row.variable), _expected(row.expected), _default(row.default), row.description) for row in settings]
    return table(("variable", "value", "when not set", "meaning"), rows)


def _default(default: str | None) -> str:
    if default is None:
        return "required"
    return code(default) if default else ""


def _expected(text: str) -> str:
    """Return what is expected, with a pattern as code."""
    return re.sub(r"matching (\S+?)(?=,? or several|$)", r"matching `\1`", text)
