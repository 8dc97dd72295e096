"""Files of an attempt on their way to the blob store."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Final

import anyio
from msgspec import Struct

from penstock_domain import blob_keys
from penstock_execution.files.produced import MAX_NAMED, Produced, ProducedFile
from penstock_execution.workspace import UnsafeFile, Workspace, WorkspaceFile
from penstock_ports import BLOB_PIECE_BYTES, Blobs, PortError
from penstock_runner.attempts.upload_retries import UploadFailed, UploadRetries
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import StoredResults
from penstock_schemas.outputs import RESULTS, OutputFile, OutputKind, OutputManifest, UnstoredFile
from penstock_schemas.views import LogStream
from penstock_schemas.wire import encode

UPLOAD_BASE_S: Final = 60.0
UPLOAD_MIN_BYTES_PER_S: Final = 1 << 20
"""A try may take the base and what this rate allows for the file's size."""
PARALLEL_UPLOADS: Final = 4
MAX_LOG_BYTES: Final = 16 << 30
"""Of one log."""
MAX_NAMED_AT_ONCE: Final = 3
"""So many files are named in a warning."""
MAX_NAME_CHARS: Final = 100
"""Of each of these."""


class UnreadableOutput(Exception):
    """An output cannot be read, so the run cannot be kept; the message names it."""


class StoredFiles(Struct, frozen=True):
    """The results of uploading the files that a run left."""

    manifest: OutputManifest | None = None
    """`None`: none was written, because there is nothing to list."""
    results: StoredResults | None = None
    """What a retry can begin with."""

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

    async def put_log(self, key: str, log: WorkspaceFile, retries: UploadRetries | None = None) -> tuple[int, str]:
        """Store a log, up to the size that it had when it was opened; return its bytes and SHA-256.

        Raises:
            UploadFailed: the blob store did not accept it.

        """
        return await self._put(key, log, retries or UploadRetries(), max_bytes=MAX_LOG_BYTES)

    async def put_output(self, key: str, opened: WorkspaceFile, retries: UploadRetries) -> tuple[int, str]:
        """Store an open file of a work directory; return its bytes and SHA-256.

        Raises:
            UploadFailed: the blob store did not accept it.

        """
        return await self._put(key, opened, retries)

    async def _put(
        self, key: str, opened: WorkspaceFile, retries: UploadRetries, *, max_bytes: int | None = None
    ) -> tuple[int, str]:
        """Store an open file, up to the size that it had then: a process could write to it without end.

        Raises:
            UploadFailed: the blob store did not accept it.

        """
        size = opened.size_bytes if max_bytes is None else min(opened.size_bytes, max_bytes)
        while True:
            try:
                with anyio.fail_after(UPLOAD_BASE_S + size / UPLOAD_MIN_BYTES_PER_S):
                    stored = await self._blobs.put_stream(key, _chunks(opened, size))
            except (PortError, OSError) as error:
                await retries.pause(key, error)
            else:
                retries.succeeded()
                return stored

    async def put_bytes(self, key: str, content: bytes, retries: UploadRetries | None = None) -> None:
        """Store `content`.

        Raises:
            UploadFailed: the blob store did not accept it.

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
        self,
        job_id: JobId,
        attempt: int,
        workspace: Workspace,
        produced: Produced,
        retries: UploadRetries | None = None,
    ) -> StoredFiles:
        """Store the files that a run left, and their manifest.

        A file that vanished or is not a regular file any more is not stored, and the manifest lists it.

        Raises:
            UnreadableOutput, UploadFailed: not everything is stored.

        """
        stored: dict[str, OutputFile | UnstoredFile] = {}
        retries = retries or UploadRetries()
        limiter = anyio.CapacityLimiter(PARALLEL_UPLOADS)
        failures: list[Exception] = []

        async def put(file: ProducedFile) -> None:
            async with limiter:
                if failures:
                    return
                try:
                    stored[file.path] = await self._put_output(job_id, workspace, file, retries)
                except (UnreadableOutput, UploadFailed) as error:
                    failures.append(error)

        async with anyio.create_task_group() as group:
            for file in produced.files:
                group.start_soon(put, file)
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
        self, job_id: JobId, workspace: Workspace, file: ProducedFile, retries: UploadRetries
    ) -> OutputFile | UnstoredFile:
        key = blob_keys.below(f"jobs/{job_id}/outputs", file.path)
        try:
            async with workspace.open_output(file.content) as opened:
                size_bytes, sha256 = await self._put(key, opened, retries)
        except FileNotFoundError:
            return UnstoredFile(path=file.path, reason="it vanished before it could be stored")
        except PermissionError as error:
            if file.kind in RESULTS:
                raise UnreadableOutput(f"output {file.path} cannot be read: permission denied") from error
            return UnstoredFile(path=file.path, reason="it cannot be read: permission denied")
        except UnsafeFile as error:
            return UnstoredFile(path=file.path, reason=error.strerror or "it is not a regular file")
        except TimeoutError:
            return UnstoredFile(path=file.path, reason="its storage did not answer")
        except ValueError:
            return UnstoredFile(path=file.path, reason="its name cannot be the key of a blob")
        return OutputFile(
            path=file.path, size_bytes=size_bytes, sha256=sha256, key=key, kind=file.kind, report=file.report
        )


def log_key(job_id: JobId, attempt: int, name: str) -> str:
    """Name the blob of a log of an attempt."""
    return f"jobs/{job_id}/{attempt}/logs/{name}"


def task_log_key(job_id: JobId, attempt: int, task_id: str, stream: LogStream) -> str:
    """Name the blob of what a task wrote."""
    return log_key(job_id, attempt, f"tasks/{task_id}.{stream.value}")


def task_file_key(job_id: JobId, attempt: int, task_id: str, path: str) -> str:
    """Name the blob of a log or benchmark file of a task: each try has its own."""
    return blob_keys.below(log_key(job_id, attempt, f"tasks/{task_id}.files"), path)


async def _chunks(opened: WorkspaceFile, size: int) -> AsyncGenerator[bytes, None]:
    """Yield the first `size` bytes of a file, fewer where it was cut."""
    start = 0
    while start < size:
        chunk = await opened.read(start=start, max_bytes=min(BLOB_PIECE_BYTES, size - start))
        if not chunk:
            return
        yield chunk
        start += len(chunk)


def _warnings(manifest: OutputManifest) -> Iterator[str]:
    """Yield what the user must know of files that are not there for them."""
    if manifest.not_stored_count:
        reasons = [f"{file.path} ({file.reason})" for file in manifest.not_stored]
        yield f"{_counted(manifest.not_stored_count, 'file')} not stored: {_first(reasons, manifest.not_stored_count)}"
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
