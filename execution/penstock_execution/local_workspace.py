"""Workspaces that are folders on the runner's own disk.

<root>/work/<job>            the work directory, over all attempts of the job on this runner
<root>/logs/<job>/<attempt>  the logs of an attempt, until they are stored
<root>/plans/<plan>          the work directory and the logs of a plan
"""

import errno
import os
import stat
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import anyio
import anyio.to_thread

from penstock_domain.source_tree import StagedFiles
from penstock_execution.engine import EngineFault
from penstock_execution.files.file_threads import SHIELDED_REMOVE_S, in_thread, removed
from penstock_execution.files.produced import Stamps
from penstock_execution.files.set_id_bits import strip_set_id_bits
from penstock_execution.files.source_stamps import source_stamps
from penstock_execution.files.workflow_files import FileKind, TooManyFiles, WorkflowFolder, written_bytes
from penstock_execution.workspace import Staged, UnsafeFile, Workspace, WorkspaceEntry
from penstock_runtime.folders.folder_removal import remove_tree
from penstock_schemas.ids import JobId, is_token
from penstock_schemas.jobs import Source, StoredResults

WORK: Final = "work"
LOGS: Final = "logs"
PLANS: Final = "plans"
MAX_HOLE_BYTES: Final = 64 << 30
"""A file with larger holes is not opened: they cost its writer nothing, and the blob store the size of the file."""
ABANDONED_S: Final = 14 * 24 * 3600.0
"""A work directory that did not change for so long belongs to a job that another runner ended."""


class SourceStager(Protocol):
    """Creates a folder with the files of a source."""

    async def prepare(
        self,
        source: Source | None,
        work_dir: Path,
        *,
        submitted_at: datetime | None = None,
        results: StoredResults | None = None,
    ) -> StagedFiles:
        """Create `work_dir`, which does not exist; raises as `Workspace.stage`."""
        ...


class LocalWorkspace:
    """A workspace in folders of this machine.

    Args:
        work_dir: the work directory.
        log_dir: the folder of the attempt's logs.
        sources: stages sources; `None`: the files are there.
        record_dir: where the list of the source's files is kept, so that a later attempt has it; `None`: nowhere.
        folders: what `remove` removes.

    """

    def __init__(
        self,
        work_dir: Path,
        log_dir: Path,
        *,
        sources: SourceStager | None = None,
        record_dir: Path | None = None,
        folders: Sequence[Path] = (),
    ) -> None:
        self.work_dir = work_dir
        self.log_dir = log_dir
        self.source_files: Stamps | None = None
        """The source's files as they were staged; `None`: not known, so no file is called undeclared."""
        self._sources = sources
        self._record_dir = record_dir
        self._folders = tuple(folders) or (work_dir, log_dir)

    @property
    def location(self) -> str:
        """The path of the work directory."""
        return str(self.work_dir)

    async def stage(
        self,
        source: Source | None,
        *,
        submitted_at: datetime | None = None,
        results: StoredResults | None = None,
    ) -> Staged:
        """Create the folders, with the source's files and the results in the work directory unless it exists."""
        resume = await anyio.Path(self.work_dir).exists()
        await anyio.Path(self.log_dir).mkdir(parents=True, exist_ok=True)
        files = StagedFiles()
        if not resume:
            assert self._sources is not None, "there is nothing to stage with"
            files = await self._sources.prepare(source, self.work_dir, submitted_at=submitted_at, results=results)
        if self._record_dir is not None:
            self.source_files = await source_stamps(
                self.work_dir, self._record_dir, resume=resume, without=files.result_paths
            )
        return Staged(is_resumed=resume, moved_from=files.moved_from, lost_results=files.lost_results)

    def open_output(self, path: str) -> AbstractAsyncContextManager["LocalFile"]:
        """Open a regular file of the work directory."""
        return _opened(self.work_dir, path)

    def open_log(self, name: str) -> AbstractAsyncContextManager["LocalFile"]:
        """Open a log."""
        return _opened(self.log_dir, name)

    async def append_log(self, name: str, text: str) -> None:
        """Append to a log."""
        await in_thread(lambda: append_text(self.log_dir / name, text))

    async def entries(self, folder: str = ".") -> Sequence[WorkspaceEntry]:
        """Return what is in a folder; names whose status cannot be read are left out."""
        return await in_thread(lambda: _entries(self.work_dir, folder))

    async def size_bytes(self) -> int:
        """Return what the folders take of the disk: of very many files, the first ones."""
        return await in_thread(lambda: sum(map(_stored_bytes, self._folders)))

    async def keep(self) -> None:
        """Clear the set-id bits of the workflow's files."""
        await anyio.to_thread.run_sync(strip_set_id_bits, self.work_dir)

    async def remove(self) -> bool:
        """Remove the folders; a removal that takes too long continues in its thread."""
        results = [await removed(folder) for folder in self._folders]
        return all(results)


