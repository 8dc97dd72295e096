"""Whether there is room for what is new: in the event log, and on the disks that the gateway writes to."""

import shutil
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from penstock_domain.chain import Stored
from penstock_ports import AppendEntry, ClusterStatus, EventLog, Fence, LogFull, Unavailable
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.views import Head

MIN_FREE_BYTES: Final = 16 << 20
"""A disk with less free counts as full: the next write may fail."""
MIN_LOG_ROOM_BYTES: Final = 4 << 10
"""A log with less room has none for a submission."""
REFUSED_S: Final = 30.0
"""After the log took no append, it counts as full or away for so long: what is accepted then shows that it is not."""


class ObservedLog:
    """An `EventLog` that remembers whether the last append was refused because the log is full, or not answered.

    A server that could not write answers every question and takes no append: an answer does not show that it works.

    Args:
        log: does the work.
        clock: seconds that only grow.

    """

    def __init__(self, log: EventLog, *, clock: Callable[[], float] = SYSTEM.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._refusal: tuple[float, str] | None = None

    @property
    def refusal(self) -> str | None:
        """Why the log took no append of late; `None` when it did."""
        if self._refusal is None or self._clock() - self._refusal[0] > REFUSED_S:
            return None
        return self._refusal[1]

    async def append(
        self, entries: Sequence[AppendEntry], *, fence: Fence | None = None, deadline_s: float = 10.0
    ) -> tuple[Stored, ...]:
        """Store all `entries`, or none."""
        try:
            stored = await self._log.append(entries, fence=fence, deadline_s=deadline_s)
        except (LogFull, Unavailable) as error:
            self._refusal = (self._clock(), str(error))
            raise
        self._refusal = None
        return stored

    async def load(self, aggregate: str, *, min_version: int = 0, deadline_s: float = 10.0) -> tuple[Stored, ...]:
        """Return every event of one aggregate."""
        return await self._log.load(aggregate, min_version=min_version, deadline_s=deadline_s)

    async def head(self, aggregate: str, *, deadline_s: float = 10.0) -> Head:
        """Return the last event's place."""
        return await self._log.head(aggregate, deadline_s=deadline_s)

    async def tail(self, aggregate: str, *, deadline_s: float = 10.0) -> int:
        """Return the sequence that an append to `aggregate` must expect."""
        return await self._log.tail(aggregate, deadline_s=deadline_s)

    async def last_seq(self, *, deadline_s: float = 10.0) -> int:
        """Return the last sequence."""
        return await self._log.last_seq(deadline_s=deadline_s)

    def read(self, *, after: int = 0, aggregates: str = ">") -> AsyncGenerator[tuple[Stored, ...], None]:
        """Yield batches of events, for ever."""
        return self._log.read(after=after, aggregates=aggregates)


def fault_of_log(status: ClusterStatus, refusal: str | None) -> str | None:
    """Return why the log takes nothing new; `None` when it does."""
    if 0 < status.max_bytes <= status.stored_bytes + MIN_LOG_ROOM_BYTES:
        return (
            f"the event log is full: it has {status.stored_bytes:,} of {status.max_bytes:,} bytes; raise "
            "PENSTOCK_LOG_MAX_BYTES"
        )
    return None if refusal is None else f"the event log accepts no new events ({refusal})"


def free_bytes(folder: Path) -> int:
    """Return how much room the disk of a folder has for this user."""
    return shutil.disk_usage(folder).free


def faults_of_disks(folders: Iterable[Path], free: Callable[[Path], int] = free_bytes) -> list[str]:
    """Return what is wrong with the disks of the folders. Blocks."""
    faults: list[str] = []
    for folder in folders:
        try:
            left = free(folder)
        except OSError as error:
            faults.append(f"the folder {folder} cannot be used: {error.strerror}")
            continue
        if left < MIN_FREE_BYTES:
            faults.append(f"the disk of {folder} is full: it has {left:,} bytes left; free some")
    return faults
