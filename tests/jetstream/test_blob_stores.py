"""What only some blob stores do: sign, run full, be far away, go away."""

import errno
import os
import urllib.request
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from tests.disks import full_after
from tests.s3 import BUCKET, S3Server, running_s3

from penstock_jetstream.adapters.blobs import ObjectBlobs, open_blobs
from penstock_ports import BLOB_PIECE_BYTES, BlobsUnavailable

pytestmark = pytest.mark.system


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[S3Server]:
    with running_s3(tmp_path) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        yield server


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        content: bytes = response.read()
        return content


async def test_s3_signs_links_and_a_folder_does_not(s3: S3Server, tmp_path: Path) -> None:
    blobs = open_blobs(f"s3://{BUCKET}/some/prefix")
    await blobs.put_bytes("jobs/1/outputs/a b.txt", b"content")
    url = await blobs.presign("jobs/1/outputs/a b.txt", valid_s=60)
    assert url is not None
    assert "X-Amz-Expires=60" in url
    assert read(url) == b"content"
    assert await open_blobs(tmp_path / "folder").presign("a", valid_s=60) is None


async def test_a_store_that_dies_within_an_upload_is_reported(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_jetstream.names.BLOB_S", 3.0)
    blobs = open_blobs(f"s3://{BUCKET}")

    async def chunks() -> AsyncGenerator[bytes, None]:
        for number in range(20):
            if number == 8:
                s3.kill()
            yield bytes(BLOB_PIECE_BYTES)

    with pytest.raises(BlobsUnavailable, match=r"^blob jobs/1/x: [^\n]+$"):
        await blobs.put_stream("jobs/1/x", chunks())


async def test_a_full_folder_is_reported_and_keeps_its_blobs(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path / "blobs")
    await blobs.put_bytes("jobs/1/old", b"old")

    async def chunks() -> AsyncGenerator[bytes, None]:
        for _ in range(20):
            yield bytes(BLOB_PIECE_BYTES)

    with full_after(3 * BLOB_PIECE_BYTES), pytest.raises(BlobsUnavailable) as caught:
        await blobs.put_stream("jobs/1/old", chunks())
    assert os.strerror(errno.EFBIG) in str(caught.value)
    assert await blobs.get_bytes("jobs/1/old") == b"old"
    assert [item.key for item in await blobs.list("")] == ["jobs/1/old"]


async def test_a_folder_shows_and_removes_what_a_killed_process_was_writing(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path)
    await blobs.put_bytes("jobs/1/a", b"x")
    (tmp_path / "jobs/1/a#1").write_bytes(b"half")
    assert [item.key for item in await blobs.list("jobs/")] == ["jobs/1/a"]
    found = await blobs.page("jobs", limit=10)
    assert [(item.key, item.is_finished) for item in found] == [("jobs/1/a", True), ("jobs/1/a#1", False)]
    await blobs.delete("jobs/1/a#1")
    await blobs.delete("jobs/1/a#1")
    assert not (tmp_path / "jobs/1/a#1").exists()


async def test_a_folder_keeps_no_empty_folders(tmp_path: Path) -> None:
    blobs = open_blobs(tmp_path)
    for key in ("jobs/1/outputs/secret-project/a", "jobs/2/a"):
        await blobs.put_bytes(key, b"x")
    await blobs.delete("jobs/1/outputs/secret-project/a")
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == ["2"]


@pytest.mark.parametrize(
    "url", ["gs://bucket/prefix", "az://container/prefix", "abfss://c@account.dfs.core.windows.net/p"]
)
def test_other_stores_are_reached_by_url(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    assert isinstance(open_blobs(url), ObjectBlobs)
