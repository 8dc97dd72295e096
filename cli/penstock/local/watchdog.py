"""Notices that a service hangs: it writes to a pipe once a second, and then no more."""

import contextlib
import os
from collections.abc import Callable
from typing import Final

import anyio

from penstock_runtime.runtime import SYSTEM

LOOK_S: Final = 1.0
LATE_S: Final = 3.0
"""A check that is later than this after the last one is ignored: this process, or the machine, was stopped."""
HUNG_S: Final = 30.0
"""A service without a report for so long hangs: its event loop, which turns at least once a second, is blocked."""
FIRST_S: Final = 120.0
"""The same before its first sign of life: on a loaded machine it may take long to start."""
PIECE: Final = 4096


class Patience:
    """Counts how long nothing came, in looks that came in time.

    A process that was stopped together with the services, or a machine that slept, makes late looks; they begin the
    count again. So no service is ended for a pause of which it is not the cause.
    """

    def __init__(self, now: float) -> None:
        self._looked_at = now
        self._silent_s = 0.0
        self._limit_s = FIRST_S

    def look(self, now: float, *, has_beaten: bool) -> bool:
        """Return whether the service hangs."""
        passed_s, self._looked_at = now - self._looked_at, now
        if has_beaten:
            self._limit_s = HUNG_S
        if has_beaten or passed_s > LATE_S:
            self._silent_s = 0.0
        else:
            self._silent_s += passed_s
        return self._silent_s >= self._limit_s


class Beats:
    """The reading end of a service's pipe.

    Args:
        pipe: is closed by `close`.
        clock: seconds that only grow.

    """

    def __init__(self, pipe: int, *, clock: Callable[[], float] = SYSTEM.monotonic) -> None:
        os.set_blocking(pipe, False)
        self._pipe = pipe
        self._clock = clock

    async def fail(self) -> None:
        """Return when the service hangs. One that ended, or closed its pipe, does not."""
        patience = Patience(self._clock())
        while True:
            await anyio.sleep(LOOK_S)
            came = self._read()
            if came == b"":
                await anyio.sleep_forever()
            if patience.look(self._clock(), has_beaten=came is not None):
                return

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._pipe)

    def _read(self) -> bytes | None:
        """Return what came; `None` when nothing did, and nothing at all at the end."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self._pipe, PIECE)
        return None
