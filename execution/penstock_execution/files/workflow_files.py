"""Files that a workflow wrote, as the runner reads, lists and removes them: below one folder, and never by a link.

A workflow may put anything in the place of a file, at any moment: a link to a file of the runner's, a FIFO whose
opening never returns, a device, a socket. So every name is resolved below the descriptor of a folder, without following
links; the object is opened as a reference first (`O_PATH`), and read only when it is a regular file. Names are those of
the file system; bytes that are no UTF-8 are surrogates (`os.fsdecode`).

Everything here blocks: call it by `in_thread`, which has a deadline.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Generator, Iterator
from enum import Enum
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from msgspec import Struct

from penstock_execution.files import beneath
from penstock_execution.workspace import UnsafeFile

MAX_EXTENTS: Final = 10_000
"""So many parts of a file with holes are counted."""
MAX_LISTED: Final = 100_000
"""The most entries that are read below a folder where the caller gives no other bound."""


class TooManyFiles(OSError):
    """A folder holds more entries than the caller takes."""


class FileKind(Enum):
    """What a name represents."""

    FILE = "a regular file"
    FOLDER = "a folder"
    LINK = "a link"
    FIFO = "a FIFO"
    SOCKET = "a socket"
    DEVICE = "a device"


class FileStatus(Struct, frozen=True, kw_only=True):
    """What is known of a file without reading it."""

    kind: FileKind
    size_bytes: int
    stored_bytes: int
    """What it takes on the disk: less than its size where it has holes."""
    mode: int
    """Permission bits."""
    modified_ns: int


class Listed(Struct, frozen=True, kw_only=True):
    """One entry found below a folder."""

    name: str
    """Relative to the folder that the search began with the name of, so it can be opened by it."""
    status: FileStatus | None
    """`None` when it could not be looked at."""
    problem: str | None = None
    """Why it, or what is in it, could not be looked at."""


class WorkflowFolder:
    """A folder that a workflow writes to. Every name is relative to it and has no `..`; `.` is the folder itself.

    Every method raises `UnsafeFile` where a component of the name is a link, and otherwise `OSError` as the system call
    does (`FileNotFoundError`, `PermissionError` and so on).
    """

    def __init__(self, path: Path, *, opener: beneath.Opener | None = None) -> None:
        """Open the folder, which must not be a link itself; the folders above it are the runner's own."""
        self._open = opener or _opener()
        self._descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def status(self, name: str) -> FileStatus:
        """Return what `name` represents; a link is a link, regardless of its target."""
        with self._reference(name) as descriptor:
            return _status(os.fstat(descriptor))

    def open_file(self, name: str) -> BinaryIO:
        """Open a regular file for reading, unbuffered.

        Raises:
            UnsafeFile: it is something else, or its writer holds a lease on it.

        """
        with self._reference(name) as descriptor:
            kind = _kind(os.fstat(descriptor).st_mode)
            if kind is not FileKind.FILE:
                raise UnsafeFile(errno.EPERM, f"it is {kind.value} and no regular file", name)
            try:
                # The reference is the object itself, so nothing can take its place in between.
                opened = os.open(
                    f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
                )
            except BlockingIOError:
                raise UnsafeFile(errno.EAGAIN, "a process of the workflow holds a lease on it", name) from None
        return open(opened, "rb", buffering=0)  # noqa: PTH123 - a descriptor

    def read(self, name: str, *, start: int = 0, max_bytes: int) -> bytes:
        """Return up to `max_bytes` of a regular file from the byte `start`; negative counts from its end."""
        with self.open_file(name) as file:
            if start < 0:
                start = max(0, os.fstat(file.fileno()).st_size + start)
            return os.pread(file.fileno(), max_bytes, start)

    def create_file(self, name: str, *, mode: int = 0o600) -> BinaryIO:
        """Make a file for writing where there is nothing yet.

        Raises:
            FileExistsError: there is something, be it a link that leads nowhere.

        """
        descriptor = self._opened(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        return open(descriptor, "wb")  # noqa: PTH123 - a descriptor

    def remove_file(self, name: str) -> None:
        """Remove what has this name and is no folder; a link is removed itself. Nothing happens when there is none."""
        folder, _, last = name.rpartition("/")
        with contextlib.suppress(FileNotFoundError):
            descriptor = self._opened(folder or ".", os.O_PATH | os.O_DIRECTORY)
            try:
                os.unlink(last, dir_fd=descriptor)
            finally:
                os.close(descriptor)

    def link_target(self, name: str) -> str:
        """Return what a link states that it leads to."""
        with self._reference(name) as descriptor:
            return os.fsdecode(os.readlink(b"", dir_fd=descriptor))

    def list(self, name: str = ".", *, max_entries: int = MAX_LISTED) -> list[str]:
        """Return the names in a folder, sorted.

        Raises:
            TooManyFiles: there are more than `max_entries`.

        """
        descriptor = self._opened(name, os.O_RDONLY | os.O_DIRECTORY)
        try:
            found: list[str] = []
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    if len(found) == max_entries:
                        raise TooManyFiles(errno.E2BIG, f"it holds more than {max_entries:,} entries", name)
                    found.append(entry.name)
        finally:
            os.close(descriptor)
        return sorted(found)

    def walk(self, name: str = ".", *, max_entries: int = MAX_LISTED) -> Iterator[Listed]:
        """Yield everything below a folder, folders included, each before what is in it. Links are not followed.

        What cannot be looked at is yielded with the problem: a folder that cannot be listed, a name that is too long.

        Raises:
            TooManyFiles: there are more than `max_entries`; that many were yielded.

        """
        left = max_entries
        waiting = [name]
        while waiting:
            folder = waiting.pop()
            try:
                names = self.list(folder, max_entries=left)
            except TooManyFiles:
                raise TooManyFiles(errno.E2BIG, f"more than {max_entries:,} entries are below it", name) from None
            except OSError as error:
                if folder == name:
                    raise
                yield Listed(name=folder, status=None, problem=error.strerror)
                continue
            left -= len(names)
            folders: list[str] = []
            for one_name in names:
                found = self._listed(one_name if folder == "." else f"{folder}/{one_name}")
                if found.status is not None and found.status.kind is FileKind.FOLDER:
                    folders.append(found.name)
                yield found
            waiting += reversed(folders)

    def _listed(self, name: str) -> Listed:
        try:
            return Listed(name=name, status=self.status(name))
        except OSError as error:
            return Listed(name=name, status=None, problem=error.strerror)

    @contextlib.contextmanager
    def _reference(self, name: str) -> Generator[int]:
        """Give a descriptor of the object itself, for looking at it: opening it so has no effect on it."""
        descriptor = self._opened(name, os.O_PATH)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _opened(self, name: str, flags: int, mode: int = 0) -> int:
        try:
            return self._open(self._descriptor, name, flags, mode)
        except OSError as error:
            match error.errno:
                case errno.ELOOP | errno.EXDEV:
                    raise UnsafeFile(error.errno, "a link is in its place", name) from None
                case errno.EINVAL:
                    raise UnsafeFile(errno.EINVAL, "it is not a relative path without '..'", name) from None
                case _:
                    raise


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading, unbuffered; the folder that holds it must be no link, those above are trusted.

    Raises:
        UnsafeFile, OSError: as `WorkflowFolder.open_file`.

    """
    with WorkflowFolder(path.parent) as folder:
        return folder.open_file(path.name)


def read_file(path: Path, *, start: int = 0, max_bytes: int) -> bytes:
    """Return up to `max_bytes` of a regular file from the byte `start`; negative counts from its end.

    Raises:
        UnsafeFile, OSError: as `WorkflowFolder.open_file`.

    """
    with WorkflowFolder(path.parent) as folder:
        return folder.read(path.name, start=start, max_bytes=max_bytes)


def size_of_file(path: Path) -> int | None:
    """Return the bytes of a regular file; `None` when there is none, or something else in its place."""
    try:
        with WorkflowFolder(path.parent) as folder:
            status = folder.status(path.name)
    except OSError:
        return None
    return status.size_bytes if status.kind is FileKind.FILE else None


def written_bytes(file: BinaryIO) -> int:
    """Return how many bytes of an open file were written, holes aside; of a file in very many parts, its whole size."""
    descriptor, found, end = file.fileno(), 0, 0
    size = os.fstat(descriptor).st_size
    for _ in range(MAX_EXTENTS):
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
        except OSError as error:
            return found if error.errno == errno.ENXIO else size  # no more data; or no such question to this disk
        found += end - start
    return size


def _status(found: os.stat_result) -> FileStatus:
    return FileStatus(
        kind=_kind(found.st_mode),
        size_bytes=found.st_size,
        stored_bytes=found.st_blocks * 512,
        mode=stat.S_IMODE(found.st_mode),
        modified_ns=found.st_mtime_ns,
    )


def _kind(mode: int) -> FileKind:
    for is_kind, kind in (
        (stat.S_ISREG, FileKind.FILE),
        (stat.S_ISDIR, FileKind.FOLDER),
        (stat.S_ISLNK, FileKind.LINK),
        (stat.S_ISFIFO, FileKind.FIFO),
        (stat.S_ISSOCK, FileKind.SOCKET),
    ):
        if is_kind(mode):
            return kind
    return FileKind.DEVICE


@cache
def _opener() -> beneath.Opener:
    return beneath.opener()
