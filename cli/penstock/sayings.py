"""What services write, reduced to what a person at the terminal should see: errors, each kind once in a while."""

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

QUIET_S: Final = 10.0
"""The same event of the same service is told once in this time."""
MAX_REMEMBERED: Final = 200
_LOUD: Final = frozenset({"error", "critical"})
_OWN_FIELDS: Final = frozenset({"event", "level", "timestamp", "service", "exception", "logger"})


class Sayings:
    """Hears every line of every service, and reports the ones that matter."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._told: dict[tuple[str, str], float] = {}

    def hear(self, name: str, line: str) -> None:
        """Take one line."""
        if '"error"' not in line and '"critical"' not in line:
            return
        try:
            said = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError:
            return
        if said.get("level") not in _LOUD:
            return
        event = str(said.get("event"))
        now = time.monotonic()
        if now - self._told.get((name, event), -QUIET_S) < QUIET_S:
            return
        if len(self._told) >= MAX_REMEMBERED:
            self._told.clear()
        self._told[(name, event)] = now
        fields = " ".join(f"{key}={value}" for key, value in said.items() if key not in _OWN_FIELDS)
        self._report(f"{name}: {event} {fields}".rstrip()[:400])
