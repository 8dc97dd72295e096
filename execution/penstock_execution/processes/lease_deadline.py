"""The lease deadline of all attempts, in memory that their supervisors read even while the runner is stopped.

The runner writes the time into memory that it shares with the zygote and so with every supervisor. A runner that was
stopped, or hangs, does not extend it: the supervisors then kill the work in time, as the runner would have.
"""

import os
import struct
import time
from collections.abc import Callable
from typing import Final

NAME: Final = "penstock-deadline"
NO_DEADLINE: Final = 0.0
"""No deadline was set: the engine is used without a runner."""
_FORMAT: Final = struct.Struct("d")


class Deadline:
    """The time, on the boot clock, at which everything must be dead."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def create(cls) -> "Deadline":
        """Create a deadline that never passes."""
        deadline = cls(os.memfd_create(NAME))
        deadline.set(NO_DEADLINE)
        return deadline

    def extend(self, remaining_s: Callable[[], float]) -> None:
        """Set the deadline to the end of a lease of which `remaining_s` is left.

        The clock is read first: a pause before `remaining_s` is called makes the deadline earlier, never later.
        """
        now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.set(now_s + max(0.0, remaining_s()))

    def set(self, at_s: float) -> None:
        """Set the time."""
        os.pwrite(self.descriptor, _FORMAT.pack(at_s), 0)

    def has_passed(self) -> bool:
        """Return whether everything must be dead by now."""
        at_s: float
        [at_s] = _FORMAT.unpack(os.pread(self.descriptor, _FORMAT.size, 0))
        return at_s != NO_DEADLINE and time.clock_gettime(time.CLOCK_BOOTTIME) >= at_s

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)
