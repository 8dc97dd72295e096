"""The log of the attempt's own process, put together from its two streams in the order in which they were written."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from penstock_runner.engine import LogWritten
from penstock_runner.engines.snakemake.recording import ORDER_SUFFIX, RECORD, STDERR, STDOUT, STREAMS, SUFFIXES
from penstock_runner.engines.snakemake.tails import ENGINE_LIVE_BYTES, Tail
from penstock_schemas.views import LogStream

KINDS: Final = (LogStream.WORKFLOW, LogStream.ENGINE)
COPY_BYTES: Final = 1 << 20
RECORDS_AT_ONCE: Final = 4096


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
        """Make the log whole; blocks."""
        if not all(path.exists() for path in self._paths):
            return
        self._log.unlink(missing_ok=True)
        # A new file: what the workflow may have put there is not written through.
        with self._log.open("xb") as joined:
            opened = [os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK) for path in self._paths]
            try:
                for stream, start, end in _Reader(self._log.with_suffix(ORDER_SUFFIX), self._paths).spans(is_over=True):
                    for place in range(start, end, COPY_BYTES):
                        joined.write(os.pread(opened[stream], min(COPY_BYTES, end - place), place))
            finally:
                for descriptor in opened:
                    os.close(descriptor)


class _Reader:
    """Says which parts of the two streams come after one another, from the last call on."""

    def __init__(self, order: Path, paths: tuple[Path, ...]) -> None:
        self._order = order
        self._paths = paths
        self._offset = 0
        self._told = [0, 0]
        self._stream = STDOUT

    def spans(self, *, is_over: bool = False) -> Iterator[tuple[int, int, int]]:
        """Yield (stream, start, end) of everything that is there now; with `is_over` nothing more will come."""
        # Sizes first: every record of what lies before them was written by then.
        sizes = [path.stat().st_size if path.exists() else 0 for path in self._paths]
        for *cut, stream in self._records():
            yield from self._up_to([min(each, size) for each, size in zip(cut, sizes, strict=True)])
            if not is_over and any(each > size for each, size in zip(cut, sizes, strict=True)):
                break  # what lies before this record was still to come: it is read again the next time
            self._offset += RECORD.size
            self._stream = STDERR if stream else STDOUT
        else:
            yield from self._up_to(sizes)

    def _up_to(self, ends: list[int]) -> Iterator[tuple[int, int, int]]:
        for stream in (self._stream, 1 - self._stream):
            start, end = self._told[stream], ends[stream]
            if end > start:
                self._told[stream] = end
                yield stream, start, end

    def _records(self) -> Iterator[tuple[int, ...]]:
        place = self._offset
        while True:
            try:
                with self._order.open("rb") as file:
                    file.seek(place)
                    raw = file.read(RECORD.size * RECORDS_AT_ONCE)
            except OSError:
                return
            whole = len(raw) - len(raw) % RECORD.size
            if not whole:
                return
            yield from RECORD.iter_unpack(raw[:whole])
            place += whole
