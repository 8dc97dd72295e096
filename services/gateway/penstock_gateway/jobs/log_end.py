"""The end of the log, compared with a sequence that a client names."""

from typing import Final

import anyio

from penstock_gateway.http.problems import BeyondLog
from penstock_ports import EventLog

SETTLE_S: Final = 0.5
"""The time for which the log's end is read again: a new leader of the log may not know the last events yet."""
POLL_S: Final = 0.05


async def require_reached(log: EventLog, seq: int) -> None:
    """Return when the log reaches `seq`.

    Raises:
        BeyondLog: it does not.
        Unavailable: the log does not answer.

    """
    last_seq = await log.last_seq()
    with anyio.move_on_after(SETTLE_S):
        while last_seq < seq:
            await anyio.sleep(POLL_S)
            last_seq = await log.last_seq()
    if last_seq < seq:
        raise BeyondLog(
            f"the log ends at sequence {last_seq}, before {seq}; give a sequence from a response of this server"
        )
