"""Receiving what a supervisor reports on its lifeline, in the runner."""

import socket
from typing import Final

import anyio
import msgspec

from penstock_execution.processes.supervision_messages import SupervisorReport, decode_report

MAX_REPORT_BYTES: Final = 4096


async def next_report(lifeline: socket.socket) -> SupervisorReport | None:
    """Return the next report; `None` when the supervisor is gone, or what it sent is no report.

    Args:
        lifeline: the runner's end of the connection, which does not block.

    """
    while True:
        await anyio.wait_readable(lifeline)
        try:
            return decode_report(lifeline.recv(MAX_REPORT_BYTES))
        except BlockingIOError:
            continue
        except (OSError, msgspec.MsgspecError):
            return None
