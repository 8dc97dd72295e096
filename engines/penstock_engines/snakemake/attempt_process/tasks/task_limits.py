"""The resources that a rule requests, as limits of its tasks' processes: time, memory, disk and processors.

The attempt's process measures its tasks twice a second and ends the one that takes more. Time and processors are exact;
a task can take more memory or disk between two measurements. What a task wrote is what its rule declares and what its
processes have open for writing at a measurement; a file that is opened and closed in between and that no rule declares
is not seen. The code of the Snakefile itself runs in the attempt's process and is not a task: for it, and for all, the
limits of the runner hold.
"""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import contextlib
import os
import random
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from penstock_domain.quantities import counted
from penstock_engines.snakemake.attempt_process.graph import declared_paths
from penstock_execution.processes.process_tree import adopt_orphans, descendants_of, kill, kill_tree, started_at
from penstock_execution.processes.process_usage import BLOCK_BYTES, memory_of, resident_of, written_files

RUNTIME_GRACE_S: Final = 5.0
"""How long a task may take to end after SIGTERM, when its time is over; then it gets SIGKILL."""
DISK_LOOK_S: Final = 2.0
"""Seconds between two looks at what a task wrote."""
MAX_FILES: Final = 10_000
"""Files of one task that are counted."""
SECONDS_PER_MINUTE = 60.0
"""Rules request `runtime` in minutes."""
BYTES_PER_MB: Final = 1_000_000


class TaskLimits(Struct, frozen=True, kw_only=True):
    """What a task may take; `None`: as much as it likes."""

    runtime_min: int | None = None
    mem_mb: int | None = None
    disk_mb: int | None = None
    threads: int | None = None

    def __bool__(self) -> bool:
        return any(item is not None for item in (self.runtime_min, self.mem_mb, self.disk_mb, self.threads))


def limits_of(job: Any, enforced: Iterable[str]) -> TaskLimits:
    """Return what a job's rule requests of the resources that are enforced."""
    requested = {name: _amount(job.resources.get(name)) for name in enforced if name != "threads"}
    return TaskLimits(
        runtime_min=requested.get("runtime"),
        mem_mb=requested.get("mem_mb"),
        disk_mb=requested.get("disk_mb"),
        threads=max(1, int(job.threads)) if "threads" in enforced else None,
    )


