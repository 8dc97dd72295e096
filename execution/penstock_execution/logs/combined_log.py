"""The log of the attempt's own process, put together from its two streams in the order in which they were written."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from penstock_execution.engine import LogWritten
from penstock_execution.files.workflow_files import WorkflowFolder, read_file, size_of_file
from penstock_execution.logs.log_follower import ENGINE_LIVE_BYTES, Tail
from penstock_execution.logs.stdio_capture import ORDER_SUFFIX, RECORD, STDERR, STDOUT, STREAMS, SUFFIXES
from penstock_schemas.views import LogStream

KINDS: Final = (LogStream.WORKFLOW, LogStream.ENGINE)
COPY_BYTES: Final = 1 << 20
RECORDS_AT_ONCE: Final = 4096
RECORDS_A_LOOK: Final = 20_000
"""So many are read in one look while the attempt runs."""
MAX_RECORDS: Final = 1_000_000
"""So many are read at the end: what is behind them comes in no order."""
MAX_LOG_BYTES: Final = 4 << 30
"""Of the whole log: a file with a hole in it can claim any size."""
CUT: Final = "\n[penstock: the log is cut here, at {limit:,} bytes]\n"


class OwnLog:
    """Reads on in what is written, and makes the whole log at the end.

    The files are the workflow's to write, so nothing is taken for granted of them: at the worst the order is wrong.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._paths = tuple(log.with_suffix(suffix) for suffix in SUFFIXES)
        self._tails = tuple(
            Tail(path, kind, limit=ENGINE_LIVE_BYTES) for path, kind in zip(self._paths, KINDS, strict=True)
        )
        self._order = _Reader(log.with_suffix(ORDER_SUFFIX), self._paths)

    def read(self, *, is_over: bool = False) -> list[LogWritten]:
        """Return what is new, in order, whole lines; with `is_over` everything up to the end or the limit."""
        written: list[LogWritten] = []
        for stream, _, end in self._order.spans(is_over=is_over):
            written += self._tails[stream].read_to(end)
        if is_over:
            for stream in STREAMS:
                written += self._tails[stream].read(is_over=True)
        return written

    def join(self) -> None:
        """Make the log whole; blocks.

        Raises:
            OSError: the disk did not take it.

        """
        if any(size_of_file(path) is None for path in self._paths):
            return
        with WorkflowFolder(self._log.parent) as folder, contextlib.ExitStack() as opened:
            # A new file: what the workflow may have put there is not written through.
            folder.remove_file(self._log.name)
            joined = opened.enter_context(folder.create_file(self._log.name))
            files = [opened.enter_context(folder.open_file(path.name)).fileno() for path in self._paths]
            left = MAX_LOG_BYTES
            for stream, start, end in _Reader(self._log.with_suffix(ORDER_SUFFIX), self._paths).spans(is_over=True):
                for place in range(start, end, COPY_BYTES):
                    piece = os.pread(files[stream], min(COPY_BYTES, end - place, left), place)
                    joined.write(piece)
                    left -= len(piece)
                    if not left:
                        joined.write(CUT.format(limit=MAX_LOG_BYTES).encode())
                        return


class _Reader:
    """Determines which parts of the two streams come after one another, from the last call on."""

    def __init__(self, order: Path, paths: tuple[Path, ...]) -> None:
        self._order = order
        self._paths = paths
        self._offset = 0
        self._reported = [0, 0]
        self._stream = STDOUT

    def spans(self, *, is_over: bool = False) -> Iterator[tuple[int, int, int]]:
        """Yield (stream, start, end) of everything that is there now; with `is_over` nothing more will come."""
        # Sizes first: every record of what is before them was written by then.
        sizes = [size_of_file(path) or 0 for path in self._paths]
        for *cut, stream in self._records(MAX_RECORDS if is_over else RECORDS_A_LOOK):
            yield from self._up_to([min(item, size) for item, size in zip(cut, sizes, strict=True)])
            if not is_over and any(item > size for item, size in zip(cut, sizes, strict=True)):
                return  # what is before this record was still to come: it is read again the next time
            self._offset += RECORD.size
            self._stream = STDERR if stream else STDOUT
        if is_over or self._offset >= (size_of_file(self._order) or 0):
            yield from self._up_to(sizes)

    def _up_to(self, ends: list[int]) -> Iterator[tuple[int, int, int]]:
        for stream in (self._stream, 1 - self._stream):
            start, end = self._reported[stream], ends[stream]
            if end > start:
                self._reported[stream] = end
                yield stream, start, end

    def _records(self, limit: int) -> Iterator[tuple[int, ...]]:
        place = self._offset
        end = place + limit * RECORD.size
        while place < end:
            try:
                raw = read_file(self._order, start=place, max_bytes=min(RECORD.size * RECORDS_AT_ONCE, end - place))
            except OSError:
                return
            whole = len(raw) - len(raw) % RECORD.size
            if not whole:
                return
            yield from RECORD.iter_unpack(raw[:whole])
            place += whole
