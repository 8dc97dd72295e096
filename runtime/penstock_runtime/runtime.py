"""The sources of time and of ids: the only module that reads a clock or makes an id.

Every shell takes a `Runtime` and reads time and ids from it, so that a simulation can run the same shell in virtual
time. Sleeping and deadlines go through anyio: they follow the clock of the event loop.
"""

import time
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4


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
        return uuid4()

    def new_id(self) -> str:
        """Return a random id of 32 hexadecimal digits, for an event or an object."""
        return self.new_uuid().hex


SYSTEM: Final = Runtime()
"""What production uses."""
