"""What an earlier run had made, put over the source in a new work directory.

The earlier run is not trusted, and its links may lead anywhere. So every folder above an entry is made a real folder
first, files are opened without following a link, and links come last.
"""

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio.to_thread
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_domain.source_tree import folders_of
from penstock_ports import Blobs
from penstock_schemas.jobs import FailureCause, ResultsManifest, SourceFile, StoredResults
from penstock_sources.workspace.layout import FILE_MODE, PROGRAM_MODE, LayoutEntry, SourceRefused
from penstock_sources.workspace.stored_files import entry_of, fetch_contents, fetch_whole

MALFORMED: Final = "the manifest of the earlier run's results is malformed"


class StagedResults(Struct, frozen=True):
    """What was put over a source."""

    paths: frozenset[str] = frozenset()
    """Of files and links, as `os.fsdecode` makes them."""
    moved_from: str | None = None
    """Where the work directory of the earlier run was."""


async def stage_results(
    blobs: Blobs, results: StoredResults, partial: Path, work_dir: Path, reserved: ReservedFolders
) -> StagedResults:
    """Stage the results of an earlier run over the source in `partial`, each file checked against its SHA-256.

    Args:
        blobs: holds them.
        results: what the earlier run had made.
        partial: has the source, and nobody else can reach it.
        work_dir: where it will be; links that led into the earlier work directory lead there.
        reserved: the folders of the engine.

    Raises:
        SourceRefused: something is missing, changed or malformed; `partial` is of no use any more.
        Unavailable, TimeoutError: the blob store did not answer.
        OSError: the disk did not take it.

    """
    manifest = _decoded(await fetch_whole(blobs, results))
    listed = _listed(manifest, work_dir, reserved)
    overlay = _Overlay(partial, [entry for entry, _ in listed])
    await anyio.to_thread.run_sync(overlay.make_room)
    await fetch_contents(blobs, listed, overlay)
    await anyio.to_thread.run_sync(overlay.finish)
    paths = frozenset(entry.path for entry, _ in listed if not entry.is_folder)
    return StagedResults(paths, manifest.work_dir)


class _Overlay:
    """Puts entries over what a folder has. Its methods block."""

    def __init__(self, target: Path, entries: Sequence[LayoutEntry]) -> None:
        self._target = target
        self._entries = sorted(entries, key=lambda entry: entry.path)
        self._folders = {entry.path: entry for entry in entries if entry.is_folder}
        above = {folder for entry in entries for folder in folders_of(entry.path)}
        if len({entry.path for entry in entries}) < len(entries):
            raise SourceRefused(FailureCause.SYSTEM, f"{MALFORMED}: two entries have one path")
        if above & {entry.path for entry in entries if not entry.is_folder}:
            raise SourceRefused(FailureCause.SYSTEM, f"{MALFORMED}: a file is above another one")
        self._all_folders = sorted(above | set(self._folders))

    def make_room(self) -> None:
        """Make every folder a real one, the outer ones first, and remove what is in the place of a file or a link."""
        for path in self._all_folders:
            place = self._target / path
            if not _is_real_folder(place):
                place.unlink(missing_ok=True)
                place.mkdir()
        for entry in self._entries:
            place = self._target / entry.path
            if entry.is_folder:
                continue
            if _is_real_folder(place):
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)

    def open(self, entry: LayoutEntry) -> int:
        """Return a file descriptor for the content of a file; an earlier try at it is overwritten."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._target / entry.path, flags, FILE_MODE)

    def seal(self, entry: LayoutEntry, descriptor: int) -> None:
        """Give a file its mode and time; its content is written."""
        os.fchmod(descriptor, PROGRAM_MODE if entry.is_executable else FILE_MODE)
        os.utime(descriptor, ns=_times(entry))

    def finish(self) -> None:
        """Make the links, and give folders their times, the inner ones first; every file is there."""
        for entry in self._entries:
            if entry.link is not None:
                place = self._target / entry.path
                place.symlink_to(entry.link)
                os.utime(place, ns=_times(entry), follow_symlinks=False)
        for path in sorted(self._folders, reverse=True):
            os.utime(self._target / path, ns=_times(self._folders[path]), follow_symlinks=False)


def _decoded(raw: bytes) -> ResultsManifest:
    try:
        return msgspec.json.decode(raw, type=ResultsManifest)
    except msgspec.MsgspecError as error:
        raise SourceRefused(FailureCause.SYSTEM, f"{MALFORMED}: {error}") from None


def _listed(
    manifest: ResultsManifest, work_dir: Path, reserved: ReservedFolders
) -> Sequence[tuple[LayoutEntry, SourceFile]]:
    try:
        return [(_moved(entry_of(file, reserved), manifest.work_dir, work_dir), file) for file in manifest.files]
    except ValueError as error:
        raise SourceRefused(FailureCause.SYSTEM, f"{MALFORMED}: {error}") from None


def _moved(entry: LayoutEntry, before: str, work_dir: Path) -> LayoutEntry:
    """Return an entry; a link that named a place in the earlier work directory names it in the new one."""
    if entry.link is None or not before or not (entry.link == before or entry.link.startswith(f"{before}/")):
        return entry
    return replace(entry, link=f"{work_dir}{entry.link.removeprefix(before)}")


def _is_real_folder(place: Path) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(place).st_mode)
    except FileNotFoundError:
        return False


def _times(entry: LayoutEntry) -> tuple[int, int]:
    time_ns = entry.mtime_ns or 0
    return time_ns, time_ns
