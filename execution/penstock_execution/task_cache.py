"""Outputs of tasks, kept by what determined them: a later task with the same key gets them in place of running.

<root>/<scope>/<key>/entry.json   what made them, and the SHA-256 of each file
<root>/<scope>/<key>/<number>     the files
<root>/.partial/<uuid>            an entry that is being written

A scope is a tenant, or also an owner, and perhaps a workflow. The key is computed by a process that executes code of
the workflow's author, so an entry is worth as much as the users of its scope trust each other. Everything here blocks.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import msgspec
from msgspec import Meta, Struct

from penstock_execution.files.workflow_files import FileKind, WorkflowFolder
from penstock_runtime.folders.folder_removal import remove_tree
from penstock_schemas.ids import JobId

ENTRY: Final = "entry.json"
PARTIAL: Final = ".partial"
MAX_ENTRY_BYTES: Final = 1 << 20
MAX_FILES: Final = 100
"""Outputs of one task."""
MAX_ENTRIES: Final = 200_000
"""In all scopes together; beyond it the oldest are removed."""
COPY_BYTES: Final = 1 << 20
_KEY: Final = re.compile(r"[0-9a-f]{64}")
_DAY_S: Final = 86_400.0


class CachedFile(Struct, frozen=True, kw_only=True):
    """One output."""

    path: str
    """Relative to the work directory."""
    sha256: Annotated[str, Meta(min_length=64, max_length=64)]
    size_bytes: int
    is_executable: bool = False


class CacheEntry(Struct, frozen=True, kw_only=True):
    """The outputs of one task."""

    key: str
    job_id: JobId
    """The job whose task made them."""
    made_at: datetime
    files: tuple[CachedFile, ...]


class CacheLimits(Struct, frozen=True, kw_only=True):
    """How much is kept, and for how long."""

    max_bytes: int
    max_days: int
    """Since an entry was used last."""


def scope_of(tenant: str, owner: str | None, workflow: str | None = None) -> str:
    """Return the scope of an owner's tasks, or of all tasks of a tenant; and of one workflow, by its files' digest."""
    digest = hashlib.sha256(msgspec.json.encode((tenant, owner, workflow))).hexdigest()
    return digest[:32]


class TaskCache:
    """Entries below one folder of the runner.

    Args:
        root: the folder; runners may share it.
        limits: how much is kept.

    """

    def __init__(self, root: Path, limits: CacheLimits) -> None:
        self._root = root
        self._limits = limits

    def prepare(self) -> None:
        """Create the folder.

        Raises:
            OSError: the disk does not accept it.

        """
        (self._root / PARTIAL).mkdir(mode=0o700, parents=True, exist_ok=True)

    def restore(self, scope: str, key: str, work_dir: Path, outputs: Sequence[str]) -> CacheEntry | None:
        """Write the outputs of an entry into a work directory; `None`: there is no such entry, nothing was changed.

        Each file is compared with its SHA-256 while it is copied. An entry that is damaged is removed, and then what
        was written of it is removed too.

        Args:
            scope: of the task.
            key: of the task.
            work_dir: a workflow may write there at the same time.
            outputs: the paths that the task makes, relative and without `..`; the folders above them are there.

        Raises:
            OSError: the work directory does not accept a file.

        """
        place = self._place(scope, key)
        entry = _read(place, key)
        if entry is None or sorted(file.path for file in entry.files) != sorted(outputs):
            return None
        written: list[str] = []
        try:
            with WorkflowFolder(work_dir) as folder:
                for number, file in enumerate(entry.files):
                    folder.remove_file(file.path)
                    written.append(file.path)
                    if not _copied(place / str(number), folder, file):
                        for path in written:
                            folder.remove_file(path)
                        self._remove(place)
                        return None
        except FileNotFoundError:  # evicted meanwhile, or the workflow removed a folder
            return None
        with suppress(OSError):
            os.utime(place)
        return entry

    def put(
        self, scope: str, key: str, work_dir: Path, outputs: Sequence[str], *, job_id: JobId, made_at: datetime
    ) -> bool:
        """Keep the outputs of a task that ended well; return whether they are there now.

        The entry appears as a whole, or not at all. Where an output is no regular file, nothing is kept.

        Raises:
            OSError: the disk does not accept it, or an output cannot be read.

        """
        place = self._place(scope, key)
        if not outputs or len(outputs) > MAX_FILES or place.exists():
            return place.exists()
        partial = self._root / PARTIAL / os.urandom(16).hex()
        partial.mkdir(mode=0o700)
        try:
            files: list[CachedFile] = []
            with WorkflowFolder(work_dir) as folder:
                for number, path in enumerate(outputs):
                    status = folder.status(path)
                    if status.kind is not FileKind.FILE or status.size_bytes > self._limits.max_bytes:
                        return False
                    with folder.open_file(path) as opened, (partial / str(number)).open("xb") as kept:
                        sha256, size_bytes = _copy(opened, kept)
                        os.fsync(kept.fileno())
                    is_executable = bool(status.mode & 0o100)
                    files.append(
                        CachedFile(path=path, sha256=sha256, size_bytes=size_bytes, is_executable=is_executable)
                    )
            entry = CacheEntry(key=key, job_id=job_id, made_at=made_at, files=tuple(files))
            (partial / ENTRY).write_bytes(msgspec.json.encode(entry))
            place.parent.mkdir(mode=0o700, exist_ok=True)
            try:
                partial.rename(place)
            except OSError:
                return place.exists()  # another runner was faster
            return True
        finally:
            self._remove(partial)

    def evict(self, *, now_s: float) -> int:
        """Remove what was not used for too long, and the least recently used of what is too much; return how many.

        Args:
            now_s: the time of day, in seconds since 1970.

        """
        found: list[tuple[float, int, Path]] = []
        for place in self._root.glob("[0-9a-f]*/[0-9a-f]*"):
            with suppress(OSError):
                size_bytes = sum(file.stat().st_size for file in place.iterdir())
                found.append((place.stat().st_mtime, size_bytes, place))
        for place in (self._root / PARTIAL).glob("*"):
            with suppress(OSError):
                if now_s - place.stat().st_mtime > _DAY_S:  # its writer was killed
                    self._remove(place)
        found.sort(reverse=True)
        kept_bytes, removed = 0, 0
        for number, (used_s, size_bytes, place) in enumerate(found):
            kept_bytes += size_bytes
            is_old = now_s - used_s > self._limits.max_days * _DAY_S
            if is_old or kept_bytes > self._limits.max_bytes or number >= MAX_ENTRIES:
                self._remove(place)
                removed += 1
        return removed

    def _place(self, scope: str, key: str) -> Path:
        if _KEY.fullmatch(key) is None:
            raise ValueError("a key is 64 hexadecimal digits")
        return self._root / scope / key

    def _remove(self, place: Path) -> None:
        with suppress(OSError):
            remove_tree(place)


def _read(place: Path, key: str) -> CacheEntry | None:
    try:
        raw = (place / ENTRY).read_bytes()
        entry = msgspec.json.decode(raw, type=CacheEntry)
    except (OSError, msgspec.MsgspecError):
        return None
    return entry if entry.key == key and len(raw) <= MAX_ENTRY_BYTES else None


def _copied(source: Path, folder: WorkflowFolder, file: CachedFile) -> bool:
    """Copy a file into a work directory; return whether it is the one that was kept."""
    mode = 0o755 if file.is_executable else 0o644
    with source.open("rb") as kept, folder.create_file(file.path, mode=mode) as written:
        found = _copy(kept, written)
    return found == (file.sha256, file.size_bytes)


def _copy(source: BinaryIO, target: BinaryIO) -> tuple[str, int]:
    """Copy a file; return its SHA-256 and its bytes."""
    content_hash, size_bytes = hashlib.sha256(), 0
    while piece := source.read(COPY_BYTES):
        content_hash.update(piece)
        size_bytes += len(piece)
        target.write(piece)
    target.flush()
    return content_hash.hexdigest(), size_bytes
