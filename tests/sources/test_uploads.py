"""Files on their way into the blob store."""

import hashlib
from collections.abc import AsyncGenerator

import anyio
import msgspec
import pytest

from penstock_ports import Unavailable
from penstock_schemas.jobs import SourceFile, SourceKind, SourceManifest
from penstock_sources.failures import InvalidSource
from penstock_sources.staging.uploads import Uploads
from penstock_testing.memory import MemoryBlobs

PREFIX = "jobs/1/source"


async def chunks(*contents: bytes) -> AsyncGenerator[bytes, None]:
    for content in contents:
        yield content


async def test_files_are_kept_one_by_one_with_a_manifest() -> None:
    blobs = MemoryBlobs()
    async with Uploads(blobs).begin(PREFIX) as upload:
        await upload.put("scripts/run.sh", chunks(b"#", b"!/bin/sh\n"))
        await upload.put("Snakefile", chunks(b"rule all: ", b"input: []"))
        source = await upload.seal(main=None, origin="an upload")
        upload.is_kept = True

    manifest = await blobs.get_bytes(source.location)
    assert (source.kind, source.location) == (SourceKind.FILES, "jobs/1/source.json")
    assert (source.size_bytes, source.sha256) == (29, hashlib.sha256(manifest).hexdigest())
    assert msgspec.json.decode(manifest, type=SourceManifest).files == (
        SourceFile(
            path="Snakefile",
            key="jobs/1/source/Snakefile",
            size_bytes=19,
            sha256=hashlib.sha256(b"rule all: input: []").hexdigest(),
        ),
        SourceFile(
            path="scripts/run.sh",
            key="jobs/1/source/scripts/run.sh",
            size_bytes=10,
            sha256=hashlib.sha256(b"#!/bin/sh\n").hexdigest(),
            is_executable=True,
        ),
    )


async def upload_all(blobs: MemoryBlobs, *files: tuple[str, AsyncGenerator[bytes, None]]) -> None:
    """Upload files, and do not keep them."""
    async with Uploads(blobs).begin(PREFIX) as upload:
        for path, content in files:
            await upload.put(path, content)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", ".snakemake/x", "a\0b"])
async def test_a_path_that_is_not_safe_is_refused(path: str) -> None:
    blobs = MemoryBlobs()
    with pytest.raises(InvalidSource, match=r"path|folder"):
        await upload_all(blobs, (path, chunks(b"x")))
    assert await blobs.list("") == ()


@pytest.mark.parametrize(("first", "second"), [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a/b/c", "a"), ("a", "a/b/c")])
async def test_a_path_that_is_not_clear_is_refused_and_nothing_is_left(first: str, second: str) -> None:
    blobs = MemoryBlobs()
    with pytest.raises(InvalidSource, match=r"which one counts|a folder there"):
        await upload_all(blobs, (first, chunks(b"1")), (second, chunks(b"2")))
    assert await blobs.list("") == ()


async def test_names_that_differ_in_case_alone_are_two_files() -> None:
    async with Uploads(MemoryBlobs()).begin(PREFIX) as upload:
        await upload.put("a", chunks(b"1"))
        await upload.put("A", chunks(b"2"))
        assert upload.paths == ("a", "A")


async def test_the_fingerprint_is_of_the_files_and_not_of_their_place_or_order() -> None:
    blobs = MemoryBlobs()
    async with Uploads(blobs).begin("one") as one, Uploads(blobs).begin("two") as two:
        for path in ("a", "b"):
            await one.put(path, chunks(path.encode()))
        for path in ("b", "a"):
            await two.put(path, chunks(path.encode()))
        assert one.fingerprint == two.fingerprint
        await two.put("c", chunks())
        assert one.fingerprint != two.fingerprint


async def test_a_client_that_goes_away_leaves_nothing() -> None:
    class ClientGone(Exception):
        pass

    async def breaking() -> AsyncGenerator[bytes, None]:
        yield b"x"
        raise ClientGone

    blobs = MemoryBlobs()
    with pytest.raises(ClientGone):
        await upload_all(blobs, ("a", chunks(b"1")), ("b", breaking()))
    assert await blobs.list("") == ()


async def test_a_cancelled_upload_leaves_nothing() -> None:
    blobs = MemoryBlobs()
    with anyio.CancelScope() as scope:
        async with Uploads(blobs).begin(PREFIX) as upload:
            await upload.put("a", chunks(b"1"))
            scope.cancel()
            await anyio.sleep_forever()
    assert await blobs.list("") == ()


async def test_a_store_that_fails_while_removing_does_not_hide_why() -> None:
    class Failing(MemoryBlobs):
        async def delete(self, key: str) -> None:
            raise Unavailable(f"blob {key}: no answer in time")

    with pytest.raises(InvalidSource):
        await upload_all(Failing(), ("a", chunks(b"1")), ("a", chunks(b"2")))
