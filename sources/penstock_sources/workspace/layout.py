"""A source's entries, made beneath a folder: files first, then links, then the times of folders.

Every entry is checked beside the others before the first one is made, and nothing is ever made through a link: links
come last, and files are opened without following any.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_domain.source_tree import fault_of_path, faults_of_tree, folders_of, path_of, path_text
from penstock_schemas.jobs import Failure, FailureCause

FILE_MODE: Final = 0o644
PROGRAM_MODE: Final = 0o755


class SourceRefused(Exception):
    """The source cannot be used."""

    def __init__(self, cause: FailureCause, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(cause=cause, message=message)


class LayoutEntry(Struct, frozen=True, kw_only=True):
    """A file, a link or a folder to be made."""

    path: str
    """As `os.fsdecode` makes it."""
    link: str | None = None
    is_folder: bool = False
    is_executable: bool = False
    mtime_ns: int | None = None


class Layout:
    """Makes entries. Its methods block: call them in a thread.

    Args:
        target: an empty folder that nobody else can reach.
        entries: all of them.
        time_ns: the time of entries without one, so that none of it is newer than the rest.
        reserved: the folders of the engine.

    Raises:
        SourceRefused: an entry has no safe path, does not fit beside the others, or is a link that leads outside.

    """

    def __init__(self, target: Path, entries: Sequence[LayoutEntry], time_ns: int, reserved: ReservedFolders) -> None:
        self._target = target
        self._time_ns = time_ns
        self._links = {entry.path: entry for entry in entries if entry.link is not None}
        self._folders = {entry.path: entry for entry in entries if entry.is_folder}
        files = {entry.path for entry in entries if entry.link is None and not entry.is_folder}
        if len(files) + len(self._links) + len(self._folders) < len(entries):
            raise SourceRefused(FailureCause.WORKFLOW, "two of the workflow's files have the same path")
        _check(files, {path: one_link.link or "" for path, one_link in self._links.items()}, self._folders, reserved)
        self._all_folders = {folder for entry in entries for folder in folders_of(entry.path)} | set(self._folders)

    def make_folders(self) -> None:
        """Make all folders, the outer ones first."""
        for path in sorted(self._all_folders):
            (self._target / path).mkdir(exist_ok=True)

    def open(self, entry: LayoutEntry) -> int:
        """Return a file descriptor for the content of a file; an earlier try at it is overwritten."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._target / entry.path, flags, PROGRAM_MODE if entry.is_executable else FILE_MODE)

    def seal(self, entry: LayoutEntry, descriptor: int) -> None:
        """Give a file its mode and time; its content is written."""
        os.fchmod(descriptor, PROGRAM_MODE if entry.is_executable else FILE_MODE)
        os.utime(descriptor, ns=self._times(entry))

    def write(self, entry: LayoutEntry, content: bytes) -> None:
        """Make a file whole."""
        descriptor = self.open(entry)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(content)
            self.seal(entry, descriptor)
        finally:
            os.close(descriptor)

    def finish(self) -> None:
        """Make the links, and give folders their times, the inner ones first; every file is there."""
        for path, entry in self._links.items():
            place = self._target / path
            place.symlink_to(entry.link or "")
            os.utime(place, ns=self._times(entry), follow_symlinks=False)
        for path in sorted(self._all_folders, reverse=True):
            os.utime(self._target / path, ns=self._times(self._folders.get(path)), follow_symlinks=False)

    def _times(self, entry: LayoutEntry | None) -> tuple[int, int]:
        time_ns = self._time_ns if entry is None or entry.mtime_ns is None else entry.mtime_ns
        return time_ns, time_ns


def entry_path(label: str, encoded: str | None, reserved: ReservedFolders) -> str:
    """Return the path of an entry as it was stored.

    Raises:
        SourceRefused: it is not safe.

    """
    try:
        path = path_of(label, encoded)
    except ValueError as error:
        raise SourceRefused(
            FailureCause.WORKFLOW, f"the workflow's file {label!r} has no readable name: {error}"
        ) from None
    fault = fault_of_path(path, reserved)
    if fault is not None:
        raise SourceRefused(FailureCause.WORKFLOW, f"the workflow's file {label!r} has no safe name: {fault}")
    return path


def _check(
    files: set[str], links: Mapping[str, str], folders: Mapping[str, LayoutEntry], reserved: ReservedFolders
) -> None:
    for path, fault in faults_of_tree(files, links, folders, reserved):
        raise SourceRefused(FailureCause.WORKFLOW, f"the workflow's file {path_text(path)!r} is refused: {fault}")
