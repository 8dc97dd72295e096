"""`configuration.md`: the environment variables of every service, from its settings Struct."""

import re
from typing import Final

import msgspec

from penstock_core.settings import describe
from penstock_gateway.settings import SEED_NAMES, GatewaySettings
from penstock_runner.settings import RunnerSettings
from penstock_scheduler.settings import ProjectorSettings, SchedulerSettings
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
When something is wrong the service says everything that is wrong, a line a variable, and ends with exit code 2. A
variable whose name is close to one that a service reads, but is not it, counts as wrong.

`penstock up` sets these variables for the services that it starts. Its own settings are options
([command line](command-line.md#penstock-up)); variables that it does not set itself are passed on.
"""

OTHER_NAMES: Final = """
## Names of other WES servers

These are usual names of settings of WES servers. The gateway takes those that it has as they are; where both names are
set, ours counts. `.env.example` holds every setting under its own name.
"""
COUNTERPARTS: Final = {
    "DATABASE_URL": "none: there is no database beside the event log; `PENSTOCK_NATS_URL` says where that one is",
    "STORAGE_BACKEND": "none: `PENSTOCK_BLOBS` says it, a folder (`local`) or an address such as `s3://bucket` (`s3`)",
    "LOCAL_STORAGE_PATH": "not taken: set `PENSTOCK_BLOBS` to the folder, for gateway and runners alike",
    "S3_BUCKET_NAME": "not taken: set `PENSTOCK_BLOBS` to `s3://` and the bucket, for gateway and runners alike",
    "S3_REGION": "not taken: set `AWS_REGION`, which the S3 client reads, as it reads `AWS_ACCESS_KEY_ID` and others",
    "AUTH_METHOD": "",
    "BASIC_AUTH_USERS": "",
    "SERVICE_NAME": "",
    "SERVICE_ORGANIZATION": "",
    "AUTH_INSTRUCTIONS_URL": "",
    "API_PREFIX": "",
    "CORS_ORIGINS": "",
    "DAEMON_POLL_INTERVAL": "none: nothing polls, the log tells the scheduler of every job as it comes",
    "DAEMON_MAX_CONCURRENT_RUNS": "not taken: `PENSTOCK_MAX_RUNNING_JOBS` of the scheduler for all runs together, "
    "`PENSTOCK_SLOTS` for each runner",
    "PORT": "",
}
"""What takes the place of each name; empty: the gateway takes it as it is."""


def page() -> str:
    """Return the page."""
    parts = [heading("Configuration", source="the settings of each service"), INTRODUCTION.lstrip()]
    for title, command, shape in SERVICES:
        rows = [
            (code(row.variable), _expected(row.expected), _default(row.default), row.description)
            for row in describe(shape)
        ]
        parts.append(f"## {title}\n\n`{command}`\n")
        parts.append(table(("variable", "value", "when not set", "meaning"), rows))
    parts.append(f"{OTHER_NAMES.lstrip()}")
    parts.append(table(("name", "here"), [(code(name), _counterpart(name)) for name in COUNTERPARTS]))
    return "\n".join(parts)


def _counterpart(name: str) -> str:
    """Say what takes the place of a name: the gateway's own list counts before what is written here."""
    if name in SEED_NAMES:
        return f"taken as it is, for {code(SEED_NAMES[name])}"
    return COUNTERPARTS[name]


def _default(default: str | None) -> str:
    if default is None:
        return "required"
    return code(default) if default else ""


def _expected(text: str) -> str:
    """Return what is expected, with a pattern as code."""
    return re.sub(r"matching (\S+?)(?=,? or several|$)", r"matching `\1`", text)
