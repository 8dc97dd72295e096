"""`configuration.md`: the environment variables of every service, from its settings Struct."""

import re
from typing import Final

import msgspec

from penstock_core.settings import describe
from penstock_gateway.settings import GatewaySettings
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
    return "\n".join(parts)


def _default(default: str | None) -> str:
    if default is None:
        return "required"
    return code(default) if default else ""


def _expected(text: str) -> str:
    """Return what is expected, with a pattern as code."""
    return re.sub(r"matching (\S+?)(?=,? or several|$)", r"matching `\1`", text)
