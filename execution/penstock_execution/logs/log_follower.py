"""Live logs: what files gained since they were read last, in bounded parts."""

import codecs
from pathlib import Path
from typing import Final

from penstock_execution.engine import LogWritten
from penstock_execution.files.workflow_files import read_file
from penstock_schemas.views import LIVE_LOG_GAP, LogStream

CHUNK_BYTES: Final = 64 * 1024
"""The most that one look at a file reads: together with the pause between looks this bounds the rate."""
TASK_LIVE_BYTES: Final = 1024 * 1024
"""A task's stream is shown live up to here; the file holds the whole."""
LAST_LINE_CHARS: Final = 400
"""Of the last line, which is shown with a failed task."""
ENGINE_LIVE_BYTES: Final = 8 * 1024 * 1024
BEYOND: Final = (
    f"[what this stream has beyond {{limit:,}} bytes is {LIVE_LOG_GAP}; 'penstock logs ID' prints the whole log after "
    "the end]\n"
)


class Tail:
    """Reads on in one file, from its beginning."""

    def __init__(
        self, path: Path, stream: LogStream, *, task_id: str | None = None, limit: int = TASK_LIVE_BYTES
    ) -> None:
        self._path = path
        self._stream = stream
        self._task_id = task_id
        self._limit = limit
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._last = ""
        self._rest = ""
        """The beginning of a line whose end is still to come."""

    @property
    def last_line(self) -> str | None:
        """The last line with text in it, cut; `None` when there is none, or what came later was not read."""
        return self._last or None if self._offset < self._limit else None

    def read(self, *, is_over: bool = False) -> list[LogWritten]:
        """Return what is new, whole lines; with `is_over` everything up to the end of the file or the limit."""
        written: list[LogWritten] = []
        while self._offset < self._limit:
            chunk = self._next_chunk()
            if not chunk:
                break
            written += self._written(self._lines(chunk))
            if not is_over:
                break
        if is_over:
            written += self._written(self._rest + self._decoder.decode(b"", final=True))
            self._rest = ""
        return written

    def read_to(self, end: int) -> list[LogWritten]:
        """Return what is new up to the byte `end`, whole lines."""
        written: list[LogWritten] = []
        while self._offset < min(end, self._limit):
            chunk = self._next_chunk(end)
            if not chunk:
                break
            written += self._written(self._lines(chunk))
        return written

    def _next_chunk(self, end: int | None = None) -> bytes:
        limit = self._limit if end is None else min(end, self._limit)
        try:
            chunk = read_file(self._path, start=self._offset, max_bytes=min(CHUNK_BYTES, limit - self._offset))
        except OSError:  # not there yet, or something else in its place
            return b""
        self._offset += len(chunk)
        return chunk

    def _lines(self, chunk: bytes) -> str:
        text = self._rest + self._decoder.decode(chunk)
        if self._offset >= self._limit:
            self._rest = ""
            return f"{text}\n{BEYOND.format(limit=self._limit)}"
        end = text.rfind("\n") + 1
        if end == 0 and len(text) >= CHUNK_BYTES:
            end = len(text)  # a line without an end
        self._rest = text[end:]
        return text[:end]

    def _written(self, text: str) -> list[LogWritten]:
        if not text:
            return []
        line = next(
            (one_line.strip() for one_line in reversed(text[-LAST_LINE_CHARS:].splitlines()) if one_line.strip()), None
        )
        self._last = line or self._last
        return [LogWritten(stream=self._stream, text=text, task_id=self._task_id)]
