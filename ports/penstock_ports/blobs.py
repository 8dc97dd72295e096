"""Files too large for the log."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

BLOB_PIECE_BYTES: Final = 1 << 20
"""A blob is streamed in pieces of at most this size."""


class BlobInfo(Struct, frozen=True):
    """What is known of a blob without reading it."""

    key: str
    size_bytes: int


class WrittenBlob(Struct, frozen=True):
    """A blob, or what a write that did not finish left in its place."""

    key: str
    written_at: datetime
    """By the store's clock."""
    is_finished: bool = True


class Blobs(Protocol):
    """Files too large for the log: sources, logs, outputs.

    Keys are relative paths with `/`, without `.`, `..` and empty parts; any other is a `ValueError`.
    """

    async def put_bytes(self, key: str, content: bytes) -> None:
        """Store `content`; an existing blob is replaced."""
        ...

    async def put_file(self, key: str, path: Path) -> tuple[int, str]:
        """Store a file, streamed; return its bytes and SHA-256."""
        ...

    async def put_stream(self, key: str, chunks: AsyncIterable[bytes]) -> tuple[int, str]:
        """Store what `chunks` yields, as it comes; return its bytes and SHA-256.

        No more than a few MiB are held at a time. The blob appears when everything has come. An error that
        `chunks` raises is passed on; then nothing is stored and an earlier blob stays as it was. The caller
        bounds the time that `chunks` may take.
        """
        ...

    async def get_bytes(self, key: str) -> bytes:
        """Return a whole blob.

        Raises:
            BlobMissing: there is none.

        """
        ...

    def open(self, key: str, *, start: int = 0, length: int | None = None) -> AbstractAsyncContextManager["BlobStream"]:
        """Open a blob, or a range of it, for streaming.

        Raises:
            BlobMissing: there is none.

        """
        ...

    async def info(self, key: str) -> BlobInfo | None:
        """Return its size; `None` when there is none."""
        ...

    async def list(self, prefix: str) -> tuple[BlobInfo, ...]:
        """Return every blob whose key starts with `prefix`, in order."""
        ...

    async def page(self, folder: str, *, after: str = "", limit: int) -> tuple[WrittenBlob, ...]:
        """Return up to `limit` blobs whose keys start with `folder/`, in order, the first ones behind `after`.

        What unfinished writes left is among them where the store shows it; it can be deleted, and not be read.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove it; nothing happens when there is none."""
        ...

    async def presign(self, key: str, *, valid_s: int) -> str | None:
        """Return a URL that reads the blob without further credentials; `None` where the store has none for it."""
        ...


class BlobStream(Protocol):
    """A blob that is being read."""

    @property
    def size_bytes(self) -> int:
        """How many bytes the whole blob has."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield its content in pieces of up to 1 MiB."""
        ...
