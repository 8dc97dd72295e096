"""A full disk and its end: nats-server, once it could not write, refuses everything until it is started again.

Nothing that was acknowledged is lost meanwhile; what is submitted is refused. See `docs/explanation/durability.md`.
"""

import shutil
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Final

import anyio

FULL_BYTES: Final = 16 << 20
"""With less free, a write may have failed."""
ROOM_BYTES: Final = 64 << 20
"""With this much free again, it is worth a new start."""
LOOK_S: Final = 1.0


class Change(Enum):
    """What a look at the disk found that was not so before."""

    FULL = "full"
    ROOM_AGAIN = "room again"


class Room:
    """Remembers whether the disk was full."""

    def __init__(self) -> None:
        self._was_full = False

    def look(self, free_bytes: int) -> Change | None:
        """Return what changed."""
        if free_bytes < FULL_BYTES and not self._was_full:
            self._was_full = True
            return Change.FULL
        if free_bytes >= ROOM_BYTES and self._was_full:
            self._was_full = False
            return Change.ROOM_AGAIN
        return None


async def watch_room(folder: Path, restart: Callable[[], None], report: Callable[[str], None]) -> None:
    """Look at the disk that `folder` lies on, for ever; say when it is full, and `restart` when it was."""
    room = Room()
    while True:
        match room.look(shutil.disk_usage(folder).free):
            case Change.FULL:
                report(f"the disk is full: less than {FULL_BYTES >> 20} MiB are free in {folder}; free some")
                report("until then submissions are refused; nothing that was accepted is lost")
            case Change.ROOM_AGAIN:
                report("the disk has room again; starting nats-server anew, which refuses to write after a full disk")
                restart()
            case None:
                pass
        await anyio.sleep(LOOK_S)
