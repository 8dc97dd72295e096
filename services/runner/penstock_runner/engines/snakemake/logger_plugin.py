"""Snakemake's logger plugin of this engine: what it says of each job and of errors becomes messages.

It is a source of details, no source of truth: whether a job runs and how it ended, the executor plugin tells. Snakemake
calls `emit` in a thread of its own; it never raises, because that would silence every later record, and never blocks.
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

from penstock_runner.engines.snakemake.graph import task_key
from penstock_runner.engines.snakemake.messages import ErrorLogged, TryDescribed, shorten
from penstock_runner.engines.snakemake.reporting import NullReporter, Reporter

PLUGIN_MODULE = "snakemake_logger_plugin_penstock"
"""Snakemake wants the name of a logger plugin to begin like this."""
PLUGIN_NAME = "penstock"


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Where the messages go."""

    reporter: Any = field(default=None, metadata={"help": "set by the engine, in the process itself"})


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
                    self._reporter.report(_description(record.__dict__))
                case LogEvent.ERROR:
                    exception = str(getattr(record, "exception", ""))
                    self._reporter.report(ErrorLogged(exception=exception, text=shorten(record.getMessage())))
                case _:
                    pass

    @property
    def _reporter(self) -> Reporter:
        reporter: Reporter | None = getattr(self.settings, "reporter", None)
        return reporter or NullReporter()


def _description(fields: Mapping[str, Any]) -> TryDescribed:
    wildcards = {str(name): str(value) for name, value in dict(fields["wildcards"]).items()}
    command = fields.get("shellcmd")
    return TryDescribed(
        key=task_key(str(fields["rule_name"]), wildcards),
        command=shorten(str(command)) if command else None,
        reason=shorten(str(fields.get("reason") or "")) or None,
        resources=_resources(fields),
    )


def _resources(fields: Mapping[str, Any]) -> dict[str, int | float | str]:
    """Return threads and declared resources; Snakemake's own begin with an underscore, and not all are evaluated."""
    found: dict[str, int | float | str] = {"threads": int(fields.get("threads") or 1)}
    for name, value in dict(fields.get("resources") or {}).items():
        if str(name).startswith("_"):
            continue
        if isinstance(value, bool):
            found[str(name)] = int(value)
        elif isinstance(value, int | float):
            found[str(name)] = value if math.isfinite(value) else str(value)
        elif isinstance(value, str):
            found[str(name)] = str(value)
    return found
