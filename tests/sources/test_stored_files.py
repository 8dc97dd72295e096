"""Files that are kept one by one: fetched together, checked against their hashes, placed completely or not at all."""

import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.engine_folders import SNAKEMAKE_FOLDERS

from penstock_ports import Unavailable
from penstock_schemas.jobs import Failure, FailureCause, Source, SourceFile, SourceKind, SourceManifest
from penstock_sources.workspace import stored_files
from penstock_sources.workspace.layout import SourceRefused
from penstock_sources.workspace.sources import Sources
from penstock_sources.workspace.stored_files import PARALLEL_FETCHES
from penstock_testing.memory import MemoryBlobs
from penstock_testing.memory.blobs import MemoryBlobStream

CONTENT = {"Snakefile": b"rule a:\n", "data/\xe9.bin": bytes(3 << 20), "bin/run": b"\x7fELF", "empty": b""}


async def stored(blobs: MemoryBlobs, content: dict[str, bytes] = CONTENT) -> SourceManifest:
    files: list[SourceFile] = []
    for path, item in content.items():
        key = f"jobs/1/source/{len(files)}"
        await blobs.put_bytes(key, item)
        files.append(
            SourceFile(
                path=path,
                key=key,
                size_bytes=len(item),
                sha256=hashlib.sha256(item).hexdigest(),
                is_executable=path.startswith("bin/"),
            )
        )
    return SourceManifest(files=tuple(files))


async def source_of(blobs: MemoryBlobs, manifest: SourceManifest) -> Source:
    raw = msgspec.json.encode(manifest)
    await blobs.put_bytes("jobs/1/source.json", raw)
    return Source(kind=SourceKind.FILES, location="jobs/1/source.json", sha256=hashlib.sha256(raw).hexdigest())


