"""Snakemake's logger plugin of this engine: what it reports about each job and of errors becomes messages.

It is a source of details, no source of truth: the executor plugin reports whether a job runs and how it ended.
Snakemake calls `emit` in a separate thread; it never raises, because that would silence every later record, and never
blocks.
"""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import contextlib
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from penstock_engines.snakemake.attempt_process.graph import TaskNumbers
from penstock_engines.snakemake.messages import (
    MAX_FIELDS,
    MAX_NAME_CHARS,
    MAX_VALUE_CHARS,
    ErrorLogged,
    Message,
    TryDescribed,
    fit,
    shorten,
)
from penstock_execution.processes.event_pipe import NullReporter, Reporter

PLUGIN_MODULE = "snakemake_logger_plugin_penstock"
"""Snakemake wants the name of a logger plugin to begin like this."""
PLUGIN_NAME = "penstock"
_LARGEST = 1 << 62
"""Of a number in a message; a larger one is a text."""


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Where the messages go."""

    reporter: Any = field(default=None, metadata={"help": "set by the engine, in the process itself"})
    numbers: Any = field(default=None, metadata={"help": "set by the engine: what represents jobs in messages"})


class LogHandler(LogHandlerBase):
    """Turns Snakemake's log records into messages."""

    @property
    def writes_to_stream(self) -> bool:
        """Leave the terminal's log to Snakemake."""
        return False

    @property
    def writes_to_file(self) -> bool:
        """Write no file."""
        return False

    @property
    def has_filter(self) -> bool:
        """See everything: shell commands are filtered out otherwise."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Need no formatted text."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """Need no graph: the executor plugin sees it."""
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Report what is of interest in a record."""
        with contextlib.suppress(Exception):
            match getattr(record, "event", None):
                case LogEvent.JOB_INFO:
                    description = self._description(record.__dict__)
                    if description is not None:
                        self._reporter.report(description)
                case LogEvent.ERROR:
                    exception = str(getattr(record, "exception", ""))[:MAX_NAME_CHARS]
                    self._reporter.report(ErrorLogged(exception=exception, text=shorten(record.getMessage())))
                case _:
                    pass

    @property
    def _reporter(self) -> Reporter[Message]:
        reporter: Reporter[Message] | None = getattr(self.settings, "reporter", None)
        return reporter or NullReporter()

    def _description(self, fields: Mapping[str, Any]) -> TryDescribed | None:
        numbers: TaskNumbers | None = getattr(self.settings, "numbers", None)
        wildcards = {str(name): str(value) for name, value in dict(fields["wildcards"]).items()}
        number = numbers.find(str(fields["rule_name"]), wildcards) if numbers is not None else None
        if number is None:
            return None
        command = fields.get("shellcmd")
        return TryDescribed(
            task=number,
            command=shorten(str(command)) if command else None,
            reason=shorten(str(fields.get("reason") or "")) or None,
            resources=_resources(fields),
        )


def _resources(fields: Mapping[str, Any]) -> dict[str, int | float | str]:
    """Return threads and declared resources; Snakemake's own begin with an underscore, and not all are evaluated."""
    found: dict[str, int | float | str] = {"threads": int(fields.get("threads") or 1)}
    for given, value in list(dict(fields.get("resources") or {}).items())[: MAX_FIELDS - 1]:
        name = fit(str(given), MAX_NAME_CHARS)
        if name.startswith("_"):
            continue
        if isinstance(value, bool):
            found[name] = int(value)
        elif isinstance(value, int | float):
            is_plain = math.isfinite(value) and abs(value) < _LARGEST
            found[name] = value if is_plain else fit(str(value), MAX_VALUE_CHARS)
        elif isinstance(value, str):
            found[name] = fit(str(value), MAX_VALUE_CHARS)
    return found
