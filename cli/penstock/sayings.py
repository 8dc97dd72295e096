"""What services write, reduced to what matters to whoever started them: who is ready, and errors, once in a while."""

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

QUIET_S: Final = 10.0
"""The same event of the same service is told once in this time."""
MAX_REMEMBERED: Final = 200
_LOUD: Final = frozenset({"error", "critical"})
_MARKS: Final = ('"ready"', '"error"', '"critical"')
"""One of these is in every line that matters: most lines need not be decoded."""
_OWN_FIELDS: Final = frozenset({"event", "level", "timestamp", "service", "exception", "logger"})


class Sayings:
    """Hears every line of every service, and reports the ones that matter."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.ready: set[str] = set()
        """The services that said that they serve, at least once."""
        self._report = report
        self._told: dict[tuple[str, str], float] = {}

    def hear(self, name: str, line: str) -> None:
        """Take one line."""
        if not any(mark in line for mark in _MARKS):
            return
        try:
            said = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError:
            return
        event = str(said.get("event"))
        if event == "ready":
            self.ready.add(name)
        elif said.get("level") in _LOUD:
            self._tell(name, event, said)

    def _tell(self, name: str, event: str, said: dict[str, Any]) -> None:
        now = time.monotonic()
        if now - self._told.get((name, event), -QUIET_S) < QUIET_S:
            return
        if len(self._told) >= MAX_REMEMBERED:
            self._told.clear()
        self._told[(name, event)] = now
        fields = " ".join(f"{key}={value}" for key, value in said.items() if key not in _OWN_FIELDS)
        self._report(f"{name}: {event} {fields}".rstrip()[:400])
