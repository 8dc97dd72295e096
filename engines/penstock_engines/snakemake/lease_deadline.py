"""Until when attempts may run, in a place that their keepers see even while the runner itself stands still.

The runner writes the time into a piece of memory that it shares with the zygote and so with every keeper. A runner that
was stopped, or hangs, renews nothing: its keepers then kill the work in time, as it would have itself.
"""

import os
import struct
import time
from typing import Final

NAME: Final = "penstock-deadline"
FOR_EVER: Final = 0.0
"""Nobody said a time: the engine is used without a runner."""
_FORMAT: Final = struct.Struct("d")


class Deadline:
    """The time, on the boot clock, at which everything must be dead."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def create(cls) -> "Deadline":
        """Make one that never comes."""
        deadline = cls(os.memfd_create(NAME))
        deadline.set(FOR_EVER)
        return deadline

    def set(self, at_s: float) -> None:
        """Move it."""
        os.pwrite(self.descriptor, _FORMAT.pack(at_s), 0)

    def has_passed(self) -> bool:
        """Say whether everything must be dead by now."""
        at_s: float
        [at_s] = _FORMAT.unpack(os.pread(self.descriptor, _FORMAT.size, 0))
        return at_s != FOR_EVER and time.clock_gettime(time.CLOCK_BOOTTIME) >= at_s

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)
