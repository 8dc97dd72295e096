"""Where a workflow's files come from: checked before anything of them is used, then staged into a work directory.

A source that cannot be used is the workflow's failure when its author can correct it, and the system's when the stored
bundle is missing or changed.
"""

import base64
import contextlib
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, assert_never

import anyio
import msgspec
from msgspec import Struct

from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_domain.source_tree import StagedFiles, path_of
from penstock_ports import Blobs
from penstock_runtime.folders.folder_removal import remove_tree
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.api import SubmittedFile
from penstock_schemas.jobs import FailureCause, Source, SourceKind, StoredResults
from penstock_sources.workspace.layout import Layout, LayoutEntry, SourceRefused, entry_path
from penstock_sources.workspace.local_folders import CopyLimits, copy_folder
from penstock_sources.workspace.results import stage_results
from penstock_sources.workspace.stored_files import fetch_files, fetch_whole

MAX_SOURCE_FILES: Final = 20_000
MAX_SOURCE_BYTES: Final = 4 << 30
"""What is copied from a path; a bundle is bounded by what a submission may have."""
PROGRAM: Final = b"#!"
"""What a script that can be called begins with."""
FOLDER_MODE: Final = 0o755
PARTIAL: Final = ".partial"
"""The end of a work directory's name until it is complete."""


class _Bundle(Struct, frozen=True):
    files: dict[str, SubmittedFile]


class Sources:
    """Stages the files of workflows into work directories.

    Args:
        blobs: holds bundles and single files.
        roots: the folders below which a source may be a path.
        reserved: the folders of the engine that runs the workflows.

    """

    def __init__(
        self,
        blobs: Blobs,
        roots: Sequence[Path],
        *,
        reserved: ReservedFolders,
        max_files: int = MAX_SOURCE_FILES,
        max_bytes: int = MAX_SOURCE_BYTES,
    ) -> None:
        self._blobs = blobs
        self._roots = tuple(roots)
        self._reserved = reserved
        self._max_files = max_files
        self._max_bytes = max_bytes

    async def prepare(
        self,
        source: Source | None,
        work_dir: Path,
        *,
        submitted_at: datetime | None = None,
        results: StoredResults | None = None,
    ) -> StagedFiles:
        """Make `work_dir` with the source's files in it; it appears only when it is complete.

        Results of an earlier run come all, or none of them where one is missing or damaged.

        Args:
            source: where the files are.
            work_dir: must not exist.
            submitted_at: the time of every file without one; left out: now.
            results: what an earlier run had made.

        Raises:
            SourceRefused: it cannot be used.
            Unavailable: the blob store did not answer.
            OSError: the disk did not take it.

        """
        partial = work_dir.with_name(work_dir.name + PARTIAL)
        time_ns = int((submitted_at or SYSTEM.now()).timestamp() * 1000) * 1_000_000
        staged = StagedFiles()
        try:
            await self._fill(source, partial, time_ns)
            if results is not None:
                try:
                    put = await stage_results(self._blobs, results, partial, work_dir, self._reserved)
                    staged = StagedFiles(result_paths=put.paths, moved_from=put.moved_from)
                except SourceRefused as refused:
                    await self._fill(source, partial, time_ns)
                    staged = StagedFiles(lost_results=refused.failure.message)
            await anyio.to_thread.run_sync(_complete_records, partial, self._reserved)
            await anyio.to_thread.run_sync(_give_usual_modes, partial)
            await anyio.to_thread.run_sync(partial.rename, work_dir)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(remove, partial)
            raise
        return staged

    async def _fill(self, source: Source | None, partial: Path, time_ns: int) -> None:
        await anyio.to_thread.run_sync(_make_empty, partial)
        if source is None:
            return
        match source.kind:
            case SourceKind.PATH:
                await anyio.to_thread.run_sync(self._copy, source, partial)
            case SourceKind.FILES:
                await fetch_files(self._blobs, source, partial, time_ns, self._reserved)
            case SourceKind.BUNDLE:
                raw = await fetch_whole(self._blobs, source)
                await anyio.to_thread.run_sync(_unpack, raw, partial, time_ns, self._reserved)
            case _:
                assert_never(source.kind)

    def _copy(self, source: Source, target: Path) -> None:
        origin = self._allowed(Path(source.location))
        if origin.is_file():
            origin = origin.parent
        limits = CopyLimits(max_files=self._max_files, max_bytes=self._max_bytes)
        roots = [root.resolve() for root in self._roots]
        copy_folder(origin, target, roots=roots, limits=limits, reserved=self._reserved)

    def _allowed(self, location: Path) -> Path:
        if not location.is_absolute():
            raise SourceRefused(FailureCause.WORKFLOW, f"the source's path {location} is not absolute")
        origin = location.resolve()
        if not any(origin.is_relative_to(root.resolve()) for root in self._roots):
            allowed = ", ".join(map(str, self._roots)) or "none"
            raise SourceRefused(
                FailureCause.WORKFLOW,
                f"the source's path {location} is not below a folder that this runner allows ({allowed})",
            )
        if not origin.exists():
            raise SourceRefused(FailureCause.WORKFLOW, f"the source's path {location} does not exist on this runner")
        return origin


