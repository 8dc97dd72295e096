"""Logs on standard output: text as it was written, or entries for programs; in bounded memory.

A terminal gets the text without what it would obey, colours aside: a workflow is not to write a false prompt there.
"""

import codecs
import itertools
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import click
import msgspec

from penstock.client.client import Client
from penstock.client.log_parts import LogPart
from penstock.client.transport import ResourceNotFound
from penstock.terminal import tables
from penstock.terminal.connection import Format
from penstock.terminal.terminal_text import Coloured, is_terminal
from penstock_schemas.api import LogEntry, LogSource
from penstock_schemas.views import LogStream

ENTRY_BYTES: Final = 64 * 1024
"""A stored log comes to programs in entries of this size."""


def print_stored(client: Client, parts: list[LogPart], form: Format) -> None:
    """Print stored logs one after the other, each whole; several have a title each."""
    if form is not Format.TABLE:
        print_entries(_entries(client, parts), form, source=LogSource.ARCHIVE)
        return
    out = sys.stdout.buffer
    ends_line, is_empty = True, True
    for part in parts:
        chunks = _chunks(client, part)
        if chunks is None:
            continue
        if len(parts) > 1:
            click.echo(("" if ends_line else "\n") + click.style(f"==> {part.title} <==", bold=True))
        sys.stdout.flush()
        for chunk in _for_terminal(chunks) if is_terminal() else chunks:
            out.write(chunk)
            if chunk:
                ends_line, is_empty = chunk.endswith(b"\n"), False
        out.flush()
    if not ends_line:
        click.echo()
    if is_empty:
        click.echo("nothing was written", err=True)


def print_entries(entries: Iterator[LogEntry], form: Format, *, source: LogSource, is_done: bool = True) -> None:
    """Print entries for programs as they come: one a line, or as one document."""
    if form is Format.JSONL:
        for entry in entries:
            click.echo(msgspec.json.encode(entry))
        return
    last, separator = 0, ""
    click.echo('{"entries":[', nl=False)
    for entry in entries:
        click.echo(separator + "\n" + msgspec.json.encode(entry).decode(), nl=False)
        last, separator = entry.position, ","
    click.echo(f'\n],"next_after":{last},"done":{str(is_done).lower()},"source":"{source.value}"}}')


class LivePrinter:
    """Prints live entries as text: lines that come in several chunks stay whole."""

    def __init__(self, *, times: bool) -> None:
        self._times = times
        self._filter = Coloured() if is_terminal() else None
        self._source: tuple[LogStream, str | None] | None = None
        self._is_open = False
        """Whether the last line printed has no end yet."""

    def print(self, entry: LogEntry) -> None:
        """Print an entry."""
        source = (entry.stream, entry.task_id)
        if self._is_open and source != self._source:
            self.close()
        self._source = source
        text = self._filter.from_text(entry.text) if self._filter else entry.text
        for line in text.splitlines(keepends=True):
            self._print_line(line, entry.stream, entry.time)

    def close(self) -> None:
        """End the last line."""
        if self._is_open:
            click.echo()
            self._is_open = False

    def _print_line(self, line: str, stream: LogStream, time: datetime | None) -> None:
        before = f"{tables.moment(time)} " if self._times and time and not self._is_open else ""
        self._is_open = not line.endswith("\n")
        text = line.removesuffix("\n")
        click.echo(before + (click.style(text, fg="red") if stream is LogStream.STDERR else text), nl=not self._is_open)


def _for_terminal(chunks: Iterator[bytes]) -> Iterator[bytes]:
    coloured = Coloured()
    for chunk in chunks:
        yield coloured.from_bytes(chunk).encode()
    yield coloured.from_bytes(b"", is_last=True).encode()


def _entries(client: Client, parts: list[LogPart]) -> Iterator[LogEntry]:
    for part in parts:
        chunks = _chunks(client, part)
        if chunks is None:
            continue
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        position = 0
        for chunk in chunks:
            for start in range(0, len(chunk), ENTRY_BYTES):
                raw = chunk[start : start + ENTRY_BYTES]
                position += len(raw)
                text = decoder.decode(raw)
                if text:
                    yield _entry(part, position, text)
        rest = decoder.decode(b"", final=True)
        if rest:
            yield _entry(part, position, rest)


def _chunks(client: Client, part: LogPart) -> Iterator[bytes] | None:
    """Return a stored log; `None` where there is none, which is an error only of one that was reported."""
    chunks = client.stored_log(part)
    try:
        first = next(chunks, b"")
    except ResourceNotFound:
        if part.is_certain:
            raise
        return None
    return itertools.chain([first], chunks)


def _entry(part: LogPart, position: int, text: str) -> LogEntry:
    return LogEntry(
        position=position, attempt=part.attempt, stream=part.stream, text=text, time=None, task_id=part.task_id
    )
