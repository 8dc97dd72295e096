"""Waiting for the next change of anything."""

import anyio


class Notifier:
    """Wakes everyone who waits, each time it beats."""

    def __init__(self) -> None:
        self._next = anyio.Event()

    def beat(self) -> None:
        """Wake everyone who waits now."""
        beaten, self._next = self._next, anyio.Event()
        beaten.set()

    async def wait(self) -> None:
        """Wait for the next beat."""
        await self._next.wait()
