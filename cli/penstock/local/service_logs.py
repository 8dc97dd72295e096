"""What services write, reduced to what matters to whoever started them: who is ready, and errors, once in a while."""

import contextlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

from penstock_runtime.runtime import SYSTEM

READY: Final = "ready"
"""The event that a service logs when it serves."""
QUIET_S: Final = 10.0
"""The same event of the same service is told once in this time."""
MAX_REMEMBERED: Final = 200
_LOUD: Final = frozenset({"error", "critical"})
_MARKS: Final = ('"ready"', '"error"', '"critical"')
"""One of these is in every line that matters: most lines need not be decoded."""
_OWN_FIELDS: Final = frozenset({"event", "level", "timestamp", "service", "exception", "logger"})


class ServiceLogMonitor:
    """Hears every line of every service, and reports the ones that matter."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.ready: set[str] = set()
        """The services that said that they serve, at least once."""
        self._report = report
        self._told: dict[tuple[str, str], float] = {}

    def hear(self, name: str, line: str) -> None:
        """Take one line."""
        said = _decoded(line)
        event = str(said.get("event"))
        if event == READY:
            self.ready.add(name)
        elif said.get("level") in _LOUD:
            self._tell(name, event, said)

    def _tell(self, name: str, event: str, said: dict[str, Any]) -> None:
        now = SYSTEM.monotonic()
        if now - self._told.get((name, event), -QUIET_S) < QUIET_S:
            return
        if len(self._told) >= MAX_REMEMBERED:
            self._told.clear()
        self._told[(name, event)] = now
        fields = " ".join(f"{key}={value}" for key, value in said.items() if key not in _OWN_FIELDS)
        self._report(f"{name}: {event} {fields}".rstrip()[:400])


def is_ready(line: str) -> bool:
    """Whether a service reports in this line that it serves."""
    return _decoded(line).get("event") == READY


def _decoded(line: str) -> dict[str, Any]:  # Any: whatever was logged
    """Return a line that matters, and nothing of any other."""
    if any(mark in line for mark in _MARKS):
        with contextlib.suppress(msgspec.MsgspecError):
            return msgspec.json.decode(line, type=dict[str, Any])
    return {}
