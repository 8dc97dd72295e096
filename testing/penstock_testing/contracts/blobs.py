"""The contract of blob stores. A test module subclasses it and provides the fixture `blobs`, an empty store."""

import hashlib
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from penstock_domain import blob_keys
from penstock_ports import BLOB_PIECE_BYTES, BlobInfo, BlobMissing, Blobs
from penstock_runtime.runtime import SYSTEM

CLOCK_SKEW: Final = timedelta(seconds=5)
"""How far the clock of a store may be from ours."""


class ClientGone(Exception):
    """A client that sends a stream went away."""


class BlobsContract:
    """What every `Blobs` does."""

    async def test_a_blob_is_read_back_whole_and_in_part(self, blobs: Blobs, tmp_path: Path) -> None:
        """A blob is read back whole and in part."""
        content = bytes(range(256)) * 10_000
        path = tmp_path / "file"
        path.write_bytes(content)
        assert await blobs.put_file("jobs/1/out.bin", path) == (len(content), hashlib.sha256(content).hexdigest())
        assert await blobs.get_bytes("jobs/1/out.bin") == content
        info = await blobs.info("jobs/1/out.bin")
        assert info is not None
        assert info.size_bytes == len(content)
        for start, length in (
            (0, None),
            (5, 10),
            (1_500_000, None),
            (len(content) - 3, 100),
            (len(content), None),
            (9**9, 1),
        ):
            async with blobs.open("jobs/1/out.bin", start=start, length=length) as stream:
                assert stream.size_bytes == len(content)
                chunks = [piece async for piece in stream]
            assert b"".join(chunks) == content[start : None if length is None else start + length]
            assert all(len(piece) <= BLOB_PIECE_BYTES for piece in chunks)

    @pytest.mark.parametrize("sizes", [[], [3], [0, BLOB_PIECE_BYTES, 0], [70_000] * 100])
    async def test_a_stream_is_stored_as_it_comes(self, sizes: list[int], blobs: Blobs) -> None:
        """A stream is stored as it comes."""
        content = b"".join(bytes([number % 256]) * size for number, size in enumerate(sizes))

        async def chunks() -> AsyncGenerator[bytes, None]:
            for number, size in enumerate(sizes):
                yield bytes([number % 256]) * size

        stored = await blobs.put_stream("jobs/1/source/in.bin", chunks())
        assert stored == (len(content), hashlib.sha256(content).hexdigest())
        assert await blobs.get_bytes("jobs/1/source/in.bin") == content

    @pytest.mark.parametrize("come", [1, 12])
    async def test_of_a_stream_that_fails_nothing_is_stored(self, come: int, blobs: Blobs) -> None:
        """Of a stream that fails nothing is stored."""

        async def chunks() -> AsyncGenerator[bytes, None]:
            for _ in range(come):
                yield bytes(BLOB_PIECE_BYTES)
            raise ClientGone

        await blobs.put_bytes("jobs/1/old", b"old")
        for key in ("jobs/1/old", "jobs/1/new"):
            with pytest.raises(ClientGone):
                await blobs.put_stream(key, chunks())
        assert await blobs.list("jobs/") == (BlobInfo(key="jobs/1/old", size_bytes=3),)
        assert await blobs.get_bytes("jobs/1/old") == b"old"

    async def test_keys_made_of_paths_are_taken_by_every_store(self, blobs: Blobs) -> None:
        """Keys made of paths are taken by every store."""
        keys = [blob_keys.below("p", path) for path in ("a#1", "50%", "x" * 255, "y" * 200 + "/z", "a*?", "d/e f")]
        for key in keys:
            await blobs.put_bytes(key, b"x" * (2 * BLOB_PIECE_BYTES))
        assert {item.key for item in await blobs.list("p/")} == set(keys)

    async def test_a_blob_that_is_not_there_is_missing(self, blobs: Blobs) -> None:
        """A blob that is not there is missing."""
        with pytest.raises(BlobMissing):
            await blobs.get_bytes("nothing")
        with pytest.raises(BlobMissing):
            async with blobs.open("nothing"):
                pass
        assert await blobs.info("nothing") is None
        await blobs.delete("nothing")

    async def test_blobs_are_listed_by_the_beginning_of_their_keys(self, blobs: Blobs, tmp_path: Path) -> None:
        """Blobs are listed by the beginning of their keys."""
        (tmp_path / "empty").touch()
        await blobs.put_file("jobs/1/a b%20#ü.txt", tmp_path / "empty")
        for key in ("jobs/1/z", "jobs/1/sub/x", "jobs/11/y", "sources/1.json"):
            await blobs.put_bytes(key, key.encode())
        assert [item.key for item in await blobs.list("jobs/1/")] == ["jobs/1/a b%20#ü.txt", "jobs/1/sub/x", "jobs/1/z"]
        assert [item.key for item in await blobs.list("jobs/1")] == [
            "jobs/1/a b%20#ü.txt",
            "jobs/1/sub/x",
            "jobs/1/z",
            "jobs/11/y",
        ]
        assert await blobs.list("nothing/") == ()
        assert await blobs.get_bytes("jobs/1/a b%20#ü.txt") == b""
        await blobs.delete("jobs/1/z")
        await blobs.put_bytes("jobs/1/sub/x", b"new")
        assert await blobs.get_bytes("jobs/1/sub/x") == b"new"
        assert len(await blobs.list("jobs/1/")) == 2

    async def test_the_blobs_of_a_folder_come_in_order_and_in_pages(self, blobs: Blobs) -> None:
        """The blobs of a folder come in order and in pages."""
        begun = SYSTEM.now() - CLOCK_SKEW
        keys = ["jobs/1.json", "jobs/1/a", "jobs/1/sub.json", "jobs/1/sub/x", "jobs/1/sub/y", "jobs/1/subs", "jobs/2/ü"]
        for key in (*keys, "jobs.json", "jobsx/1"):
            await blobs.put_bytes(key, b"x")
        for size in (1, 3, len(keys), 100):
            found: list[str] = []
            while page := await blobs.page("jobs", after=found[-1] if found else "", limit=size):
                assert len(page) <= size
                assert all(begun < item.written_at < SYSTEM.now() + CLOCK_SKEW for item in page)
                found += [item.key for item in page]
            assert found == keys
        assert await blobs.page("nothing", limit=10) == ()

    @pytest.mark.parametrize("key", ["", "/a", "../a", "a/../b", "a//b", "a/"])
    async def test_a_key_stays_within_the_folder(self, key: str, blobs: Blobs) -> None:
        """A key stays within the folder."""
        with pytest.raises(ValueError, match="key"):
            await blobs.put_bytes(key, b"")
        with pytest.raises(ValueError, match="key"):
            await blobs.get_bytes(key)
