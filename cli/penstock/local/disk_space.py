"""A full disk and its end: nats-server, once it could not write, refuses everything until it is started again.

Nothing that was acknowledged is lost meanwhile; what is submitted is refused. See `docs/explanation/durability.md`.
"""

import shutil
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Final

import anyio

from penstock_jetstream.server.embedded import SERVER_LOG
from penstock_runtime.runtime import SYSTEM

FULL_BYTES: Final = 16 << 20
"""With less free, a write may have failed."""
RESUME_BYTES: Final = 64 << 20
"""With this much free again, nats-server is restarted."""
CHECK_EVERY_S: Final = 1.0
RESTART_S: Final = 30.0
"""The least time between two restarts because nats-server could not write."""
MAX_READ_BYTES: Final = 64 << 10
"""Of the log of nats-server at each check."""
CANNOT_STORE: Final = b"[ERR] JetStream failed to store a msg"
"""What nats-server logs for each message that it cannot write."""


class Change(Enum):
    """A change of the free disk space."""

    FULL = "full"
    ENOUGH_SPACE = "enough space"


class DiskSpaceMonitor:
    """Remembers whether the disk was full.

    Args:
        clock: seconds that only grow.

    """

    def __init__(self, *, clock: Callable[[], float] = SYSTEM.monotonic) -> None:
        self._was_full = False
        self._clock = clock
        self._restarted_at = float("-inf")

    def update(self, free_bytes: int, *, cannot_store: bool = False) -> Change | None:
        """Return what changed.

        Args:
            free_bytes: what the disk has.
            cannot_store: whether nats-server failed to write since the last check. It goes on to refuse everything,
                although the disk was full for a moment only, or has little space again.

        """
        if free_bytes < FULL_BYTES:
            change = None if self._was_full else Change.FULL
            self._was_full = True
            return change
        now = self._clock()
        refuses = cannot_store and now - self._restarted_at >= RESTART_S
        if refuses or (self._was_full and free_bytes >= RESUME_BYTES):
            self._was_full = False
            self._restarted_at = now
            return Change.ENOUGH_SPACE
        return None


class ServerLog:
    """The log of nats-server, from now on.

    Args:
        path: of the file, which may not be there yet.

    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_to = self._size()

    def cannot_store(self) -> bool:
        """Return whether the server logged since the last check that it cannot write."""
        size, start = self._size(), self._read_to
        self._read_to = size
        if size == start:
            return False
        try:
            with self._path.open("rb") as file:
                # A file that is smaller than it was is a new one.
                file.seek(max(start if size > start else 0, size - MAX_READ_BYTES))
                return CANNOT_STORE in file.read(MAX_READ_BYTES)
        except OSError:
            return False

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0


async def watch_disk_space(folder: Path, restart: Callable[[], None], report: Callable[[str], None]) -> None:
    """Check the disk of nats-server periodically; report when it is full, and call `restart` when it has space again.

    Args:
        folder: where nats-server keeps its data.
        restart: starts it again.
        report: takes a sentence for the person at the terminal.

    """
    monitor, log = DiskSpaceMonitor(), ServerLog(folder / SERVER_LOG)
    while True:
        match monitor.update(_free_bytes(folder), cannot_store=log.cannot_store()):
            case Change.FULL:
                report(f"the disk is full: less than {FULL_BYTES >> 20} MiB are free in {folder}; free some")
                report("until then submissions are refused; nothing that was accepted is lost")
            case Change.ENOUGH_SPACE:
                report("the disk has space again; restarting nats-server, which refuses to write after a full disk")
                restart()
            case None:
                pass
        await anyio.sleep(CHECK_EVERY_S)


def _free_bytes(folder: Path) -> int:
    """Return what the disk of the folder has; a disk that cannot be queried counts as one with enough space."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return RESUME_BYTES - 1
