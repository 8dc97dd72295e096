"""Waiting until a NATS server has processed what a client of nats-py sent."""

from typing import Any


async def settle(connection: Any) -> None:
    """Return when the server has processed every subscription and message that `connection` has sent.

    One `flush` does not do this: nats-py writes its PING at once, and before the commands that it still buffers. The
    answer arrives after the buffer was written, so the PING of a second `flush` follows those commands.
    """
    await connection.flush()
    await connection.flush()
