"""What processes use at a moment, as the kernel reports it: memory, and the files that they have open for writing."""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

MAX_DESCRIPTORS: Final = 1_000
"""Open files of one process that are looked at."""
BLOCK_BYTES: Final = 512
"""The unit of the blocks that a file takes on the disk."""

_PROC: Final = Path("/proc")
_KIB: Final = 1024
_ACCESS_MODE: Final = 0o3


def memory_of(pids: Iterable[int]) -> int:
    """Return the bytes of memory that processes use together; what they share counts once for all of them.

    Where a process does not show what it shares, all that it has in memory counts.
    """
    return sum(_proportional_bytes(pid) for pid in pids)


def resident_of(pids: Iterable[int]) -> int:
    """Return the bytes that processes have in memory, shared ones counted for each: never less than `memory_of`."""
    return sum(_resident_bytes(pid) for pid in pids)


def written_files(pid: int) -> Iterator[tuple[tuple[int, int], int]]:
    """Yield the regular files that a process has open for writing: device and inode, and the bytes on the disk."""
    with contextlib.suppress(OSError):
        for link in islice((_PROC / str(pid) / "fd").iterdir(), MAX_DESCRIPTORS):
            with contextlib.suppress(OSError, ValueError, IndexError):
                flags = (_PROC / str(pid) / "fdinfo" / link.name).read_text().partition("flags:")[2].split()[0]
                if int(flags, 8) & _ACCESS_MODE == os.O_RDONLY:
                    continue
                status = link.stat()
                if stat.S_ISREG(status.st_mode):
                    yield (status.st_dev, status.st_ino), status.st_blocks * BLOCK_BYTES


def _resident_bytes(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int((_PROC / str(pid) / "statm").read_bytes().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0


def _proportional_bytes(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = (_PROC / str(pid) / "smaps_rollup").read_text()
        return int(text.partition("\nPss:")[2].split()[0]) * _KIB
    return _resident_bytes(pid)
