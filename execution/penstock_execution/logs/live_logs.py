"""The logs of an attempt while it runs: read in threads, because a disk may hang, and emitted in order."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import anyio
from msgspec import Struct

from penstock_execution.engine import ENGINE_LOG, Emit, LogWritten
from penstock_execution.files.file_threads import FILE_DEADLINE_S, in_thread
from penstock_execution.files.workflow_files import size_of_file
from penstock_execution.logs.combined_log import OwnLog
from penstock_execution.logs.log_follower import Tail
from penstock_schemas.views import LogStream

TASK_LOGS: Final = "tasks"
"""The folder in an attempt's log directory that holds `<task id>.stdout` and `.stderr`."""
LOOK_PAUSE_S: Final = 0.15
"""The pause between two looks at the log files of what runs."""
JOIN_DEADLINE_S: Final = 300.0
"""How long putting the whole log together may take."""

T = TypeVar("T")


def log_name(task_id: str, stream: str) -> str:
    """Return the name of a task's `stdout` or `stderr` among the logs of an attempt."""
    return f"{TASK_LOGS}/{task_id}.{stream}"


class EndedLogs(Struct, frozen=True, kw_only=True):
    """The logs of a task that ended."""

    stdout: str | None = None
    """Its name among the logs; `None`: there is no such file."""
    stderr: str | None = None
    last_line: str = ""
    """The last line with text in it, of standard error if there is one."""


class LiveLogs:
    """Reads on in the logs of one attempt.

    Args:
        log_dir: the attempt's.
        emit: takes what is new.
        threads: bounds the threads that may wait for this attempt's files.

    """

    def __init__(self, log_dir: Path, emit: Emit, threads: anyio.CapacityLimiter) -> None:
        self._log_dir = log_dir
        self._emit = emit
        self._threads = threads
        self._reading = anyio.Lock()
        self._own_log = OwnLog(log_dir / ENGINE_LOG)
        self._tails: dict[str, tuple[Tail, Tail]] = {}

    def path(self, task_id: str, stream: str) -> Path:
        """Return where a task's `stdout` or `stderr` is. The id is the runner's own and no text of the workflow."""
        return self._log_dir / log_name(task_id, stream)

    def begin(self, task_id: str) -> None:
        """Read the output of a task from now on."""
        if task_id not in self._tails:
            self._tails[task_id] = (
                Tail(self.path(task_id, "stdout"), LogStream.STDOUT, task_id=task_id),
                Tail(self.path(task_id, "stderr"), LogStream.STDERR, task_id=task_id),
            )

    async def follow(self) -> None:
        """Emit what is new, again and again, until cancelled.

        Raises:
            TimeoutError: the disk does not answer.

        """
        while True:
            await anyio.sleep(LOOK_PAUSE_S)
            await self._emit_from(self._look)

    async def end(self, task_id: str) -> EndedLogs:
        """Emit the rest of a task's output; return what there is of it.

        Raises:
            TimeoutError: the disk does not answer.

        """
        ended = EndedLogs()

        def read() -> list[LogWritten]:
            nonlocal ended
            tails = self._tails.pop(task_id, ())
            written = [item for tail in tails for item in tail.read(is_over=True)]
            stdout, stderr = self.path(task_id, "stdout"), self.path(task_id, "stderr")
            ended = EndedLogs(
                stdout=None if size_of_file(stdout) is None else log_name(task_id, "stdout"),
                stderr=None if size_of_file(stderr) is None else log_name(task_id, "stderr"),
                last_line=next((tail.last_line for tail in reversed(tails) if tail.last_line), ""),
            )
            return written

        await self._emit_from(read)
        return ended

    async def finish(self) -> None:
        """Emit the rest of the attempt's own log.

        Raises:
            TimeoutError: the disk does not answer.

        """
        await self._emit_from(lambda: self._own_log.read(is_over=True))

    async def join(self) -> None:
        """Make the attempt's own log whole.

        Raises:
            OSError, TimeoutError: the disk does not take it.

        """
        await self._read(self._own_log.join, JOIN_DEADLINE_S)

    def _look(self) -> list[LogWritten]:
        written = self._own_log.read()
        for tails in list(self._tails.values()):
            for tail in tails:
                written += tail.read()
        return written

    async def _emit_from(self, read: Callable[[], list[LogWritten]]) -> None:
        for item in await self._read(read):
            self._emit(item)

    async def _read(self, read: Callable[[], T], deadline_s: float = FILE_DEADLINE_S) -> T:
        """Read in a thread. One reads at a time, and to its end: what is read moves the place to read on from."""
        async with self._reading:
            results: list[T] = []
            with anyio.CancelScope(shield=True):
                results.append(await in_thread(read, deadline_s=deadline_s, limiter=self._threads))
            return results[0]
