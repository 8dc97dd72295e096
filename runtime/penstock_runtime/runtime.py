"""The sources of time and of ids: the only module that reads a clock or makes an id.

Every shell takes a `Runtime` and reads time and ids from it, so that a simulation can run the same shell in virtual
time. Sleeping and deadlines go through anyio: they follow the clock of the event loop.
"""

import os
import time
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

RANDOM_BLOCK_BYTES: Final = 4096
"""Random bytes are read from the system in blocks: each read lets another thread run, which a busy server waits for."""
_UUID_BYTES: Final = 16


class _RandomBlocks:
    """Random bytes of the system, read ahead. A forked child does not use what its parent has read."""

    def __init__(self) -> None:
        self._unused: list[bytes] = []
        os.register_at_fork(after_in_child=self._unused.clear)

    def take(self) -> bytes:
        """Return 16 bytes that were not returned before, from any thread."""
        while True:
            try:
                return self._unused.pop()
            except IndexError:
                block = os.urandom(RANDOM_BLOCK_BYTES)
                starts = range(0, RANDOM_BLOCK_BYTES, _UUID_BYTES)
                self._unused.extend(block[start : start + _UUID_BYTES] for start in starts)


_RANDOM: Final = _RandomBlocks()


class Runtime:
    """The clocks of this machine and random ids. A simulation passes a subclass with virtual ones."""

    def now(self) -> datetime:
        """Return the wall clock, in UTC. It may be set at any time, also backwards."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that only grow, from an arbitrary start; they stop while the machine is suspended."""
        return time.monotonic()

    def boot_time(self) -> float:
        """Return seconds that only grow, and that also count while the machine is suspended."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def new_uuid(self) -> UUID:
        """Return a random UUID."""
        return UUID(bytes=_RANDOM.take(), version=4)

    def new_id(self) -> str:
        """Return a random id of 32 hexadecimal digits, for an event or an object."""
        return self.new_uuid().hex


SYSTEM: Final = Runtime()
"""What production uses."""
