"""Watches service logs for readiness and errors, and reports both to the user who started the services."""

import contextlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

from penstock_runtime.runtime import SYSTEM

READY: Final = "ready"
"""The event that a service logs when it serves."""
QUIET_S: Final = 10.0
"""The same event of the same service is reported once in this time."""
MAX_REMEMBERED: Final = 200
_LOUD: Final = frozenset({"error", "critical"})
_MARKS: Final = ('"ready"', '"error"', '"critical"')
"""One of these is in every line that matters: most lines need not be decoded."""
_OWN_FIELDS: Final = frozenset({"event", "level", "timestamp", "service", "exception", "logger"})


class ServiceLogMonitor:
    """Reads every line of every service, and reports the relevant ones."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.ready: set[str] = set()
        """The services that reported at least once that they are ready."""
        self._report = report
        self._reported: dict[tuple[str, str], float] = {}

    def feed(self, name: str, line: str) -> None:
        """Take one line."""
        fields_of_line = _decoded(line)
        event = str(fields_of_line.get("event"))
        if event == READY:
            self.ready.add(name)
        elif fields_of_line.get("level") in _LOUD:
            self._report_once(name, event, fields_of_line)

    def _report_once(self, name: str, event: str, fields_of_line: dict[str, Any]) -> None:
        now = SYSTEM.monotonic()
        if now - self._reported.get((name, event), -QUIET_S) < QUIET_S:
            return
        if len(self._reported) >= MAX_REMEMBERED:
            self._reported.clear()
        self._reported[(name, event)] = now
        fields = " ".join(f"{key}={value}" for key, value in fields_of_line.items() if key not in _OWN_FIELDS)
        self._report(f"{name}: {event} {fields}".rstrip()[:400])


def is_ready(line: str) -> bool:
    """Whether a service reports in this line that it serves."""
    return _decoded(line).get("event") == READY


def _decoded(line: str) -> dict[str, Any]:  # Any: everything that was logged
    """Return a line that matters, and nothing of any other."""
    if any(mark in line for mark in _MARKS):
        with contextlib.suppress(msgspec.MsgspecError):
            return msgspec.json.decode(line, type=dict[str, Any])
    return {}
