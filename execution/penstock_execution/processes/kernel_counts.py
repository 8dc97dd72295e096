"""What the kernel counted for processes until they were collected."""

from collections.abc import Sequence
from resource import struct_rusage
from typing import Final

from penstock_schemas.measurements import MeasuredResources

_KIB: Final = 1024
_BLOCK_BYTES: Final = 512
"""The unit in which the kernel counts reads and writes of disks."""


def counted_use(used: Sequence[struct_rusage]) -> MeasuredResources:
    """Return what processes used together; their peak of memory is that of the largest process.

    A process that runs a program counts at least the memory of the process that started it, because it shares that
    memory until then.
    """
    return MeasuredResources(
        peak_memory_bytes=max((item.ru_maxrss for item in used), default=0) * _KIB,
        user_s=sum(item.ru_utime for item in used),
        system_s=sum(item.ru_stime for item in used),
        read_bytes=sum(item.ru_inblock for item in used) * _BLOCK_BYTES,
        written_bytes=sum(item.ru_oublock for item in used) * _BLOCK_BYTES,
    )
