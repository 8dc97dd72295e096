"""Files that are kept in the blob store, on their way into a work directory: each one checked against its hash."""

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import anyio
import msgspec

from penstock_core.ports import BlobMissing, Blobs, PortError
from penstock_schemas.jobs import Failure, FailureCause, Source, SourceFile, SourceManifest

MANIFEST_DEADLINE_S: Final = 60.0
PARALLEL_FETCHES: Final = 8
"""Files that are on their way at a time."""
FETCH_PAUSES_S: Final = (0.2, 1.0, 4.0)
"""A file is fetched once more after each of these."""


class SourceRefused(Exception):
    """The source cannot be used."""

    def __init__(self, cause: FailureCause, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(cause=cause, message=message)


async def fetch_whole(blobs: Blobs, source: Source) -> bytes:
    """Return a source's bundle or manifest.

    Raises:
        SourceRefused: it is missing, or not what was submitted.
        Unavailable, TimeoutError: the blob store did not answer.

    """
    try:
        with anyio.fail_after(MANIFEST_DEADLINE_S):
            raw = await blobs.get_bytes(source.location)
    except BlobMissing:
        raise _missing(source.location) from None
    if source.sha256 is not None and hashlib.sha256(raw).hexdigest() != source.sha256:
        raise _changed(source.location, "has another SHA-256")
    return raw


async def fetch_files(blobs: Blobs, source: Source, target: Path) -> None:
    """Lay the files of a source's manifest into the folder `target`, several at a time and none in memory whole.

    Raises:
        SourceRefused: a file is missing, or not what was submitted, or has no safe name.
        Unavailable: the blob store did not answer.
        OSError: the disk did not take it.

    """
    files = _listed(await fetch_whole(blobs, source))
    limiter = anyio.CapacityLimiter(PARALLEL_FETCHES)
    failures: list[Exception] = []

    async def fetch(file: SourceFile) -> None:
        async with limiter:
            if failures:
                return
            try:
                await _fetch_retried(blobs, file, target / file.path)
            except (SourceRefused, PortError, OSError) as error:
                failures.append(error)

    async with anyio.create_task_group() as group:
        for file in files:
            group.start_soon(fetch, file)
    if failures:
        raise failures[0]


def safe_path(name: str) -> PurePosixPath:
    """Return the relative path that `name` is.

    Raises:
        SourceRefused: it would lead out of the work directory.

    """
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name or not path.name or name.endswith("/"):
        raise SourceRefused(
            FailureCause.WORKFLOW,
            f"the workflow's file {name!r} has no safe name: it must be a relative path without ..",
        )
    return path


async def _fetch_retried(blobs: Blobs, file: SourceFile, path: Path) -> None:
    for pause_s in FETCH_PAUSES_S:
        try:
            return await _fetch(blobs, file, path)
        except (BlobMissing, OSError):
            raise
        except PortError:
            await anyio.sleep(pause_s)
    return await _fetch(blobs, file, path)


async def _fetch(blobs: Blobs, file: SourceFile, path: Path) -> None:
    await anyio.Path(path.parent).mkdir(parents=True, exist_ok=True)
    size_bytes, content_hash = 0, hashlib.sha256()
    try:
        async with blobs.open(file.key) as stream, await anyio.open_file(path, "wb") as written:
            if stream.size_bytes != file.size_bytes:
                raise _changed(file.key, f"has {stream.size_bytes:,} bytes in place of {file.size_bytes:,}")
            async for piece in stream:
                size_bytes += len(piece)
                content_hash.update(piece)
                await written.write(piece)
    except BlobMissing:
        raise _missing(file.key) from None
    if size_bytes != file.size_bytes or content_hash.hexdigest() != file.sha256:
        raise _changed(file.key, "has another SHA-256")
    if file.is_executable:
        await anyio.Path(path).chmod(0o755)


def _listed(raw: bytes) -> Sequence[SourceFile]:
    try:
        files = msgspec.json.decode(raw, type=SourceManifest).files
    except msgspec.MsgspecError as error:
        raise SourceRefused(
            FailureCause.SYSTEM, f"the manifest of the workflow's files is malformed: {error}"
        ) from None
    paths = {str(safe_path(file.path)) for file in files}
    folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    both = next(iter(sorted(paths & folders)), None)
    if both is not None:
        raise SourceRefused(FailureCause.WORKFLOW, f"the workflow's file {both!r} is also the folder of another one")
    return files


def _missing(key: str) -> SourceRefused:
    return SourceRefused(FailureCause.SYSTEM, f"the workflow's files are missing from the blob store: {key}")


def _changed(key: str, how: str) -> SourceRefused:
    return SourceRefused(
        FailureCause.SYSTEM,
        f"the workflow's files in the blob store are not the ones that were submitted: {key} {how}",
    )
