"""The head of a response and the body behind it, sent together: one system call for a small response instead of two."""

import asyncio
from typing import Final

MAX_JOINED_BYTES: Final = 64 << 10
"""More than this is not copied to be joined with what is held."""


class JoinedWrites:
    """What a response needs of a transport. A write is held until the next one, or until the loop has run once.

    Args:
        transport: the connection.
        loop: runs the connection.

    """

    __slots__ = ("_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: bytes | None = None

    def write(self, data: bytes) -> None:
        """Send `data`, now or when the loop has run once."""
        held = self._held
        if held is None:
            self._held = data
            self._loop.call_soon(self._flush)
            return
        self._held = None
        if len(data) <= MAX_JOINED_BYTES:
            self._transport.write(held + data)
        else:
            self._transport.write(held)
            self._transport.write(data)

    def close(self) -> None:
        """Send what is held, and close the connection."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Return whether the connection is closed, or being closed."""
        return self._transport.is_closing()

    def _flush(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._transport.write(held)
