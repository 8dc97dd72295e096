"""Blobs through obstore: a local folder, S3, Google Cloud Storage, Azure or memory, by URL."""

import hashlib
import math
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

import anyio
import obstore
from anyio import to_thread
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, ObjectStore, S3Store, from_url

from penstock_jetstream import names
from penstock_jetstream.adapters import blob_folder
from penstock_ports import BLOB_PIECE_BYTES, BlobInfo, BlobMissing, BlobsUnavailable, PortError, WrittenBlob
from penstock_ports.adapter_checks import check_key
from penstock_runtime.folders.state_folder import close_to_others
from penstock_runtime.settings import UnusableSetting

_DETAILS: Final = "\n\nDebug source:"
"""What follows in the library's errors is for its authors."""
_TOP_FOLDERS: Final = ("jobs", "sources", "pipelines", "deletions", ".writable")
"""How the keys of all blobs begin."""
_SCHEMES: Final = ("file", "memory", "s3", "s3a", "gs", "az", "abfs", "abfss", "azure", "adl", "https")


class BadBlobsLocation(UnusableSetting, ValueError):
    """Blobs cannot be kept there; the message states what to write instead."""


def folder_of(location: str | Path) -> Path | None:
    """Return the folder on a local disk that a location of blobs names; `None` for an object store."""
    text = str(location)
    scheme, separator, rest = text.partition("://")
    return None if separator and scheme != "file" else Path(rest if separator else text).absolute()


def open_blobs(location: str | Path) -> "ObjectBlobs":
    """Return the blobs at a folder or a URL; a folder is made.

    Raises:
        BadBlobsLocation: it is no folder that this user may write to, and no URL of a known kind.

    """
    text = str(location)
    scheme, separator, _ = text.partition("://")
    if separator and scheme != "file":
        if scheme not in _SCHEMES:
            known = ", ".join(f"{one_scheme}://" for one_scheme in _SCHEMES)
            raise BadBlobsLocation(
                f"PENSTOCK_BLOBS is {text}: blobs are kept in a folder, or at a URL that begins with one of {known}"
            )
        try:
            return ObjectBlobs(from_url(text), folder=None)
        except (BaseError, ValueError) as error:
            reason = " ".join(str(error).partition(_DETAILS)[0].split())
            raise BadBlobsLocation(f"PENSTOCK_BLOBS is {text}, which cannot be used: {reason}") from error
    folder = folder_of(location)
    assert folder is not None, "what is not a URL of another kind is a folder"
    try:
        close_to_others(folder, own=_TOP_FOLDERS)
        probe = folder / ".writable"
        probe.write_bytes(b"?")
        probe.unlink()
    except OSError as error:
        raise BadBlobsLocation(
            f"PENSTOCK_BLOBS is {text}: blobs cannot be kept there: {error.strerror}; "
            "choose a folder that this user may write to"
        ) from error
    return ObjectBlobs(LocalStore(folder, automatic_cleanup=True), folder=folder)