class LocalPlanWorkspace(LocalWorkspace):
    """The workspace of a plan: it is removed though the plan was cancelled."""

    async def remove(self) -> bool:
        """Remove the folders, within a time that a cancelled plan may take."""
        results = [await removed(folder, deadline_s=SHIELDED_REMOVE_S) for folder in self._folders]
        return all(results)


class LocalWorkspaces:
    """The workspaces below one folder of the runner."""

    def __init__(self, root: Path, sources: SourceStager) -> None:
        self._root = root.absolute()
        self._sources = sources

    def of_attempt(self, job_id: JobId, attempt: int) -> LocalWorkspace:
        """Return the workspace of an attempt."""
        work_dir, logs = self._root / WORK / job_id, self._root / LOGS / job_id
        return LocalWorkspace(
            work_dir, logs / str(attempt), sources=self._sources, record_dir=logs, folders=(work_dir, logs)
        )

    def of_plan(self, plan_id: str) -> LocalWorkspace:
        """Return the workspace of a plan."""
        place = self._root / PLANS / plan_id
        return LocalPlanWorkspace(place / WORK, place / LOGS, sources=self._sources, folders=(place,))

    async def job_ids(self) -> Sequence[JobId]:
        """Return the jobs of which there are files."""
        return await anyio.to_thread.run_sync(self._job_ids)

    def _job_ids(self) -> Sequence[JobId]:
        return tuple(sorted({JobId(folder.name) for folder in self._of_jobs() if is_token(folder.name)}))

    def discard_abandoned(self, *, now_s: float) -> int:
        """Remove what jobs left here that continued elsewhere; return how much there was. `now_s` is the time of day.

        No attempt may be staged meanwhile: folders that were not complete when a runner was killed are removed too.
        Blocks.
        """
        found = 0
        for folder in self._of_jobs():
            if not is_token(folder.name) or now_s - folder.stat().st_mtime > ABANDONED_S:
                with suppress(OSError):
                    remove_tree(folder)
                found += 1
        return found

    def _of_jobs(self) -> Sequence[Path]:
        return (*self._root.glob(f"{WORK}/*"), *self._root.glob(f"{LOGS}/*"))


class LocalFile:
    """An open file on the local disk."""

    def __init__(self, opened: BinaryIO, size_bytes: int) -> None:
        self._opened = opened
        self.size_bytes = size_bytes

    async def read(self, *, start: int, max_bytes: int) -> bytes:
        """Return up to `max_bytes` from the byte `start`."""
        return await in_thread(lambda: os.pread(self._opened.fileno(), max_bytes, start))


def local_folders(workspace: Workspace | None) -> LocalWorkspace:
    """Return the workspace of an attempt with its paths, for an engine that runs on this machine.

    Raises:
        EngineFault: the attempt has no local workspace.

    """
    if not isinstance(workspace, LocalWorkspace):
        place = "no files" if workspace is None else f"its files in {workspace.location}"
        raise EngineFault(f"the attempt has {place}: this engine needs a folder on the runner's disk")
    return workspace


@asynccontextmanager
async def _opened(folder: Path, name: str) -> AsyncGenerator[LocalFile]:
    file = await in_thread(lambda: _open(folder, name))
    with file:
        yield LocalFile(file, await in_thread(lambda: _bytes_to_read(file)))


def _open(folder: Path, name: str) -> BinaryIO:
    with WorkflowFolder(folder) as opened:
        return opened.open_file(name)


def _bytes_to_read(opened: BinaryIO) -> int:
    """Return a file's size.

    Raises:
        UnsafeFile: nearly all of it is holes, which would be stored as zeros.

    """
    size = os.fstat(opened.fileno()).st_size
    written = written_bytes(opened) if size > MAX_HOLE_BYTES else size
    if size - written > MAX_HOLE_BYTES:
        raise UnsafeFile(errno.EFBIG, f"only {written:,} of its {size:,} bytes were ever written")
    return size


def append_text(path: Path, text: str) -> None:
    """Append to a regular file that has one name; blocks.

    Raises:
        OSError: it cannot be written.

    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        found = os.fstat(descriptor)
        # A workflow without a sandbox may have put a second name of another file in its place.
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            os.write(descriptor, text.encode("utf-8", "replace"))
    finally:
        os.close(descriptor)


def _entries(work_dir: Path, folder: str) -> Sequence[WorkspaceEntry]:
    found: list[WorkspaceEntry] = []
    with WorkflowFolder(work_dir) as opened:
        for name in opened.list(folder):
            with suppress(OSError):
                status = opened.status(name if folder == "." else f"{folder}/{name}")
                is_folder = status.kind is FileKind.FOLDER
                is_plain = is_folder or status.kind is FileKind.FILE
                found.append(
                    WorkspaceEntry(
                        name=name,
                        is_folder=is_folder,
                        size_bytes=status.size_bytes,
                        note="" if is_plain else status.kind.value,
                    )
                )
    return found


def _stored_bytes(folder: Path) -> int:
    found = 0
    with suppress(FileNotFoundError, TooManyFiles), WorkflowFolder(folder) as opened:
        for entry in opened.walk():
            found += entry.status.stored_bytes if entry.status else 0
    return found
