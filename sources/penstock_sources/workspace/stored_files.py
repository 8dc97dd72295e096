"""Files that are kept in the blob store, on their way into a work directory: each one checked against its hash."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import anyio
import msgspec

from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_domain.source_tree import path_of
from penstock_ports import BlobMissing, Blobs, PortError
from penstock_schemas.jobs import FailureCause, Source, SourceFile, SourceManifest, StoredResults
from penstock_sources.workspace.layout import Layout, LayoutEntry, SourceRefused, entry_path

MANIFEST_DEADLINE_S: Final = 60.0
PARALLEL_FETCHES: Final = 8
"""Files that are on their way at a time."""
FETCH_PAUSES_S: Final = (0.2, 1.0, 4.0)
"""A file is fetched once more after each of these."""


class ContentTarget(Protocol):
    """Where the content of files goes; its methods block."""

    def open(self, entry: LayoutEntry) -> int:
        """Return a file descriptor for the content of a file; an earlier try at it is overwritten."""
        ...

    def seal(self, entry: LayoutEntry, descriptor: int) -> None:
        """Give a file its mode and time; its content is written."""
        ...


async def fetch_whole(blobs: Blobs, source: Source | StoredResults) -> bytes:
    """Return a source's bundle or manifest, or the manifest of results.

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


async def fetch_files(blobs: Blobs, source: Source, target: Path, time_ns: int, reserved: ReservedFolders) -> None:
    """Stage the entries of a source's manifest into the folder `target`, several at a time and none in memory whole.

    Raises:
        SourceRefused: a file is missing, or not what was submitted, or the entries cannot be made as they are.
        Unavailable: the blob store did not answer.
        OSError: the disk did not take it.

    """
    listed = _listed(await fetch_whole(blobs, source), reserved)
    layout = Layout(target, [entry for entry, _ in listed], time_ns, reserved)
    await anyio.to_thread.run_sync(layout.make_folders)
    await fetch_contents(blobs, listed, layout)
    await anyio.to_thread.run_sync(layout.finish)


async def fetch_contents(blobs: Blobs, listed: Sequence[tuple[LayoutEntry, SourceFile]], layout: ContentTarget) -> None:
    """Stage the content of files, several at a time and none in memory whole; their folders are there.

    Raises:
        SourceRefused, Unavailable, OSError: as `fetch_files`.

    """
    limiter = anyio.CapacityLimiter(PARALLEL_FETCHES)
    failures: list[Exception] = []

    async def fetch(entry: LayoutEntry, file: SourceFile) -> None:
        async with limiter:
            if failures:
                return
            try:
                await _fetch_retried(blobs, file, layout, entry)
            except (SourceRefused, PortError, OSError) as error:
                failures.append(error)

    async with anyio.create_task_group() as group:
        for entry, file in listed:
            if entry.link is None and not entry.is_folder:
                group.start_soon(fetch, entry, file)
    if failures:
        raise failures[0]


async def _fetch_retried(blobs: Blobs, file: SourceFile, layout: ContentTarget, entry: LayoutEntry) -> None:
    for pause_s in FETCH_PAUSES_S:
        try:
            return await _fetch(blobs, file, layout, entry)
        except (BlobMissing, OSError):
            raise
        except PortError:
            await anyio.sleep(pause_s)
    return await _fetch(blobs, file, layout, entry)


async def _fetch(blobs: Blobs, file: SourceFile, layout: ContentTarget, entry: LayoutEntry) -> None:
    size_bytes, content_hash = 0, hashlib.sha256()
    try:
        async with blobs.open(file.key) as stream:
            if stream.size_bytes != file.size_bytes:
                raise _changed(file.key, f"has {stream.size_bytes:,} bytes in place of {file.size_bytes:,}")
            async with await anyio.open_file(layout.open(entry), "wb", closefd=True) as written:
                async for piece in stream:
                    size_bytes += len(piece)
                    content_hash.update(piece)
                    await written.write(piece)
                await written.flush()
                await anyio.to_thread.run_sync(layout.seal, entry, written.wrapped.fileno())
    except BlobMissing:
        raise _missing(file.key) from None
    if size_bytes != file.size_bytes or content_hash.hexdigest() != file.sha256:
        raise _changed(file.key, "has another SHA-256")


def _listed(raw: bytes, reserved: ReservedFolders) -> Sequence[tuple[LayoutEntry, SourceFile]]:
    try:
        files = msgspec.json.decode(raw, type=SourceManifest).files
        return [(entry_of(file, reserved), file) for file in files]
    except (msgspec.MsgspecError, ValueError) as error:
        raise SourceRefused(
            FailureCause.SYSTEM, f"the manifest of the workflow's files is malformed: {error}"
        ) from None


def entry_of(file: SourceFile, reserved: ReservedFolders) -> LayoutEntry:
    """Return an entry of a manifest.

    Raises:
        SourceRefused: its path is not safe.
        ValueError: its target is not readable.

    """
    is_link = file.link is not None or file.link_base64 is not None
    return LayoutEntry(
        path=entry_path(file.path, file.path_base64, reserved),
        link=path_of(file.link or "", file.link_base64) if is_link else None,
        is_folder=file.is_folder,
        is_executable=file.is_executable,
        mtime_ns=file.mtime_ns,
    )


def _missing(key: str) -> SourceRefused:
    return SourceRefused(FailureCause.SYSTEM, f"the workflow's files are missing from the blob store: {key}")


def _changed(key: str, how: str) -> SourceRefused:
    return SourceRefused(
        FailureCause.SYSTEM,
        f"the workflow's files in the blob store are not the ones that were submitted: {key} {how}",
    )
