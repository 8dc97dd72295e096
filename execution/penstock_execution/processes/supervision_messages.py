"""Messages between the engine in the runner, its zygote, and the supervisor of each attempt."""

from typing import Final

import msgspec
from msgspec import Struct

from penstock_schemas.measurements import MeasuredResources

READY: Final = b"ready"
"""The zygote's first message on its control socket: everything is imported."""
LAUNCH: Final = b"launch"
"""The order to the zygote; these descriptors travel with it: request, lifeline, events, taken."""
LAUNCH_DESCRIPTORS: Final = 4
STOP: Final = b"stop"
"""The order to a supervisor, on its lifeline: end the attempt, politely first."""


class Started(Struct, frozen=True, kw_only=True, tag=True):
    """The supervisor started the attempt's process."""

    pid: int


class Exited(Struct, frozen=True, kw_only=True, tag=True):
    """The attempt's process ended, and so did everything that descended from it."""

    exit_code: int
    """Negative for a signal."""
    was_killed: bool = False
    """The supervisor killed it, because it did not end in time or the runner was gone."""
    left: int = 0
    """Processes that could not be killed before the deadline."""
    used: MeasuredResources = MeasuredResources()
    """What its collected processes used; the peak of memory is that of the largest one."""


SupervisorReport = Started | Exited

_decoder: msgspec.json.Decoder[SupervisorReport] = msgspec.json.Decoder(SupervisorReport)


def encode_report(report: SupervisorReport) -> bytes:
    """Encode a supervisor's report."""
    return msgspec.json.encode(report)


def decode_report(raw: bytes) -> SupervisorReport:
    """Decode a supervisor's report."""
    return _decoder.decode(raw)
