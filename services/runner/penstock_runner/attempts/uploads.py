"""Files of an attempt on their way to the blob store."""

import errno
import os
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import anyio
from msgspec import Struct

from penstock_domain import blob_keys
from penstock_execution.files.file_threads import in_thread
from penstock_execution.files.produced import Produced, ProducedFile
from penstock_execution.files.produced_files import MAX_NAMED
from penstock_execution.files.workflow_files import UnsafeFile, WorkflowFolder, open_file, written_bytes
from penstock_ports import BLOB_PIECE_BYTES, Blobs, PortError
from penstock_runner.attempts.upload_retries import UploadFailed, UploadRetries
from penstock_schemas.ids import JobId
from penstock_schemas.views import LogStream, OutputFile, OutputKind, OutputManifest, UnstoredFile
from penstock_schemas.wire import encode

UPLOAD_BASE_S: Final = 60.0
UPLOAD_MIN_BYTES_PER_S: Final = 1 << 20
"""A try may take the base and what this rate allows for the file's size."""
PARALLEL_UPLOADS: Final = 4
MAX_HOLE_BYTES: Final = 64 << 30
"""A file with larger holes is not stored: they cost its writer nothing, and the store what they claim to be."""
MAX_LOG_BYTES: Final = 16 << 30
"""Of one log."""
MAX_NAMED_AT_ONCE: Final = 3
"""So many files are named in a warning."""
MAX_NAME_CHARS: Final = 100
"""Of each of these."""


class UnreadableOutput(Exception):
    """An output cannot be read, so the run cannot be kept; the message names it."""


class StoredFiles(Struct, frozen=True):
    """What became of the files that a run left."""

    manifest: OutputManifest | None = None
    """`None`: none was written, because there is nothing to list."""

    @property
    def output_files(self) -> int:
        """How many files were stored, logs aside."""
        return sum(file.kind is not OutputKind.LOG for file in self._files)

    @property
    def output_bytes(self) -> int:
        """Their bytes."""
        return sum(file.size_bytes for file in self._files if file.kind is not OutputKind.LOG)

    @property
    def notices(self) -> tuple[str, ...]:
        """Lines for the run's log: each file that was not stored, and the first undeclared ones."""
        if self.manifest is None:
            return ()
        lines = [f"{file.path} is not stored: {file.reason}" for file in self.manifest.not_stored]
        return (*lines, *(f"warning: {sentence}" for sentence in self.warnings))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user must know of it, one sentence each."""
        return () if self.manifest is None else tuple(_warnings(self.manifest))

    @property
    def _files(self) -> tuple[OutputFile, ...]:
        return () if self.manifest is None else self.manifest.files


class Uploads:
    """Puts files into the blob store, with retries: those given, or else a few quick ones."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def put_log(self, key: str, path: Path, retries: UploadRetries | None = None) -> tuple[int, str]:
        """Store a file that a workflow writes to, as far as it goes now; return its bytes and SHA-256.

        Raises:
            UnsafeFile, OSError: it is no regular file, or cannot be read.
            UploadFailed: the blob store did not take it.

        """
        with await in_thread(lambda: open_file(path)) as opened:
            return await self._put(key, opened, retries or UploadRetries(), max_bytes=MAX_LOG_BYTES)

    async def _put(
        self, key: str, opened: BinaryIO, retries: UploadRetries, *, max_bytes: int | None = None
    ) -> tuple[int, str]:
        """Store an open file, up to the size that it has now: a process that still writes to it could do so for ever.

        Raises:
            UnsafeFile: it is next to all holes, which would be stored as zeros.
            UploadFailed: the blob store did not take it.

        """
        size = await in_thread(lambda: _bytes_to_store(opened))
        size = size if max_bytes is None else min(size, max_bytes)
        while True:
            try:
                with anyio.fail_after(UPLOAD_BASE_S + size / UPLOAD_MIN_BYTES_PER_S):
                    stored = await self._blobs.put_stream(key, _pieces(opened, size))
            except (PortError, OSError) as error:
                await retries.pause(key, error)
            else:
                retries.succeeded()
                return stored

    async def put_bytes(self, key: str, content: bytes, retries: UploadRetries | None = None) -> None:
        """Store `content`.

        Raises:
            UploadFailed: the blob store did not take it.

        """
        retries = retries or UploadRetries()
        while True:
            try:
                with anyio.fail_after(UPLOAD_BASE_S):
                    await self._blobs.put_bytes(key, content)
            except (PortError, OSError) as error:
                await retries.pause(key, error)
            else:
                retries.succeeded()
                return

    async def put_outputs(
        self, job_id: JobId, attempt: int, work_dir: Path, produced: Produced, retries: UploadRetries | None = None
    ) -> StoredFiles:
        """Store the files that a run left, and their manifest.

        A file that vanished or is not a regular file any more is not stored, and the manifest says so.

        Raises:
            UnreadableOutput, UploadFailed: not everything is stored.

        """
        stored: dict[str, OutputFile | UnstoredFile] = {}
        retries = retries or UploadRetries()
        limiter = anyio.CapacityLimiter(PARALLEL_UPLOADS)
        failures: list[Exception] = []

        async def put(folder: WorkflowFolder, file: ProducedFile) -> None:
            async with limiter:
                if failures:
                    return
                try:
                    stored[file.path] = await self._put_output(job_id, folder, file, retries)
                except (UnreadableOutput, UploadFailed) as error:
                    failures.append(error)

        if produced.files:
            with await in_thread(lambda: WorkflowFolder(work_dir)) as folder:
                async with anyio.create_task_group() as group:
                    for file in produced.files:
                        group.start_soon(put, folder, file)
        if failures:
            raise failures[0]
        in_order = [stored[path] for path in sorted(stored)]
        lost = tuple(item for item in in_order if isinstance(item, UnstoredFile))
        manifest = OutputManifest(
            job_id=job_id,
            attempt=attempt,
            files=tuple(item for item in in_order if isinstance(item, OutputFile)),
            not_stored=(*lost, *produced.not_stored)[:MAX_NAMED],
            not_stored_count=len(lost) + produced.not_stored_count,
            undeclared=produced.undeclared,
            undeclared_count=produced.undeclared_count,
            undeclared_bytes=produced.undeclared_bytes,
        )
        await self.put_bytes(f"jobs/{job_id}/outputs.json", encode(manifest), retries)
        return StoredFiles(manifest)

    async def _put_output(
        self, job_id: JobId, folder: WorkflowFolder, file: ProducedFile, retries: UploadRetries
    ) -> OutputFile | UnstoredFile:
        key = blob_keys.below(f"jobs/{job_id}/outputs", file.path)
        try:
            with await in_thread(lambda: folder.open_file(file.content)) as opened:
                size_bytes, sha256 = await self._put(key, opened, retries)
        except FileNotFoundError:
            return UnstoredFile(path=file.path, reason="it vanished before it could be stored")
        except PermissionError as error:
            if file.kind is OutputKind.OUTPUT:
                raise UnreadableOutput(f"output {file.path} cannot be read: permission denied") from error
            return UnstoredFile(path=file.path, reason="it cannot be read: permission denied")
        except UnsafeFile as error:
            return UnstoredFile(path=file.path, reason=error.strerror or "it is not a regular file")
        except TimeoutError:
            return UnstoredFile(path=file.path, reason="its disk did not answer")
        except ValueError:
            return UnstoredFile(path=file.path, reason="its name cannot be the key of a blob")
        return OutputFile(path=file.path, size_bytes=size_bytes, sha256=sha256, key=key, kind=file.kind)


