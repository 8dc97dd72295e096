"""The request that the engine sends to its zygote to start an attempt."""

from typing import Any

import msgspec
from msgspec import Struct

from penstock_engines.snakemake.parameters import SnakemakeOptions
from penstock_execution.provisioning import ProvisionKind
from penstock_execution.sandbox.rules import Rules
from penstock_schemas.jobs import UnsupportedDirectives


class Launch(Struct, frozen=True, kw_only=True):
    """Everything that starting an attempt needs."""

    work_dir: str
    log_dir: str
    engine_log: str
    """What its own process writes goes to files beside it, see `stdio_capture`."""
    snakefile: str
    """Relative to `work_dir`."""
    parameters: dict[str, Any]
    cores: int
    """What the attempt may take at most."""
    environment: dict[str, str]
    """The whole environment of the attempt."""
    gpus: int | None = None
    """How many GPUs it has; `None`: the runner does not count them."""
    limits: dict[str, int] = {}
    """Resource limits to set, by their name in the module `resource`, for example `RLIMIT_AS`."""
    options: SnakemakeOptions = SnakemakeOptions()
    """What the submission chose."""
    enforced: tuple[str, ...] = ()
    """Resources that rules request and tasks may not exceed."""
    policy: UnsupportedDirectives = UnsupportedDirectives.CHOOSE
    """What happens when the workflow declares software that this runner does not provide."""
    provides: tuple[ProvisionKind, ...] = ()
    """What the runner prepares for the attempt when it requests it."""
    modules_init: str | None = None
    """The shell script that defines `module`; `None`: there are no environment modules."""
    caches_every_rule: bool | None = None
    """Whether every rule uses the runner's cache, and not only those with `cache: true`; `None`: there is no cache."""
    is_dry: bool = False
    """Whether only to list what would run."""
    rules: Rules | None = None
    """What the attempt may touch; `None`: what the runner's user may."""


def encode_launch(launch: Launch) -> bytes:
    """Encode a request."""
    return msgspec.json.encode(launch)


def decode_launch(raw: bytes) -> Launch:
    """Decode a request; it comes from this program's own engine."""
    return msgspec.json.decode(raw, type=Launch)