def files_in(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def refused(blobs: MemoryBlobs, source: Source, folder: Path) -> Failure:
    with pytest.raises(SourceRefused) as caught:
        await Sources(blobs, (), reserved=SNAKEMAKE_FOLDERS).prepare(source, folder / "work")
    assert not names_in(folder), "nothing half-made stays"
    return caught.value.failure


async def test_files_are_staged_unchanged(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    await Sources(blobs, (), reserved=SNAKEMAKE_FOLDERS).prepare(
        await source_of(blobs, await stored(blobs)), tmp_path / "work"
    )
    placed = files_in(tmp_path / "work")
    assert {path: item.read_bytes() for path, item in placed.items()} == CONTENT
    assert {path for path, item in placed.items() if os.access(item, os.X_OK)} == {"bin/run"}


@pytest.mark.parametrize("content", [b"rule b:\n", b"rule a:\n\n", b""])
async def test_a_file_that_was_changed_is_the_systems_failure(content: bytes, tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    source = await source_of(blobs, await stored(blobs))
    await blobs.put_bytes("jobs/1/source/0", content)
    failure = await refused(blobs, source, tmp_path)
    assert failure.cause is FailureCause.SYSTEM
    assert "not the ones that were submitted: jobs/1/source/0 has" in failure.message


@pytest.mark.parametrize("key", ["jobs/1/source/0", "jobs/1/source.json"])
async def test_a_file_that_is_missing_is_the_systems_failure(key: str, tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    source = await source_of(blobs, await stored(blobs))
    await blobs.delete(key)
    failure = await refused(blobs, source, tmp_path)
    assert failure.cause is FailureCause.SYSTEM
    assert f"missing from the blob store: {key}" in failure.message


async def test_a_manifest_that_was_changed_is_the_systems_failure(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    manifest = await stored(blobs)
    source = await source_of(blobs, manifest)
    await source_of(blobs, SourceManifest(files=manifest.files[:1]))
    failure = await refused(blobs, source, tmp_path)
    assert failure.cause is FailureCause.SYSTEM
    assert "another SHA-256" in failure.message


@pytest.mark.parametrize("paths", [("../out",), ("/etc/passwd",), ("a", "a/b"), ("",)])
async def test_a_path_that_is_not_safe_is_refused(paths: tuple[str, ...], tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    first = (await stored(blobs)).files[0]
    manifest = SourceManifest(files=tuple(replace(first, path=path) for path in paths))
    failure = await refused(blobs, await source_of(blobs, manifest), tmp_path)
    assert failure.cause is FailureCause.WORKFLOW


class CountingBlobs(MemoryBlobs):
    """Counts open reads, and fails at first when configured so."""

    def __init__(self) -> None:
        super().__init__()
        self.now_open = self.most_open = 0
        self.failures = 0

    @asynccontextmanager
    async def open(
        self, key: str, *, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[MemoryBlobStream, None]:
        if self.failures:
            self.failures -= 1
            raise Unavailable(f"blob {key}: no answer in time")
        self.now_open += 1
        self.most_open = max(self.most_open, self.now_open)
        try:
            async with super().open(key, start=start, length=length) as stream:
                yield stream
        finally:
            self.now_open -= 1


async def test_no_more_than_a_few_files_are_fetched_at_a_time(tmp_path: Path) -> None:
    blobs = CountingBlobs()
    source = await source_of(blobs, await stored(blobs, {f"{number}": b"x" for number in range(40)}))
    await Sources(blobs, (), reserved=SNAKEMAKE_FOLDERS).prepare(source, tmp_path / "work")
    assert 1 < blobs.most_open <= PARALLEL_FETCHES


async def test_a_failed_read_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_files, "FETCH_PAUSES_S", (0.0, 0.0))
    blobs = CountingBlobs()
    source = await source_of(blobs, await stored(blobs, {"a": b"x"}))
    blobs.failures = 2
    await Sources(blobs, (), reserved=SNAKEMAKE_FOLDERS).prepare(source, tmp_path / "work")
    blobs.failures = 3
    with pytest.raises(Unavailable):
        await Sources(blobs, (), reserved=SNAKEMAKE_FOLDERS).prepare(source, tmp_path / "again")
    assert names_in(tmp_path) == ["work"]


async def manifest_of(blobs: MemoryBlobs, *entries: SourceFile) -> Source:
    manifest = await stored(blobs, {"Snakefile": b""})
    return await source_of(blobs, SourceManifest(files=(*manifest.files, *entries)))


@pytest.mark.parametrize(
    "entries",
    [
        [SourceFile(path="x", link="/etc/passwd")],
        [SourceFile(path="x", link="../../outside")],
        [SourceFile(path="a", link="b"), SourceFile(path="b", link="..")],
        [SourceFile(path="d", is_folder=True), SourceFile(path="d/x", link="../../y")],
        [SourceFile(path="a", link="Snakefile"), SourceFile(path="a/b", link="c")],
        [SourceFile(path="a", link="d"), SourceFile(path="a/b", is_folder=True)],
        [SourceFile(path="a", link="d"), SourceFile(path="a", is_folder=True)],
        [SourceFile(path="Snakefile", link="d")],
        [SourceFile(path="x", path_base64="Li4vLi4v", link="d")],
        [SourceFile(path="x", path_base64="L2V0Yw==", is_folder=True)],
        [SourceFile(path="x", link_base64="Li4=")],
        [SourceFile(path="x", link="")],
        [SourceFile(path="x", link="a\0b")],
        [SourceFile(path="../x", is_folder=True)],
        [SourceFile(path=".snakemake/metadata/x", link="y")],
        [SourceFile(path=".snakemake/scripts", is_folder=True)],
    ],
)
async def test_a_link_or_folder_that_leads_outside_is_refused(tmp_path: Path, entries: list[SourceFile]) -> None:
    blobs = MemoryBlobs()
    (tmp_path / "placed").mkdir()
    failure = await refused(blobs, await manifest_of(blobs, *entries), tmp_path / "placed")
    assert failure.cause is FailureCause.WORKFLOW
    assert names_in(tmp_path) == ["placed"]


async def test_what_has_no_time_gets_the_time_of_the_submission(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    entries = (SourceFile(path="d", is_folder=True), SourceFile(path="d/l", link="x"))
    source = await manifest_of(blobs, *entries)
    await Sources(blobs, (), reserved=SNAKEMAKE_FOLDERS).prepare(
        source, tmp_path / "work", submitted_at=datetime(2020, 1, 1, tzinfo=UTC)
    )
    times = {path.lstat().st_mtime_ns for path in (tmp_path / "work").rglob("*")}
    assert times == {1_577_836_800_000_000_000}
