"""What a retry begins with is stored whole, each file once, or not at all."""

import hashlib
import os
from collections.abc import AsyncIterable
from pathlib import Path

import pytest
from msgspec import json

from penstock_domain.engines.reserved_folders import NOTHING_RESERVED
from penstock_execution.files.produced import Produced
from penstock_execution.files.work_entries import work_entries
from penstock_execution.local_workspace import LocalWorkspace
from penstock_ports import Unavailable
from penstock_runner.attempts.upload_retries import UploadFailed, UploadRetries
from penstock_runner.attempts.uploads import Uploads
from penstock_runner.attempts.work_uploads import UnreadableWork, WorkUploads
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import ResultsManifest, StoredResults
from penstock_schemas.outputs import OutputFile
from penstock_testing.memory import MemoryBlobs

JOB = JobId("j")


class FullBlobs(MemoryBlobs):
    async def put_stream(self, key: str, chunks: AsyncIterable[bytes]) -> tuple[int, str]:
        raise Unavailable("it is full")


async def stored_of(
    folder: Path, blobs: MemoryBlobs, outputs: dict[str, OutputFile] | None = None
) -> StoredResults | None:
    """Store a folder."""
    entries = work_entries(folder, source={}, reserved=NOTHING_RESERVED)
    produced = Produced(work=entries, work_dir=str(folder))
    workspace = LocalWorkspace(folder, folder)
    retries = UploadRetries(0.0)
    return await WorkUploads(Uploads(blobs)).put(JOB, 2, workspace, produced, outputs or {}, retries)


async def test_everything_is_in_the_manifest_and_an_output_is_not_stored_twice(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    (tmp_path / "out").write_text("out")
    (tmp_path / "side").write_text("side")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("out")
    (tmp_path / os.fsdecode(b"\xff")).write_text("odd")
    known = OutputFile(path="out", size_bytes=3, sha256="known", key="jobs/j/outputs/out")
    results = await stored_of(tmp_path, blobs, {"out": known})
    assert results is not None
    raw = await blobs.get_bytes(results.location)
    assert results.sha256 == hashlib.sha256(raw).hexdigest()
    assert (results.location, results.files, results.size_bytes) == ("jobs/j/2/work.json", 3, 10)
    manifest = json.decode(raw, type=ResultsManifest)
    assert manifest.work_dir == str(tmp_path)
    found = {file.path: file for file in manifest.files}
    assert found["out"].key == "jobs/j/outputs/out"
    assert found["out"].sha256 == "known"
    assert found["empty"].is_folder
    assert found["link"].link == "out"
    assert found["\\xff"].path_base64 == "/w=="
    stored = {blob.key for blob in await blobs.list("jobs/")}
    assert stored == {"jobs/j/2/work.json", "jobs/j/2/work/side", found["\\xff"].key}


async def test_nothing_is_offered_where_there_is_nothing(tmp_path: Path) -> None:
    assert await stored_of(tmp_path, MemoryBlobs()) is None


async def test_a_file_that_cannot_be_read_leaves_no_results(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    (tmp_path / "side").write_text("side")
    entries = work_entries(tmp_path, source={}, reserved=NOTHING_RESERVED)
    (tmp_path / "side").unlink()
    os.mkfifo(tmp_path / "side")
    workspace, retries = LocalWorkspace(tmp_path, tmp_path), UploadRetries(0.0)
    produced = Produced(work=entries, work_dir="w")
    with pytest.raises(UnreadableWork, match="side cannot be stored: it is a FIFO"):
        await WorkUploads(Uploads(blobs)).put(JOB, 1, workspace, produced, {}, retries)
    assert await blobs.list("jobs/") == ()


async def test_a_store_that_takes_nothing_is_reported(tmp_path: Path) -> None:
    (tmp_path / "side").write_text("side")
    with pytest.raises(UploadFailed):
        await stored_of(tmp_path, FullBlobs())
