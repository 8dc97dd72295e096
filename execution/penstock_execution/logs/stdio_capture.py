"""What the attempt's own process writes: standard output and error, each in a file, and in which order they came.

Tasks write to separate files; this is about the process that runs the workflow (what a Snakefile prints, what
Snakemake logs) and about commands that it starts otherwise. Both descriptors lead to files, so nothing is lost
regardless of what ends the process, and `/dev/stdout` can be opened. A third file states how the two are put together
again: a record for every time that the process writes to the other stream than before, or after somebody else wrote.
"""

import io
import os
import struct
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDOUT, STDERR = 0, 1
STREAMS: Final = (STDOUT, STDERR)
SUFFIXES: Final = (".stdout", ".stderr")
ORDER_SUFFIX: Final = ".order"
RECORD: Final = struct.Struct("<QQB")
"""How many bytes the two had, and which of them the process goes on with."""


def record_streams(log: Path) -> None:
    """Lead what this process writes from now on into files beside `log`, which is made of them later."""
    files = [_open(log.with_suffix(suffix)) for suffix in SUFFIXES]
    order = _Order(_open(log.with_suffix(ORDER_SUFFIX)), tuple(files))
    sys.stdout.flush()
    sys.stderr.flush()
    for stream, file in zip(STREAMS, files, strict=True):
        os.dup2(file, stream + 1)
    sys.stdout, sys.stderr = (_text(order, stream) for stream in STREAMS)


class _Order:
    """Keeps the record."""

    def __init__(self, descriptor: int, files: tuple[int, ...]) -> None:
        self._descriptor = descriptor
        self._files = files
        self._process = os.getpid()
        # A handler of a signal may print while its own thread prints.
        self._lock = threading.RLock()
        self._known = [0, 0]
        self._stream = STDOUT

    def write(self, stream: int, data: "ReadableBuffer") -> int:
        """Write to a stream, and record what has to be known for that."""
        if os.getpid() != self._process:  # a fork, whose descriptors may lead elsewhere; the lock may be held for ever
            return os.write(stream + 1, data)
        with self._lock:
            sizes = [os.fstat(file).st_size for file in self._files]
            if sizes != self._known:  # others wrote: that is between what this process wrote before and now
                # Less than before where somebody emptied a file, as `> /dev/stderr` does.
                self._record([min(pair) for pair in zip(self._known, sizes, strict=True)], STDOUT)
                self._record(sizes, stream)
            elif stream != self._stream:
                self._record(sizes, stream)
            self._stream = stream
            written = os.write(stream + 1, data)
            sizes[stream] += written
            self._known = sizes
            return written

    def _record(self, sizes: list[int], stream: int) -> None:
        os.write(self._descriptor, RECORD.pack(*sizes, stream))


class _Recorded(io.FileIO):
    """One of the two streams, as Python writes to it."""

    def __init__(self, order: _Order, stream: int) -> None:
        super().__init__(stream + 1, "w", closefd=False)
        self._order = order
        self._stream = stream

    def write(self, data: "ReadableBuffer", /) -> int:
        return self._order.write(self._stream, data)


def _text(order: _Order, stream: int) -> io.TextIOWrapper:
    raw = io.BufferedWriter(_Recorded(order, stream))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