def log_key(job_id: JobId, attempt: int, name: str) -> str:
    """Name the blob of a log of an attempt."""
    return f"jobs/{job_id}/{attempt}/logs/{name}"


def task_log_key(job_id: JobId, attempt: int, task_id: str, stream: LogStream) -> str:
    """Name the blob of what a task wrote."""
    return log_key(job_id, attempt, f"tasks/{task_id}.{stream.value}")


def _bytes_to_store(opened: BinaryIO) -> int:
    """Return a file's size.

    Raises:
        UnsafeFile: it is next to all holes.

    """
    size = os.fstat(opened.fileno()).st_size
    written = written_bytes(opened) if size > MAX_HOLE_BYTES else size
    if size - written > MAX_HOLE_BYTES:
        raise UnsafeFile(errno.EFBIG, f"only {written:,} of its {size:,} bytes were ever written")
    return size


async def _pieces(opened: BinaryIO, size: int) -> AsyncGenerator[bytes, None]:
    """Yield the first `size` bytes of a file, fewer where it was cut."""
    start = 0
    while start < size:
        at, length = start, min(BLOB_PIECE_BYTES, size - start)
        piece = await in_thread(lambda: os.pread(opened.fileno(), length, at))  # noqa: B023 - it is awaited at once
        if not piece:
            return
        yield piece
        start += len(piece)


def _warnings(manifest: OutputManifest) -> Iterator[str]:
    """Yield what the user must know of files that are not there for them."""
    if manifest.not_stored_count:
        each = [f"{file.path} ({file.reason})" for file in manifest.not_stored]
        yield f"{_counted(manifest.not_stored_count, 'file')} not stored: {_first(each, manifest.not_stored_count)}"
    if manifest.undeclared_count:
        names = [file.path for file in manifest.undeclared]
        yield (
            f"{_counted(manifest.undeclared_count, 'undeclared file')} not kept: "
            f"{_first(names, manifest.undeclared_count)}; submit with --keep-undeclared to keep such files"
        )


def _counted(count: int, what: str) -> str:
    return f"1 {what} was" if count == 1 else f"{count:,} {what}s were"


def _first(names: Sequence[str], count: int) -> str:
    named = [
        name if len(name) <= MAX_NAME_CHARS else f"{name[:MAX_NAME_CHARS]}..." for name in names[:MAX_NAMED_AT_ONCE]
    ]
    more = f" and {count - len(named):,} more" if count > len(named) else ""
    return ", ".join(named) + more