def remove(folder: Path) -> None:
    """Remove a folder and all that is in it, write-protected parts too; nothing happens when there is none."""
    with contextlib.suppress(OSError):
        remove_tree(folder)


def _make_empty(folder: Path) -> None:
    remove(folder)
    folder.mkdir(parents=True)


def _complete_records(work_dir: Path, reserved: ReservedFolders) -> None:
    """Make every folder of records of an engine where one of them came.

    Some are empty after a good run, so they come by no way that has files alone. Snakemake, for example, takes records
    without the folder of incomplete results for those of an old version and converts them.
    """
    for folder in reserved.folders:
        places = [work_dir / folder.name / record for record in folder.records]
        if any(place.is_dir() for place in places):
            for place in places:
                place.mkdir(exist_ok=True)


def _give_usual_modes(work_dir: Path) -> None:
    """Give the folders in a work directory the modes that they have on a user's own disk.

    The runner makes everything for its owner alone. A workflow that copies a folder would else give its copy modes that
    it has nowhere else. Nobody gets as far as here: the work directory itself stays its owner's.
    """
    for parent, _, _, descriptor in os.fwalk(work_dir):
        if Path(parent) != work_dir:
            os.fchmod(descriptor, FOLDER_MODE)


def _unpack(raw: bytes, target: Path, time_ns: int, reserved: ReservedFolders) -> None:
    try:
        bundle = msgspec.json.decode(raw, type=_Bundle)
    except msgspec.MsgspecError as error:
        raise SourceRefused(
            FailureCause.WORKFLOW, f"the bundle of the workflow's files is malformed: {error}"
        ) from None
    contents = [_unpacked(label, file, reserved) for label, file in bundle.files.items()]
    layout = Layout(target, [entry for entry, _ in contents], time_ns, reserved)
    layout.make_folders()
    for entry, content in contents:
        if entry.link is None and not entry.is_folder:
            layout.write(entry, content)
    layout.finish()


def _unpacked(label: str, file: SubmittedFile, reserved: ReservedFolders) -> tuple[LayoutEntry, bytes]:
    path = entry_path(label, file.path_base64, reserved)
    is_link = file.link is not None or file.link_base64 is not None
    try:
        link = path_of(file.link or "", file.link_base64) if is_link else None
        content = _content(file)
    except ValueError as error:
        raise SourceRefused(FailureCause.WORKFLOW, f"the workflow's file {label!r} is no base64: {error}") from None
    is_program = content.startswith(PROGRAM) if file.executable is None else file.executable
    return LayoutEntry(
        path=path, link=link, is_folder=file.folder, is_executable=is_program, mtime_ns=file.mtime_ns
    ), content


def _content(file: SubmittedFile) -> bytes:
    if file.text is not None:
        return file.text.encode("utf-8", "surrogatepass")
    return base64.b64decode(file.base64 or "", validate=True)