class ObjectBlobs:
    """A `Blobs`. In a `folder` a blob appears whole or not at all, and is on the disk before `put_...` returns."""

    def __init__(self, store: ObjectStore, *, folder: Path | None) -> None:
        self._store = store
        self._folder = folder

    async def put_bytes(self, key: str, content: bytes) -> None:
        """Store `content`."""
        check_key(key)
        with _errors(key), anyio.fail_after(names.BLOB_S):
            await obstore.put_async(self._store, key, content)
            await self._sync(key)

    async def put_file(self, key: str, path: Path) -> tuple[int, str]:
        """Store a file, streamed."""
        check_key(key)
        async with await anyio.open_file(path, "rb") as file:

            async def chunks() -> AsyncGenerator[bytes, None]:
                while piece := await file.read(BLOB_PIECE_BYTES):
                    yield piece

            return await self.put_stream(key, chunks())

    async def put_stream(self, key: str, chunks: AsyncIterable[bytes]) -> tuple[int, str]:
        """Store what `chunks` yields."""
        check_key(key)
        incoming = _Incoming(chunks)
        first = await incoming.next_piece()
        if incoming.is_over:
            # One request in place of three.
            await self.put_bytes(key, first)
            return incoming.size_bytes, incoming.sha256
        try:
            with _errors(key), anyio.fail_after(names.BLOB_S) as deadline:
                parts = incoming.parts(first, deadline)
                await obstore.put_async(self._store, key, parts, max_concurrency=names.BLOB_PARALLEL_PARTS)
                deadline.deadline = anyio.current_time() + names.BLOB_S
                await self._sync(key)
        except PortError:
            if incoming.error is not None:
                raise incoming.error from None
            raise
        return incoming.size_bytes, incoming.sha256

    async def get_bytes(self, key: str) -> bytes:
        """Return a whole blob."""
        check_key(key)
        with _errors(key), anyio.fail_after(names.BLOB_S):
            found = await obstore.get_async(self._store, key)
            return bytes(await found.bytes_async())

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, length: int | None = None
    ) -> AsyncGenerator["ObjectStream", None]:
        """Open a blob, or a range of it."""
        check_key(key)
        with _errors(key), anyio.fail_after(names.BLOB_S):
            size_bytes = (await obstore.head_async(self._store, key))["size"]
        end = size_bytes if length is None else min(start + length, size_bytes)
        yield ObjectStream(self._store, key, start=start, end=end, size_bytes=size_bytes)

    async def info(self, key: str) -> BlobInfo | None:
        """Return its size."""
        check_key(key)
        try:
            with _errors(key), anyio.fail_after(names.BLOB_S):
                found = await obstore.head_async(self._store, key)
        except BlobMissing:
            return None
        return BlobInfo(key=key, size_bytes=found["size"])

    async def list(self, prefix: str) -> tuple[BlobInfo, ...]:
        """Return every blob whose key starts with `prefix`."""
        # The store knows whole folders alone.
        folder = prefix.rpartition("/")[0]
        found: list[BlobInfo] = []
        with _errors(prefix), anyio.fail_after(names.BLOB_S):
            pages = obstore.list(  # pyright: ignore[reportUnknownMemberType]  # other overloads return an optional library's
                self._store, folder or None, chunk_size=1000
            )
            async for page in pages:
                found += [BlobInfo(key=item["path"], size_bytes=item["size"]) for item in page]
        return tuple(sorted((item for item in found if item.key.startswith(prefix)), key=lambda item: item.key))

    async def page(self, folder: str, *, after: str = "", limit: int) -> tuple[WrittenBlob, ...]:
        """Return the next blobs of a folder."""
        with _errors(folder), anyio.fail_after(names.BLOB_S):
            if self._folder is not None:
                return await to_thread.run_sync(blob_folder.page_of, self._folder, folder, after, limit)
            pages = obstore.list(  # pyright: ignore[reportUnknownMemberType]  # other overloads return an optional library's
                self._store, folder, offset=after or None, chunk_size=limit
            )
            async for page in pages:
                return tuple(WrittenBlob(item["path"], item["last_modified"]) for item in page[:limit])
        return ()

    async def delete(self, key: str) -> None:
        """Remove it."""
        check_key(key)
        try:
            with _errors(key), anyio.fail_after(names.BLOB_S):
                if self._folder is not None and blob_folder.is_unfinished(key):
                    await to_thread.run_sync((self._folder / key).unlink)
                else:
                    await obstore.delete_async(self._store, key)
        except BlobMissing:
            return

    async def presign(self, key: str, *, valid_s: int) -> str | None:
        """Return a URL that reads the blob; `None` where the store has no such URLs."""
        check_key(key)
        if not isinstance(self._store, S3Store | GCSStore | AzureStore):
            return None
        if isinstance(self._store, AzureStore) and quote(key) != key:
            return None  # the library signs the escaped name where Azure signs the plain one: such a link is refused
        with _errors(key), anyio.fail_after(names.BLOB_S):
            return await obstore.sign_async(self._store, "GET", key, timedelta(seconds=valid_s))

    async def _sync(self, key: str) -> None:
        if self._folder is not None:
            await to_thread.run_sync(blob_folder.sync, self._folder / key)


class _Incoming:
    """Chunks of any size on their way into a store: gathered into larger pieces, counted and hashed."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = aiter(chunks)
        self._hash = hashlib.sha256()
        self.size_bytes = 0
        self.is_over = False
        self.error: Exception | None = None
        """What the chunks raised; the store's library may wrap it."""

    @property
    def sha256(self) -> str:
        """Of everything so far."""
        return self._hash.hexdigest()

    async def next_piece(self) -> bytes:
        """Return at least `BLOB_PIECE_BYTES`, less only at the end."""
        parts: list[bytes] = []
        gathered = 0
        while gathered < BLOB_PIECE_BYTES and not self.is_over:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                self.is_over = True
                break
            except Exception as error:
                self.error = error
                raise
            gathered += len(chunk)
            parts.append(chunk)
        piece = parts[0] if len(parts) == 1 else b"".join(parts)
        self.size_bytes += gathered
        self._hash.update(piece)
        return piece

    async def parts(self, first: bytes, deadline: anyio.CancelScope) -> AsyncGenerator[bytes, None]:
        """Yield every piece; `deadline` is held open while one is awaited, for that time is not the store's."""
        piece = first
        while piece:
            deadline.deadline = anyio.current_time() + names.BLOB_S
            yield piece
            deadline.deadline = math.inf
            piece = await self.next_piece()
        deadline.deadline = anyio.current_time() + names.BLOB_S


class ObjectStream:
    """A `BlobStream`."""

    def __init__(self, store: ObjectStore, key: str, *, start: int, end: int, size_bytes: int) -> None:
        self._store = store
        self._key = key
        self._start = start
        self._end = end
        self._size_bytes = size_bytes

    @property
    def size_bytes(self) -> int:
        """How many bytes the whole blob has."""
        return self._size_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield its content in pieces."""
        for start in range(self._start, self._end, BLOB_PIECE_BYTES):
            end = min(start + BLOB_PIECE_BYTES, self._end)
            with _errors(self._key), anyio.fail_after(names.BLOB_S):
                piece = bytes(await obstore.get_range_async(self._store, self._key, start=start, end=end))
            yield piece


@contextmanager
def _errors(key: str) -> Generator[None, None, None]:
    """Turn the library's errors into the port's."""
    try:
        yield
    except FileNotFoundError as error:
        raise BlobMissing(f"there is no blob {key}") from error
    except TimeoutError as error:
        raise BlobsUnavailable(f"blob {key}: no answer in time") from error
    except (BaseError, OSError) as error:
        raise BlobsUnavailable(f"blob {key}: {str(error).partition(_DETAILS)[0]}") from error
