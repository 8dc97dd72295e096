"""What the engine asks of the zygote, and what an attempt's keeper answers."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from penstock_domain.engine_parameters import SnakemakeOptions
from penstock_execution.sandbox.rules import Rules
from penstock_schemas.jobs import UnsupportedDirectives

READY: Final = b"ready"
"""The zygote's first word on its control socket: everything is imported."""
LAUNCH: Final = b"launch"
"""The order to the zygote; these descriptors travel with it: request, lifeline, events, taken."""
LAUNCH_DESCRIPTORS: Final = 4
STOP: Final = b"stop"
"""The order to a keeper, on its lifeline: end the attempt, politely first."""


class Launch(Struct, frozen=True, kw_only=True):
    """What the zygote needs to know to start an attempt."""

    work_dir: str
    log_dir: str
    engine_log: str
    """What its own process writes goes to files beside it, see `recording`."""
    snakefile: str
    """Relative to `work_dir`."""
    parameters: dict[str, Any]
    cores: int
    """What the attempt may take at most."""
    environment: dict[str, str]
    """The whole environment of the attempt."""
    limits: dict[str, int] = {}
    """Resource limits to set, by their name in the module `resource`, for example `RLIMIT_AS`."""
    options: SnakemakeOptions = SnakemakeOptions()
    """What the submission chose."""
    policy: UnsupportedDirectives = UnsupportedDirectives.CHOOSE
    """What happens when the workflow declares software that this runner does not provide."""
    is_dry: bool = False
    """Whether only to tell what would run."""
    rules: Rules | None = None
    """What the attempt may touch; `None`: what the runner's user may."""


class Started(Struct, frozen=True, kw_only=True, tag=True):
    """The keeper started the attempt's process."""

    pid: int


class Exited(Struct, frozen=True, kw_only=True, tag=True):
    """The attempt's process ended, and so did everything that descended from it."""

    exit_code: int
    """Negative for a signal."""
    was_killed: bool = False
    """The keeper killed it, because it did not end in time or the runner was gone."""
    left: int = 0
    """Processes that could not be killed before the deadline."""
    peak_bytes: int = 0
    """The most memory that one of them had, as far as each was waited for."""


KeeperReport = Started | Exited

_decoder: msgspec.json.Decoder[KeeperReport] = msgspec.json.Decoder(KeeperReport)


def encode_launch(launch: Launch) -> bytes:
    """Encode a request."""
    return msgspec.json.encode(launch)


def decode_launch(raw: bytes) -> Launch:
    """Decode a request; it comes from this program's own engine."""
    return msgspec.json.decode(raw, type=Launch)


def encode_report(report: KeeperReport) -> bytes:
    """Encode a keeper's report."""
    return msgspec.json.encode(report)


def decode_report(raw: bytes) -> KeeperReport:
    """Decode a keeper's report."""
    return _decoder.decode(raw)
