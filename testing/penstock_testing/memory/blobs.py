"""Blobs in a dictionary."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import anyio

from penstock_ports import BLOB_PIECE_BYTES, BlobInfo, BlobMissing, WrittenBlob
from penstock_ports.adapter_checks import check_key
from penstock_runtime.runtime import SYSTEM


class MemoryBlobs:
    """A `Blobs`; `now` is the store's clock."""

    def __init__(self, now: Callable[[], datetime] = lambda: SYSTEM.now()) -> None:
        self._now = now
        self._blobs: dict[str, bytes] = {}
        self._written_at: dict[str, datetime] = {}

    async def put_bytes(self, key: str, content: bytes) -> None:
        """Store `content`."""
        check_key(key)
        self._put(key, content)

    async def put_file(self, key: str, path: Path) -> tuple[int, str]:
        """Store a file; return its bytes and SHA-256."""
        check_key(key)
        content = await anyio.Path(path).read_bytes()
        self._put(key, content)
        return len(content), hashlib.sha256(content).hexdigest()

    async def put_stream(self, key: str, chunks: AsyncIterable[bytes]) -> tuple[int, str]:
        """Store what `chunks` yields; return its bytes and SHA-256."""
        check_key(key)
        content = b"".join([chunk async for chunk in chunks])
        self._put(key, content)
        return len(content), hashlib.sha256(content).hexdigest()

    async def get_bytes(self, key: str) -> bytes:
        """Return a whole blob."""
        check_key(key)
        try:
            return self._blobs[key]
        except KeyError:
            raise BlobMissing(f"there is no blob {key}") from None

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, length: int | None = None
    ) -> AsyncGenerator["MemoryBlobStream", None]:
        """Open a blob, or a range of it."""
        content = await self.get_bytes(key)
        end = len(content) if length is None else min(start + length, len(content))
        yield MemoryBlobStream(content[start:end], size_bytes=len(content))

    async def info(self, key: str) -> BlobInfo | None:
        """Return its size."""
        check_key(key)
        content = self._blobs.get(key)
        return None if content is None else BlobInfo(key=key, size_bytes=len(content))

    async def list(self, prefix: str) -> tuple[BlobInfo, ...]:
        """Return every blob whose key starts with `prefix`."""
        return tuple(
            BlobInfo(key=key, size_bytes=len(content))
            for key, content in sorted(self._blobs.items())
            if key.startswith(prefix)
        )

    async def page(self, folder: str, *, after: str = "", limit: int) -> tuple[WrittenBlob, ...]:
        """Return the next blobs of a folder."""
        found = (key for key in sorted(self._blobs) if key.startswith(f"{folder}/") and key > after)
        return tuple(WrittenBlob(key, self._written_at[key]) for key, _ in zip(found, range(limit), strict=False))

    async def delete(self, key: str) -> None:
        """Remove it."""
        check_key(key)
        self._blobs.pop(key, None)

    async def presign(self, key: str, *, valid_s: int) -> str | None:
        """Return nothing: there are no URLs here."""
        check_key(key)
        return None

    def _put(self, key: str, content: bytes) -> None:
        self._blobs[key] = content
        self._written_at[key] = self._now()


class MemoryBlobStream:
    """A `BlobStream`."""

    def __init__(self, content: bytes, *, size_bytes: int) -> None:
        self._content = content
        self._size_bytes = size_bytes

    @property
    def size_bytes(self) -> int:
        """How many bytes the whole blob has."""
        return self._size_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield its content in pieces."""
        for start in range(0, len(self._content), BLOB_PIECE_BYTES):
            yield self._content[start : start + BLOB_PIECE_BYTES]
