"""What keeps this runner's workflows from what is not theirs: its settings, and what the kernel can do."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog
from msgspec.structs import replace

from penstock_execution.sandbox.places import devices, resolved, secrets, software
from penstock_execution.sandbox.policy import SandboxPolicy
from penstock_execution.sandbox.probe import probe
from penstock_execution.sandbox.rules import outermost
from penstock_execution.sandbox.status import Capabilities, SandboxMode, SandboxStatus, sandbox_status
from penstock_runner.settings import RunnerSettings
from penstock_schemas.views import SandboxLevel

_FILE_URL: Final = "file://"

_log = structlog.stdlib.get_logger()


async def confinement(
    settings: RunnerSettings, environ: Mapping[str, str]
) -> tuple[SandboxPolicy | None, SandboxStatus]:
    """Return what attempts may touch (`None`: what the runner's user may) and what of that is in force.

    Raises:
        SandboxUnavailable: the settings require more than this kernel can do.

    """
    wants = settings.sandbox is not SandboxMode.OFF
    found = await probe() if wants else Capabilities()
    in_force = sandbox_status(settings.sandbox, found)
    write = _log.info if in_force.level is SandboxLevel.FULL else _log.warning
    write("sandbox", in_force=in_force.level.value, workflows_can_still=list(in_force.lacks), landlock=found.abi)
    if not wants or found.is_refused:
        return None, in_force
    allowed = replace(policy(settings, environ), sealed=found.files and found.attributes)
    if not found.files:
        allowed = replace(allowed, read=("/",), write=("/",), hidden=())  # what is not refused is not to be explained
    return allowed, in_force


def policy(settings: RunnerSettings, environ: Mapping[str, str]) -> SandboxPolicy:
    """Return what the settings allow to attempts."""
    home = environ.get("HOME")
    own = [settings.state_dir, *_blobs_folder(settings.blobs), *filter(None, (settings.nats_credentials,))]
    hidden = (*_resolved((*own, *settings.sandbox_hide)), *secrets(Path(home) if home else None))
    readable = (*software(environ), *_resolved((*settings.source_roots, *settings.sandbox_read)))
    return SandboxPolicy(
        read=outermost(readable, hidden),
        write=_resolved(settings.sandbox_write),
        devices=devices(),
        hidden=hidden,
        network=settings.sandbox_network,
    )


def _blobs_folder(location: str) -> tuple[Path, ...]:
    text = location.removeprefix(_FILE_URL)
    return () if "://" in text else (Path(text).absolute(),)


def _resolved(paths: tuple[Path, ...]) -> tuple[str, ...]:
    return resolved([os.fspath(path) for path in paths])
