"""The GPUs that an attempt was given: the variables that name them to programs, and the device files of the others."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

NONE: Final = "void"
"""What `NVIDIA_VISIBLE_DEVICES` is without any."""
_DEVICES: Final = Path("/dev")
_NUMBERED: Final = re.compile(r"nvidia([0-9]{1,3})", re.ASCII)


def gpu_variables(assigned: Sequence[str]) -> dict[str, str]:
    """Return the variables by which programs see the assigned GPUs, and no others."""
    listed = ",".join(assigned)
    return {"CUDA_VISIBLE_DEVICES": listed, "NVIDIA_VISIBLE_DEVICES": listed or NONE}


def other_devices(assigned: Collection[str], folder: Path = _DEVICES) -> tuple[str, ...]:
    """Return the device files of GPUs that are not assigned.

    A UUID does not name its device file: with one among the assigned ones, the variables alone keep attempts apart.
    """
    if not all(gpu.isdigit() for gpu in assigned):
        return ()
    found = ((path, _NUMBERED.fullmatch(path.name)) for path in folder.glob("nvidia*"))
    return tuple(sorted(str(path) for path, match in found if match is not None and match[1] not in assigned))
