"""Lets the other tasks of the event loop have their turn during long work for one run.

A workflow decides how much there is to do for it, and while the loop does nothing else, the runner's heartbeats and all
other runs wait.
"""

import time
from collections.abc import Callable
from typing import Final

import anyio

TURN_S: Final = 0.02
"""How long work for one run may take before others have their turn."""


class Turns:
    """Counts the processor time of this thread; beyond a turn it pauses for as long as the turn took."""

    def __init__(self, *, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._began = clock()

    def begin(self) -> None:
        """Begin a turn: what was waited for before is over."""
        self._began = self._clock()

    async def step(self) -> None:
        """Go on, or pause first where the turn is over."""
        used = self._clock() - self._began
        if used >= TURN_S:
            await anyio.sleep(used)
            self._began = self._clock()
