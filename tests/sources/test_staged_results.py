"""Results of an earlier run are put over a source: whole and checked, or not at all."""

import hashlib
import os
from pathlib import Path

import pytest
from msgspec import json

from penstock_domain.engines.reserved_folders import ReservedFolder, ReservedFolders
from penstock_schemas.jobs import ResultsManifest, Source, SourceFile, SourceKind, StoredResults
from penstock_sources.workspace import results
from penstock_sources.workspace.layout import SourceRefused
from penstock_sources.workspace.sources import Sources
from penstock_testing.memory import MemoryBlobs

RESERVED = ReservedFolders((ReservedFolder(name=".engine", records=("records", "open")),))


class Bench:
    def __init__(self, folder: Path) -> None:
        self.blobs = MemoryBlobs()
        self.sources = Sources(self.blobs, (), reserved=RESERVED)
        self.work_dir = folder / "work"

    async def source(self, files: dict[str, str]) -> Source:
        raw = json.encode({"files": {path: {"text": text} for path, text in files.items()}})
        await self.blobs.put_bytes("bundle", raw)
        return Source(kind=SourceKind.BUNDLE, location="bundle", sha256=hashlib.sha256(raw).hexdigest())

    async def file(self, path: str, content: bytes = b"result", mtime_ns: int = 10**18) -> SourceFile:
        key = f"k/{hashlib.sha256(path.encode() + content).hexdigest()}"
        await self.blobs.put_bytes(key, content)
        sha256 = hashlib.sha256(content).hexdigest()
        return SourceFile(path=path, key=key, size_bytes=len(content), sha256=sha256, mtime_ns=mtime_ns)

    async def results(self, *files: SourceFile, work_dir: str = "/before") -> StoredResults:
        raw = json.encode(ResultsManifest(work_dir=work_dir, files=files))
        await self.blobs.put_bytes("manifest", raw)
        return StoredResults(location="manifest", sha256=hashlib.sha256(raw).hexdigest(), files=1, size_bytes=1)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_results_replace_files_of_the_source(bench: Bench) -> None:
    source = await bench.source({"kept": "source", "changed": "source", "was-file": "source", "was/folder": "source"})
    stored = await bench.results(
        await bench.file("changed"),
        await bench.file("was-file/new"),
        SourceFile(path="was-file", is_folder=True, mtime_ns=10**18),
        await bench.file("was"),
        SourceFile(path="empty", is_folder=True, mtime_ns=5),
        SourceFile(path="link", link="changed", mtime_ns=7),
        SourceFile(path="inner", link="/before/changed", mtime_ns=7),
        await bench.file(".engine/records/@a/b"),
    )
    staged = await bench.sources.prepare(source, bench.work_dir, results=stored)
    work = bench.work_dir
    assert (work / "kept").read_text() == "source"
    assert [(work / name).read_text() for name in ("changed", "was-file/new", "was", "link", "inner")] == ["result"] * 5
    assert (work / ".engine/records/@a/b").read_text() == "result"
    assert (work / ".engine/open").is_dir(), "an engine looks for all of its records"
    assert os.lstat(work / "empty").st_mtime_ns == 5
    assert os.lstat(work / "link").st_mtime_ns == 7
    assert os.lstat(work / "changed").st_mtime_ns == 10**18
    assert (work / "inner").readlink() == work / "changed"
    assert staged.moved_from == "/before"
    assert staged.result_paths == {"changed", "was-file/new", "was", "link", "inner", ".engine/records/@a/b"}


async def test_without_one_file_no_result_is_staged(bench: Bench) -> None:
    source = await bench.source({"a": "source"})
    good, lost = await bench.file("a"), await bench.file("b")
    stored = await bench.results(good, lost)
    await bench.blobs.delete(lost.key)
    staged = await bench.sources.prepare(source, bench.work_dir, results=stored)
    assert lost.key in (staged.lost_results or "")
    assert staged.moved_from is None
    assert [path.name for path in bench.work_dir.iterdir()] == ["a"]
    assert (bench.work_dir / "a").read_text() == "source"


@pytest.mark.parametrize(
    "paths", [("../x",), ("/x",), (".engine/locks/x",), (".engine/records",), ("a", "a"), ("a", "a/b")]
)
async def test_a_malformed_manifest_is_refused(bench: Bench, tmp_path: Path, paths: tuple[str, ...]) -> None:
    stored = await bench.results(*[await bench.file(path) for path in paths])
    partial = tmp_path / "partial"
    partial.mkdir()
    with pytest.raises(SourceRefused):
        await results.stage_results(bench.blobs, stored, partial, bench.work_dir, RESERVED)
    assert list(partial.iterdir()) == []


async def test_nothing_is_written_through_a_link_of_the_source(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    partial = tmp_path / "partial"
    partial.mkdir()
    (partial / "way").symlink_to(outside)
    stored = await bench.results(await bench.file("way/in"))
    await results.stage_results(bench.blobs, stored, partial, bench.work_dir, RESERVED)
    assert list(outside.iterdir()) == []
    assert (partial / "way/in").read_text() == "result"
