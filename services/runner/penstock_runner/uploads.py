"""Files of an attempt on their way to the blob store."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import anyio
from msgspec import Struct

from penstock_core.ports import Blobs, PortError
from penstock_schemas.ids import JobId
from penstock_schemas.views import LogStream, OutputFile, OutputManifest
from penstock_schemas.wire import encode

UPLOAD_PAUSES_S: Final = (0.2, 1.0, 4.0)
"""An upload is tried once more after each of these."""
UPLOAD_BASE_S: Final = 60.0
UPLOAD_MIN_BYTES_PER_S: Final = 1 << 20
"""A try may take the base and what this rate allows for the file's size."""
PARALLEL_UPLOADS: Final = 4
MAX_NAMED: Final = 5
"""So many left-out outputs are named one by one."""


class UploadFailed(Exception):
    """The blob store did not take a file, after every retry; the message names it and says why."""


class UnreadableOutput(Exception):
    """An output cannot be read, so the run cannot be kept; the message names it."""


class StoredOutputs(Struct, frozen=True):
    """What became of a run's outputs."""

    files: tuple[OutputFile, ...] = ()
    left_out: tuple[str, ...] = ()
    """One sentence for each output that was not stored."""

    @property
    def total_bytes(self) -> int:
        """The bytes of all stored files."""
        return sum(file.size_bytes for file in self.files)


class Uploads:
    """Puts files into the blob store, with retries."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def put_file(self, key: str, path: Path) -> tuple[int, str]:
        """Store a file; return its bytes and SHA-256.

        Raises:
            FileNotFoundError, PermissionError: it cannot be read.
            UploadFailed: the blob store did not take it.

        """
        size = await anyio.to_thread.run_sync(_readable_bytes, path)
        for pause_s in (*UPLOAD_PAUSES_S, None):
            try:
                with anyio.fail_after(UPLOAD_BASE_S + size / UPLOAD_MIN_BYTES_PER_S):
                    return await self._blobs.put_file(key, path)
            except (FileNotFoundError, PermissionError):
                raise
            except (PortError, OSError) as error:
                await _pause_or_fail(key, error, pause_s)
        raise AssertionError("the last pause fails")

    async def put_bytes(self, key: str, content: bytes) -> None:
        """Store `content`.

        Raises:
            UploadFailed: the blob store did not take it.

        """
        for pause_s in (*UPLOAD_PAUSES_S, None):
            try:
                with anyio.fail_after(UPLOAD_BASE_S):
                    return await self._blobs.put_bytes(key, content)
            except (PortError, OSError) as error:
                await _pause_or_fail(key, error, pause_s)
        return None

    async def put_outputs(self, job_id: JobId, attempt: int, work_dir: Path, paths: Sequence[str]) -> StoredOutputs:
        """Store a run's outputs and their manifest.

        An output that vanished, is no regular file or lies outside the work directory (by a symbolic link, say) is left
        out and named.

        Raises:
            UnreadableOutput, UploadFailed: not everything is stored.

        """
        root = await anyio.to_thread.run_sync(work_dir.resolve)
        stored: dict[str, OutputFile | str] = {}
        limiter = anyio.CapacityLimiter(PARALLEL_UPLOADS)
        failures: list[Exception] = []

        async def put(path: str) -> None:
            async with limiter:
                if failures:
                    return
                try:
                    stored[path] = await self._put_output(job_id, root, path)
                except (UnreadableOutput, UploadFailed) as error:
                    failures.append(error)

        async with anyio.create_task_group() as group:
            for path in dict.fromkeys(str(PurePosixPath(path)) for path in paths):
                group.start_soon(put, path)
        if failures:
            raise failures[0]
        in_order = [stored[path] for path in sorted(stored)]
        files = tuple(each for each in in_order if isinstance(each, OutputFile))
        manifest = OutputManifest(job_id=job_id, attempt=attempt, files=files)
        await self.put_bytes(f"jobs/{job_id}/outputs.json", encode(manifest))
        return StoredOutputs(files, tuple(each for each in in_order if isinstance(each, str)))

    async def _put_output(self, job_id: JobId, root: Path, path: str) -> OutputFile | str:
        real = await anyio.to_thread.run_sync(_locate, root, path)
        if isinstance(real, str):
            return real
        key = f"jobs/{job_id}/outputs/{path}"
        try:
            size_bytes, sha256 = await self.put_file(key, real)
        except FileNotFoundError:
            return f"output {path} vanished before it could be stored"
        except PermissionError as error:
            raise UnreadableOutput(f"output {path} cannot be read: permission denied") from error
        return OutputFile(path=path, size_bytes=size_bytes, sha256=sha256, key=key)


def log_key(job_id: JobId, attempt: int, name: str) -> str:
    """Name the blob of a log of an attempt."""
    return f"jobs/{job_id}/{attempt}/logs/{name}"


def task_log_key(job_id: JobId, attempt: int, task_id: str, stream: LogStream) -> str:
    """Name the blob of what a task wrote."""
    return log_key(job_id, attempt, f"tasks/{task_id}.{stream.value}")


def _readable_bytes(path: Path) -> int:
    """Return a file's size; raise what keeps it from being read."""
    with path.open("rb") as file:
        return os.fstat(file.fileno()).st_size


def _locate(root: Path, path: str) -> Path | str:
    """Return the real file of an output, or a sentence that says why it is left out."""
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        return f"output {path} is not stored: it lies outside the work directory"
    if not path.isprintable():  # what object stores do not take as a key either
        return f"output {path!r} is not stored: its name holds characters that cannot be shown"
    try:
        real = (root / path).resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: links that go in a circle
        return f"output {path} vanished before it could be stored"
    if not real.is_relative_to(root):
        return f"output {path} is not stored: it leads outside the work directory"
    if not real.is_file():
        return f"output {path} is not stored: it is no regular file"
    return real


async def _pause_or_fail(key: str, error: Exception, pause_s: float | None) -> None:
    if pause_s is None:
        why = str(error) or type(error).__name__
        raise UploadFailed(f"the blob store did not take {key}: {why}") from error
    await anyio.sleep(pause_s)
