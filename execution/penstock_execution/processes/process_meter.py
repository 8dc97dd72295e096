"""What the processes of an attempt use: sampled by the runner while they run, without a part of the workflow in it.

A sample follows the children of the attempt's process. It costs what the attempt's own processes cost to look at, and
samples are taken so seldom that they take at most `MAX_SHARE` of one core. Processes that ended, and were collected by
one that is still there, are contained in the times and bytes of that one; their memory is not.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Final

import anyio
from msgspec import Struct
from msgspec.structs import replace

from penstock_execution.files.file_threads import FILE_DEADLINE_S, in_thread
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.measurements import MeasuredResources

MIN_PAUSE_S: Final = 0.2
"""Between two samples of one attempt."""
MAX_PAUSE_S: Final = 1.0
"""The same once the attempt is old; a sample that is expensive makes it longer."""
PAUSE_GROWTH: Final = 1 / 60
"""So much of the attempt's age is the pause, between these two."""
MAX_SHARE: Final = 0.01
"""Of one core: the most that the samples of one attempt take."""
MAX_PROCESSES: Final = 2_000
"""So many processes are looked at in one sample."""
MAX_THREADS: Final = 1_000
"""Of one process, as far as its children are looked for."""

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM, _RESIDENT = 11, 12, 13, 14, 21
"""Where these are in `/proc/<pid>/stat`, behind the name of the program."""


class ProcessSample(Struct, frozen=True, kw_only=True):
    """What one process uses, with the times and bytes of those that it has collected."""

    memory_bytes: int = 0
    peak_bytes: int = 0
    """The most memory that it had itself since it runs its program."""
    user_s: float = 0.0
    system_s: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0


def sample_of(pid: int) -> ProcessSample | None:
    """Return what a process uses; `None` when it is gone. Blocks."""
    try:
        # `pid (name) state ...`: the name may hold blanks and parentheses.
        stat = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        status = _read(f"/proc/{pid}/status")
    except OSError:
        return None
    disks = _read_if_allowed(f"/proc/{pid}/io")
    return ProcessSample(
        memory_bytes=int(stat[_RESIDENT]) * _PAGE_BYTES,
        peak_bytes=_number(status, b"\nVmHWM:") * 1024,
        user_s=(int(stat[_USER]) + int(stat[_CHILDREN_USER])) / _TICKS_PER_S,
        system_s=(int(stat[_SYSTEM]) + int(stat[_CHILDREN_SYSTEM])) / _TICKS_PER_S,
        read_bytes=_number(disks, b"\nread_bytes:"),
        written_bytes=_number(disks, b"\nwrite_bytes:"),
    )


def _children(pid: int) -> Iterator[int]:
    """Yield the children of a process, those of all of its threads; none where the kernel does not list them."""
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task")[:MAX_THREADS]:  # noqa: PTH208 - names alone, and quick
            with contextlib.suppress(OSError):
                yield from map(int, _read(f"/proc/{pid}/task/{thread}/children").split())


class _Total:
    """What the processes of one task add up to, over all samples."""

    def __init__(self, pids: set[int]) -> None:
        self.pids = pids
        self.measured = MeasuredResources()

    def add(self, samples: list[ProcessSample]) -> None:
        if not samples:
            return
        known = self.measured
        together = sum(item.memory_bytes for item in samples)
        largest = max(item.peak_bytes for item in samples)
        self.measured = MeasuredResources(
            peak_memory_bytes=max(known.peak_memory_bytes or 0, together, largest) or None,
            user_s=max(known.user_s or 0.0, sum(item.user_s for item in samples)),
            system_s=max(known.system_s or 0.0, sum(item.system_s for item in samples)),
            read_bytes=max(known.read_bytes or 0, sum(item.read_bytes for item in samples)),
            written_bytes=max(known.written_bytes or 0, sum(item.written_bytes for item in samples)),
        )


class ProcessMeter:
    """Measures one attempt and its tasks.

    Args:
        root: the attempt's own process.
        threads: bounds the threads that look at processes.

    """

    def __init__(self, root: int, threads: anyio.CapacityLimiter | None = None) -> None:
        self._root = root
        self._threads = threads
        self._tasks: dict[int, _Total] = {}
        self._whole = _Total({root})
        self._cost_s = 0.0
        """Processor time of the last sample."""

    def begin(self, task: int, pid: int) -> None:
        """Count a process, and what it starts, as a part of a task. It is a child of the attempt's process."""
        self._tasks.setdefault(task, _Total(set())).pids.add(pid)

    def end(self, task: int) -> MeasuredResources:
        """Return what was sampled of a task, and forget it."""
        total = self._tasks.pop(task, None)
        return MeasuredResources() if total is None else total.measured

    @property
    def running(self) -> tuple[int, ...]:
        """The tasks that are measured."""
        return tuple(self._tasks)

    @property
    def whole(self) -> MeasuredResources:
        """What was sampled of the whole attempt."""
        return self._whole.measured

    async def follow(self) -> None:
        """Take samples until cancelled."""
        begun = SYSTEM.monotonic()
        pause_s = MIN_PAUSE_S
        while True:
            await anyio.sleep(pause_s)
            await self.take(FILE_DEADLINE_S)
            age_s = SYSTEM.monotonic() - begun
            pause_s = max(MIN_PAUSE_S, min(MAX_PAUSE_S, age_s * PAUSE_GROWTH), self._cost_s / MAX_SHARE)

    async def take(self, deadline_s: float) -> None:
        """Take one sample, unless that takes longer than `deadline_s`."""
        with contextlib.suppress(TimeoutError):
            await in_thread(self.sample, deadline_s=deadline_s, limiter=self._threads)

    def sample(self) -> None:
        """Look at every process of the attempt once. Blocks."""
        begun_s = time.thread_time()
        self._sample()
        self._cost_s = time.thread_time() - begun_s

    def _sample(self) -> None:
        owners = {pid: total for total in list(self._tasks.values()) for pid in list(total.pids)}
        found: dict[int, list[ProcessSample]] = {id(total): [] for total in owners.values()}
        all_samples: list[ProcessSample] = []
        waiting: list[tuple[int, _Total | None]] = [(self._root, None)]
        seen: set[int] = set()
        while waiting and len(seen) < MAX_PROCESSES:
            pid, owner = waiting.pop()
            if pid in seen:
                continue
            seen.add(pid)
            sample = sample_of(pid)
            if sample is None:
                continue
            all_samples.append(sample)
            if owner is not None:
                found[id(owner)].append(sample)
            waiting += [(child, owner or owners.get(child)) for child in _children(pid)]
        self._whole.add(all_samples)
        for total in owners.values():
            total.add(found.pop(id(total), []))


def combined(sampled: MeasuredResources, counted: MeasuredResources | None) -> MeasuredResources:
    """Return what is known of processes that were sampled, and whose use the kernel counted until they ended.

    The kernel's times and bytes are complete. Of memory it knows the largest process only.
    """
    if counted is None:
        return sampled
    peaks = [item for item in (sampled.peak_memory_bytes, counted.peak_memory_bytes) if item is not None]
    return replace(counted, peak_memory_bytes=max(peaks, default=None))


def _read(path: str) -> bytes:
    """Read a small file of `/proc` with three system calls."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 16_384)
    finally:
        os.close(descriptor)


def _read_if_allowed(path: str) -> bytes:
    try:
        return _read(path)
    except OSError:
        return b""


def _number(text: bytes, name: bytes) -> int:
    """Return the number behind `name`, which begins with the end of a line; 0 where there is none."""
    _, found, rest = text.partition(name)
    return int(rest.split(None, 1)[0]) if found else 0