def _amount(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


class Processors:
    """The processors of this machine that the attempt may use, given to tasks, the least used ones first."""

    def __init__(self) -> None:
        found = sorted(os.sched_getaffinity(0))
        random.shuffle(found)  # attempts do not know of one another, and should not all choose the same ones
        self._users = dict.fromkeys(found, 0)

    def take(self, count: int) -> frozenset[int]:
        """Return `count` processors, or all where there are fewer."""
        chosen = frozenset(sorted(self._users, key=self._users.__getitem__)[:count])
        for number in chosen:
            self._users[number] += 1
        return chosen

    def give_back(self, chosen: Iterable[int]) -> None:
        """Return what `take` gave."""
        for number in chosen:
            self._users[number] -= 1


class LimitedTask:
    """The limits of one try of a task, and what its processes took so far."""

    def __init__(self, limits: TaskLimits, declared: Iterable[str], processors: frozenset[int] = frozenset()) -> None:
        """Take the limits, the paths that the rule declares, and the processors that the task may use."""
        self.processors = processors
        self._limits = limits
        self._declared = tuple(Path(path).absolute() for path in declared)
        self.grace_s = 0.0
        """How long the task may take to end by itself after it went beyond a limit."""
        self._end = None if limits.runtime_min is None else time.monotonic() + limits.runtime_min * SECONDS_PER_MINUTE
        self._next_disk_look = 0.0
        self._known: dict[int, int] = {}
        """Processes that were seen below the task, with the times of their starts: also those that left it since."""
        self._written: dict[tuple[int, int], int] = {}

    def enter(self) -> None:
        """Restrict the calling thread, and what it starts, to the task's processors."""
        if self.processors:
            os.sched_setaffinity(0, self.processors)

    @staticmethod
    def adopt() -> None:
        """Have orphans of the task's own processes come back to the calling process, so that they are found."""
        adopt_orphans()

    def exceeded(self, pid: int) -> str | None:
        """Return which limit the task of process `pid` went beyond; `None` when it keeps to all."""
        now = time.monotonic()
        tree = self._tree(pid)
        if self._end is not None and now >= self._end:
            self.grace_s = RUNTIME_GRACE_S
            runtime = counted(self._limits.runtime_min or 0, "minute")
            return f"it ran longer than its rule requests (runtime={self._limits.runtime_min}: {runtime}) and was ended"
        return self._memory(tree) or self._disk(tree, now)

    def at_end(self) -> str | None:
        """Return whether what the task left is more than it may write."""
        return None if self._limits.disk_mb is None else self._too_much(self._declared_bytes())

    def kill(self, pid: int) -> bool:
        """Kill every process of the task; return whether none is left."""
        return kill_tree(pid, self._tree(pid) - {pid})

    def kill_left(self) -> None:
        """Kill what is left of processes that were seen, after the task's own process ended."""
        for pid, start in self._known.items():
            if started_at(pid) == start:
                kill(pid)

    def _tree(self, pid: int) -> set[int]:
        found = descendants_of({pid})
        for one_pid in found - self._known.keys():
            start = started_at(one_pid)
            if start is not None:
                self._known[one_pid] = start
        self._known = {known: start for known, start in self._known.items() if started_at(known) == start}
        return {pid, *self._known}

    def _memory(self, tree: set[int]) -> str | None:
        if self._limits.mem_mb is None:
            return None
        limit = self._limits.mem_mb * BYTES_PER_MB
        if resident_of(tree) <= limit or (used := memory_of(tree)) <= limit:
            return None
        return (
            f"its {counted(len(tree), 'process', 'processes')} used {used / BYTES_PER_MB:,.0f} MB of memory, its rule "
            f"requests mem_mb={self._limits.mem_mb} (measured), and it was ended"
        )

    def _disk(self, tree: set[int], now: float) -> str | None:
        if self._limits.disk_mb is None or now < self._next_disk_look:
            return None
        self._next_disk_look = now + DISK_LOOK_S
        for pid in tree:
            for file, size in written_files(pid):
                if file in self._written or len(self._written) < MAX_FILES:
                    self._written[file] = size
        return self._too_much(self._declared_bytes())

    def _too_much(self, declared: dict[tuple[int, int], int]) -> str | None:
        used = sum((self._written | declared).values())
        limit = self._limits.disk_mb or 0
        if used <= limit * BYTES_PER_MB:
            return None
        return f"it wrote {used / BYTES_PER_MB:,.0f} MB, its rule requests disk_mb={limit} (measured), and it was ended"

    def _declared_bytes(self) -> dict[tuple[int, int], int]:
        found: dict[tuple[int, int], int] = {}
        for status in _statuses(self._declared):
            if len(found) >= MAX_FILES:
                break
            found[status.st_dev, status.st_ino] = status.st_blocks * BLOCK_BYTES
        return found


def limited_task(job: Any, enforced: Iterable[str], processors: Processors) -> LimitedTask | None:
    """Return the limits of a job's task that is about to start; `None`: it has none."""
    limits = limits_of(job, enforced)
    if not limits:
        return None
    declared = (*map(str, job.output), *declared_paths(job, "log"), *declared_paths(job, "benchmark"))
    return LimitedTask(limits, declared, processors.take(limits.threads) if limits.threads else frozenset())


def _statuses(paths: Iterable[Path]) -> Iterator[os.stat_result]:
    """Yield the files at paths and in folders at paths; links are not followed."""
    for path in paths:
        with contextlib.suppress(OSError):
            yield path.lstat()
            if path.is_dir() and not path.is_symlink():
                for folder, _, names in os.walk(path):
                    for name in names:
                        with contextlib.suppress(OSError):
                            yield (Path(folder) / name).lstat()
