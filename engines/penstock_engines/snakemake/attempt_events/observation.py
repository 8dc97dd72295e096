"""The processes of a run's jobs as the engine sees them, by the kernel and not by what the workflow reports.

The attempt names a process, and does not collect it before the engine had the time to open it. The engine opens it only
when its parent is the attempt's own process, and reads its exit code from the kernel. Linux gives the exit code of a
collected process since 6.15 (`PIDFD_GET_INFO`); on an older one the engine sees that the process was there, whose child
it was, and that it ended.
"""

import contextlib
import errno
import fcntl
import os
import select
import signal
import struct
from pathlib import Path
from typing import Final

from penstock_engines.snakemake.messages import InvalidEvent
from penstock_execution.processes.file_descriptors import MAX_PROCESSES

_INFO: Final = struct.Struct("=QQ11Ii")
"""`struct pidfd_info`: mask, cgroup, eleven ids, exit code."""
_GET_INFO: Final = 3 << 30 | _INFO.size << 16 | 0xFF << 8 | 11
"""`_IOWR(0xFF, 11, struct pidfd_info)`, as in `linux/pidfd.h`."""
_REQUEST_IDS: Final = 1 << 0
_REQUEST_EXIT: Final = 1 << 3
_PARENT: Final = 4
"""Where the parent's id is in the structure."""


class Watch:
    """The processes of one run that are running, by the job that they belong to."""

    def __init__(self, parent: int, *, max_processes: int = MAX_PROCESSES, has_process_info: bool = True) -> None:
        """Watch children of `parent` alone, `max_processes` at a time.

        Without `has_process_info` as on a kernel that has no `PIDFD_GET_INFO`.
        """
        self._max_processes = max_processes
        self._parent = parent
        self._parent_descriptor = _opened(parent)
        self._has_process_info = has_process_info
        self._opened: dict[int, list[int]] = {}
        """Descriptors, by job."""
        self._count = 0

    def open(self, task: int, pid: int) -> None:
        """Watch a process of a job. Nothing happens when it, or its parent, is gone: then its job cannot end well.

        Raises:
            InvalidEvent: it is no child of the attempt's process, or too many are watched.
            OSError: the engine has no room for another descriptor.

        """
        if self._count >= self._max_processes:
            raise InvalidEvent(f"more than {self._max_processes:,} processes at a time")
        try:
            descriptor = _opened(pid)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                raise InvalidEvent(f"{pid} is a thread and no process") from None
            raise
        if descriptor is None:
            return
        found = self._parent_of(descriptor, pid)
        if found != self._parent:
            os.close(descriptor)
            # The children of a process that ended go to another one.
            if found is None or self._parent_descriptor is None or _has_ended(self._parent_descriptor):
                return
            raise InvalidEvent(f"process {pid} is none of the workflow's")
        self._opened.setdefault(task, []).append(descriptor)
        self._count += 1

    def end(self, task: int) -> tuple[int | None, ...]:
        """Stop watching a job; return how each of its processes ended.

        That is an exit code, negative for a signal; `None` where the kernel does not report it.

        Raises:
            InvalidEvent: one is still running.

        """
        try:
            return tuple(map(self._exit_code, self._opened.get(task, ())))
        finally:
            self.drop(task)

    def drop(self, task: int) -> None:
        """Stop watching a job."""
        descriptors = self._opened.pop(task, [])
        self._count -= len(descriptors)
        for descriptor in descriptors:
            os.close(descriptor)

    def close(self) -> None:
        """Stop watching, for ever."""
        for task in list(self._opened):
            self.drop(task)
        descriptor, self._parent_descriptor = self._parent_descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _parent_of(self, descriptor: int, pid: int) -> int | None:
        if self._has_process_info:
            try:
                return int(_info(descriptor, _REQUEST_IDS)[_PARENT])
            except ProcessLookupError:
                return None
            except OSError:
                self._has_process_info = False
        with contextlib.suppress(OSError, ValueError, IndexError):
            # `pid (name) state parent ...`: the name may hold blanks and parentheses.
            parent = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
            # While the process of the descriptor was not collected, nobody else has its id.
            signal.pidfd_send_signal(descriptor, 0)
            return parent
        return None

    def _exit_code(self, descriptor: int) -> int | None:
        if not _has_ended(descriptor):
            raise InvalidEvent("a job ended well, and a process of it is still running")
        if self._has_process_info:
            with contextlib.suppress(OSError):
                info = _info(descriptor, _REQUEST_EXIT)
                if info[0] & _REQUEST_EXIT:
                    return os.waitstatus_to_exitcode(info[-1])
        return None


def _opened(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _has_ended(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _info(descriptor: int, requested: int) -> tuple[int, ...]:
    buffer = bytearray(_INFO.size)
    struct.pack_into("=Q", buffer, 0, requested)
    fcntl.ioctl(descriptor, _GET_INFO, buffer)
    return _INFO.unpack(buffer)
