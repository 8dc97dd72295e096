"""What of the sandbox is in force on a runner: what was wanted, against what was found to work."""

from enum import Enum
from typing import Final

from msgspec import Struct

from penstock_execution.sandbox.rules import FILE_ABI, IOCTL_ABI, TRUNCATE_ABI
from penstock_schemas.views import SandboxLevel


class SandboxMode(Enum):
    """What the operator wants."""

    AUTO = "auto"
    """Confine as far as the kernel can, and state where it cannot."""
    REQUIRED = "required"
    """Do not start where it cannot be done in full."""
    OFF = "off"
    """A workflow may do what the runner's user may."""


class SandboxUnavailable(Exception):
    """The operator requires a sandbox that this kernel cannot give."""


class Capabilities(Struct, frozen=True, kw_only=True):
    """What a confined child could not do any more."""

    abi: int = 0
    """The version of Landlock; 0 for none."""
    files: bool = False
    """Read what it was not given."""
    signals: bool = False
    """Signal the process that started it."""
    sockets: bool = False
    """Make sockets, where it was given no network."""
    limits: bool = False
    """Change the limits of another process."""
    attributes: bool = False
    """Change modes, owners, times or extended attributes of files that it may not write to."""
    is_refused: bool = False
    """Nothing can be confined: a process that tries fails, as where a container forbids it."""


class SandboxStatus(Struct, frozen=True, kw_only=True):
    """What is in force."""

    level: SandboxLevel
    lacks: tuple[str, ...] = ()
    """What a workflow still may do that the full sandbox would refuse."""


_FULL_SANDBOX: Final = (
    "a Linux of 6.12 or later, on x86_64 or aarch64, with Landlock, seccomp and user namespaces allowed, has all of it"
)


def sandbox_status(mode: SandboxMode, found: Capabilities) -> SandboxStatus:
    """Return what is in force.

    Raises:
        SandboxUnavailable: it is required, and not all of it can be had.

    """
    if mode is SandboxMode.OFF:
        return SandboxStatus(level=SandboxLevel.OFF)
    lacks = _lacks(found)
    if lacks and mode is SandboxMode.REQUIRED:
        raise SandboxUnavailable(
            f"PENSTOCK_SANDBOX is 'required', but here a workflow could still {', '.join(lacks)}: {_FULL_SANDBOX}"
        )
    if not lacks:
        return SandboxStatus(level=SandboxLevel.FULL)
    return SandboxStatus(level=SandboxLevel.PARTIAL if found.files else SandboxLevel.NONE, lacks=lacks)


def _lacks(found: Capabilities) -> tuple[str, ...]:
    has_files = found.files and found.abi >= FILE_ABI
    possible = {
        "read and change every file that the runner's user may": not has_files,
        "cut files of others short": has_files and found.abi < TRUNCATE_ABI,
        "control devices that it can open": has_files and found.abi < IOCTL_ABI,
        "signal the runner and other runs": not found.signals,
        "use the network while a plan is made": not found.sockets,
        "change the limits of other processes": not found.limits,
        "change modes, owners and times of files outside its folders": has_files and not found.attributes,
    }
    return tuple(what for what, is_so in possible.items() if is_so)
