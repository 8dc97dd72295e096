"""A submission as a form: its files are read and sent piece by piece, however large they are."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from urllib3.fields import RequestField

from penstock.client.transport import JSON, ClientError
from penstock.upload.folder_entries import FolderEntry
from penstock.upload.workflow_places import BadWorkflow
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.api import FormManifest, JobSubmission

PIECE_BYTES: Final = 64 * 1024
"""What is read of a file at a time, and at least sent at a time."""

_UNPLAIN: Final = frozenset('%"\\')
"""What clients and servers write differently in the headers of a form."""

FileToSend = Path | FolderEntry
Progress = Callable[[int, int], None]
"""Called with the bytes sent and their total; it starts again when the form does."""


class NotSent(ClientError):
    """A file cannot be sent; the text has the reason."""


class _File(Struct, frozen=True):
    place: Path
    size_bytes: int
    head: bytes


class UploadForm:
    """A submission with the files of its workflow beside it. It can be iterated over again, to be sent again.

    Args:
        submission: without files in its source.
        files: paths in the workflow's folder, with the place of each on this machine, or the entry that it is.
        on_sent: called with the progress.

    Raises:
        NotSent: a file cannot be read.

    """

    def __init__(
        self, submission: JobSubmission, files: Mapping[str, FileToSend], *, on_sent: Progress | None = None
    ) -> None:
        boundary = SYSTEM.new_id()
        entries = {path: file if isinstance(file, FolderEntry) else _entry(file) for path, file in files.items()}
        labels = {path: _label(path, number) for number, path in enumerate(entries)}
        manifest = FormManifest(
            files={labels[path]: entry.described(path, labels[path]) for path, entry in entries.items()}
        )
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._job = _head(boundary, "job", "job.json", JSON) + msgspec.json.encode(submission) + b"\r\n"
        self._job += _head(boundary, "manifest", "manifest.json", JSON) + msgspec.json.encode(manifest) + b"\r\n"
        self._files = [_file(boundary, labels[path], entry.place) for path, entry in entries.items() if entry.is_file]
        self._end = f"--{boundary}--\r\n".encode()
        self._on_sent = on_sent
        content = sum(len(file.head) + file.size_bytes + len(b"\r\n") for file in self._files)
        self.size_bytes = len(self._job) + content + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the form from its beginning.

        Raises:
            NotSent: a file cannot be read, or is not as it was when the form was made.

        """
        sent = 0
        waiting = bytearray()
        for part in self._parts():
            waiting += part
            if len(waiting) < PIECE_BYTES and part is not self._end:
                continue
            yield bytes(waiting)
            sent += len(waiting)
            waiting.clear()
            if self._on_sent is not None:
                self._on_sent(sent, self.size_bytes)

    def _parts(self) -> Iterator[bytes]:
        yield self._job
        for file in self._files:
            yield file.head
            yield from _content(file)
            yield b"\r\n"
        yield self._end


def _entry(place: Path) -> FolderEntry:
    try:
        return FolderEntry.of_file(place)
    except BadWorkflow as error:
        raise NotSent(str(error)) from error


def _label(path: str, number: int) -> str:
    """Return the file name of a part: the path, unless a header cannot carry it; then the manifest has the path."""
    is_plain = path.isprintable() and _UNPLAIN.isdisjoint(path)
    return path if is_plain else f"%{number}"


def _head(boundary: str, name: str, path: str, content_type: str) -> bytes:
    field = RequestField(name, b"", filename=path)
    field.make_multipart(content_type=content_type)
    return f"--{boundary}\r\n{field.render_headers()}".encode()


def _file(boundary: str, path: str, place: Path) -> _File:
    try:
        size_bytes = place.stat().st_size
    except OSError as error:
        raise NotSent(f"cannot read {place}: {error.strerror}") from error
    return _File(place, size_bytes, _head(boundary, "files", path, "application/octet-stream"))


def _content(file: _File) -> Iterator[bytes]:
    """Yield exactly as many bytes as were announced."""
    left = file.size_bytes
    try:
        with file.place.open("rb", buffering=0) as opened:
            while left and (piece := opened.read(min(left, PIECE_BYTES))):
                left -= len(piece)
                yield piece
            is_longer = os.fstat(opened.fileno()).st_size > file.size_bytes
    except OSError as error:
        raise NotSent(f"cannot read {file.place}: {error.strerror}; nothing was submitted") from error
    if left or is_longer:
        raise NotSent(f"{file.place} changed while it was sent; nothing was submitted: try again when it is at rest")
