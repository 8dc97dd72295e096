"""Files on the gateway's own disk, for as long as a source is being taken apart: bounded, and gone afterwards."""

import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, cast

import anyio

from penstock_runtime.runtime import SYSTEM
from penstock_sources.egress.file_writing import write_chunk
from penstock_sources.failures import UnusableSource


class Spool:
    """A folder for what is being fetched and unpacked.

    Args:
        folder: made when it is needed; on a disk that has room for `max_bytes` of each fetch at a time.

    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()  # git works in a separate folder
        self._prefix = f"{SYSTEM.new_id()}-"
        """What the names of this spool's folders begin with."""

    @asynccontextmanager
    async def file(self) -> AsyncGenerator[BinaryIO]:
        """Yield an empty file without a name; nothing of it is left, even of a process that is killed."""
        file = await anyio.to_thread.run_sync(self._open)
        try:
            yield file
        finally:
            file.close()

    @asynccontextmanager
    async def folder(self) -> AsyncGenerator[Path]:
        """Yield an empty folder, which is removed in the end."""
        path = Path(await anyio.to_thread.run_sync(self._make))
        try:
            yield path
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(path, ignore_errors=True))

    def clear(self) -> None:
        """Remove what a gateway that was killed left behind. What this spool holds stays, so it may be in use."""
        if not self._folder.is_dir():
            return
        for left in self._folder.iterdir():
            if not left.name.startswith(self._prefix):
                shutil.rmtree(left, ignore_errors=True)

    def _open(self) -> BinaryIO:
        self._folder.mkdir(parents=True, exist_ok=True)
        return cast("BinaryIO", tempfile.TemporaryFile(dir=self._folder))

    def _make(self) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(prefix=self._prefix, dir=self._folder)


async def fill(file: BinaryIO, chunks: AsyncIterable[bytes], max_bytes: int) -> None:
    """Write what comes into a file.

    Raises:
        UnusableSource: it is more than `max_bytes`.
        Unavailable: the disk does not take it.

    """
    size_bytes = 0
    async for chunk in chunks:
        size_bytes += len(chunk)
        if size_bytes > max_bytes:
            raise UnusableSource(f"the archive has more than {max_bytes:,} bytes")
        await anyio.to_thread.run_sync(write_chunk, file, chunk)


async def pieces_of(chunks: Iterator[bytes]) -> AsyncGenerator[bytes]:
    """Yield pieces that are made in a thread."""
    while (chunk := await anyio.to_thread.run_sync(next, chunks, None)) is not None:
        yield chunk
