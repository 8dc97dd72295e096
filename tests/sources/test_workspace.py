"""A workflow's files: checked before use, staged out completely or not at all."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from tests.engine_folders import SNAKEMAKE_FOLDERS

from penstock_domain.engines.reserved_folders import NOTHING_RESERVED
from penstock_schemas.jobs import Failure, FailureCause, Source, SourceKind
from penstock_sources.workspace.layout import SourceRefused
from penstock_sources.workspace.sources import Sources
from penstock_testing.memory import MemoryBlobs


async def bundle(blobs: MemoryBlobs, raw: bytes, *, sha256: str | None = None) -> Source:
    digest = hashlib.sha256(raw).hexdigest()
    key = f"sources/{digest}.json"
    await blobs.put_bytes(key, raw)
    return Source(kind=SourceKind.BUNDLE, location=key, sha256=sha256 or digest)


async def files(blobs: MemoryBlobs, content: dict[str, object]) -> Source:
    return await bundle(blobs, json.dumps({"files": content}).encode())


def path(location: Path) -> Source:
    return Source(kind=SourceKind.PATH, location=str(location))


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(one_path.relative_to(folder)): one_path.read_bytes() for one_path in folder.rglob("*") if one_path.is_file()
    }


class TestBundle:
    async def test_is_staged(self, tmp_path: Path) -> None:
        blobs = MemoryBlobs()
        source = await files(
            blobs, {"Snakefile": {"text": "rule a:\n"}, "data/é.bin": {"base64": "AAEC"}, "empty": {"text": ""}}
        )
        await Sources(blobs, (), reserved=SNAKEMAKE_FOLDERS).prepare(source, tmp_path / "work")
        assert everything(tmp_path / "work") == {"Snakefile": b"rule a:\n", "data/é.bin": b"\x00\x01\x02", "empty": b""}

    async def test_scripts_can_be_called(self, tmp_path: Path) -> None:
        blobs = MemoryBlobs()
        source = await files(blobs, {"run.sh": {"text": "#!/bin/sh\n"}, "data": {"text": "x"}})
        await Sources(blobs, (), reserved=SNAKEMAKE_FOLDERS).prepare(source, tmp_path / "work")
        assert os.access(tmp_path / "work" / "run.sh", os.X_OK)
        assert not (tmp_path / "work" / "data").stat().st_mode & 0o111

    async def test_that_is_missing_is_the_systems_failure(self, tmp_path: Path) -> None:
        source = Source(kind=SourceKind.BUNDLE, location="sources/none.json", sha256="0" * 64)
        failure = await self._refused(MemoryBlobs(), source, tmp_path)
        assert failure.cause is FailureCause.SYSTEM
        assert "missing from the blob store: sources/none.json" in failure.message

    async def test_that_was_changed_is_the_systems_failure(self, tmp_path: Path) -> None:
        blobs = MemoryBlobs()
        source = await bundle(blobs, b'{"files": {}}', sha256="0" * 64)
        failure = await self._refused(blobs, source, tmp_path)
        assert failure.cause is FailureCause.SYSTEM
        assert "SHA-256" in failure.message

    @pytest.mark.parametrize("name", ["/etc/passwd", "../out", "a/../../out", "", ".", "..", "a/", "a\0b"])
    async def test_with_an_unsafe_name_is_refused(self, tmp_path: Path, name: str) -> None:
        blobs = MemoryBlobs()
        failure = await self._refused(blobs, await files(blobs, {name: {"text": "x"}}), tmp_path)
        assert failure.cause is FailureCause.WORKFLOW
        assert repr(name) in failure.message

    async def test_with_a_file_that_is_a_folder_too_is_refused(self, tmp_path: Path) -> None:
        blobs = MemoryBlobs()
        source = await files(blobs, {"a": {"text": "x"}, "a/b": {"text": "y"}})
        failure = await self._refused(blobs, source, tmp_path)
        assert "is a file here and a folder there" in failure.message

    @pytest.mark.parametrize("raw", [b"", b"[]", b'{"files": 3}', b'{"files": {"a": {"base64": "?"}}}'])
    async def test_that_is_malformed_is_refused(self, tmp_path: Path, raw: bytes) -> None:
        blobs = MemoryBlobs()
        failure = await self._refused(blobs, await bundle(blobs, raw), tmp_path)
        assert failure.cause is FailureCause.WORKFLOW

    async def _refused(self, blobs: MemoryBlobs, source: Source, folder: Path) -> Failure:
        with pytest.raises(SourceRefused) as caught:
            await Sources(blobs, (), reserved=SNAKEMAKE_FOLDERS).prepare(source, folder / "work")
        assert not everything(folder), "nothing half-made stays"
        return caught.value.failure


class TestPath:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        root = tmp_path / "allowed"
        (root / "flow" / "rules").mkdir(parents=True)
        (root / "flow" / "Snakefile").write_text("include: 'rules/a.smk'\n")
        (root / "flow" / "rules" / "a.smk").write_text("# a\n")
        return root

    async def test_is_copied_and_left_as_it_was(self, root: Path, tmp_path: Path) -> None:
        (root / "flow" / ".snakemake").mkdir()
        (root / "flow" / ".snakemake" / "locks").write_text("")
        os.utime(root / "flow" / "Snakefile", (1, 1))
        (root / "flow" / "rules" / "a.smk").chmod(0o400)
        before = everything(root)
        await Sources(MemoryBlobs(), [root], reserved=SNAKEMAKE_FOLDERS).prepare(path(root / "flow"), tmp_path / "work")
        (tmp_path / "work" / "Snakefile").write_text("changed")
        (tmp_path / "work" / "rules" / "a.smk").write_text("changed")
        assert everything(root) == before
        assert set(everything(tmp_path / "work")) == {"Snakefile", "rules/a.smk"}

    async def test_may_be_the_snakefile_itself(self, root: Path, tmp_path: Path) -> None:
        await Sources(MemoryBlobs(), [root], reserved=SNAKEMAKE_FOLDERS).prepare(
            path(root / "flow" / "Snakefile"), tmp_path / "work"
        )
        assert set(everything(tmp_path / "work")) == {"Snakefile", "rules/a.smk"}

    async def test_times_of_files_are_kept(self, root: Path, tmp_path: Path) -> None:
        os.utime(root / "flow" / "Snakefile", (1000, 1000))
        await Sources(MemoryBlobs(), [root], reserved=SNAKEMAKE_FOLDERS).prepare(path(root / "flow"), tmp_path / "work")
        assert (tmp_path / "work" / "Snakefile").stat().st_mtime == 1000

    async def test_outside_the_roots_is_refused(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        for location in (tmp_path / "other", root / ".." / "other", tmp_path / "nowhere"):
            assert "not below a folder that this runner allows" in await self._refused([root], location, tmp_path)

    async def test_without_roots_is_refused(self, root: Path, tmp_path: Path) -> None:
        assert "(none)" in await self._refused([], root / "flow", tmp_path)

    async def test_that_does_not_exist_is_refused(self, root: Path, tmp_path: Path) -> None:
        assert "does not exist on this runner" in await self._refused([root], root / "nothing", tmp_path)

    async def test_a_link_that_leads_outside_is_refused(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret")
        (root / "flow" / "link").symlink_to(tmp_path / "secret")
        assert "link that leads outside" in await self._refused([root], root / "flow", tmp_path)

    async def test_a_link_that_leaves_the_folder_and_not_the_roots_becomes_what_it_leads_to(
        self, root: Path, tmp_path: Path
    ) -> None:
        (root / "shared").mkdir()
        (root / "shared" / "data.txt").write_text("data")
        (root / "flow" / "data.txt").symlink_to(root / "shared" / "data.txt")
        (root / "flow" / "shared").symlink_to("../shared")
        await Sources(MemoryBlobs(), [root], reserved=SNAKEMAKE_FOLDERS).prepare(path(root / "flow"), tmp_path / "work")
        assert (tmp_path / "work" / "data.txt").read_text() == "data"
        assert (tmp_path / "work" / "shared" / "data.txt").read_text() == "data"
        assert not [one_path for one_path in (tmp_path / "work").rglob("*") if one_path.is_symlink()]

    async def test_a_link_that_stays_inside_stays_a_link(self, root: Path, tmp_path: Path) -> None:
        (root / "flow" / "by-name").symlink_to("rules/../rules/a.smk")
        (root / "flow" / "absolute").symlink_to(root / "flow" / "rules")
        (root / "flow" / "later").symlink_to("not-made-yet")
        await Sources(MemoryBlobs(), [root], reserved=SNAKEMAKE_FOLDERS).prepare(path(root / "flow"), tmp_path / "work")
        links = {
            link.name: os.readlink(link)  # noqa: PTH115
            for link in (tmp_path / "work").iterdir()
            if link.is_symlink()
        }
        assert links == {"by-name": "rules/../rules/a.smk", "absolute": "rules", "later": "not-made-yet"}

    async def test_a_link_to_a_folder_above_itself_is_refused(self, root: Path, tmp_path: Path) -> None:
        (root / "flow" / "up").symlink_to("..")
        assert "a folder above itself" in await self._refused([root], root / "flow", tmp_path)

    async def test_records_are_copied_and_caches_are_not(self, root: Path, tmp_path: Path) -> None:
        for name in ("metadata/YQ==", "incomplete/YQ==", "locks/0.input.lock", "scripts/x.py"):
            (root / "flow" / ".snakemake" / name).parent.mkdir(parents=True)
            (root / "flow" / ".snakemake" / name).write_text("{}")
        await Sources(MemoryBlobs(), [root], reserved=SNAKEMAKE_FOLDERS).prepare(path(root / "flow"), tmp_path / "work")
        found = {item for item in everything(tmp_path / "work") if item.startswith(".snakemake")}
        assert found == {".snakemake/metadata/YQ==", ".snakemake/incomplete/YQ=="}

    async def test_another_engine_gets_the_folders_that_snakemake_reserves(self, root: Path, tmp_path: Path) -> None:
        (root / "flow" / ".snakemake").mkdir()
        (root / "flow" / ".snakemake" / "locks").write_text("")
        await Sources(MemoryBlobs(), [root], reserved=NOTHING_RESERVED).prepare(path(root / "flow"), tmp_path / "work")
        assert ".snakemake/locks" in everything(tmp_path / "work")

    async def test_too_many_or_too_large_files_are_refused(self, root: Path, tmp_path: Path) -> None:
        for limits in ({"max_files": 1}, {"max_bytes": 10}):
            sources = Sources(MemoryBlobs(), [root], reserved=SNAKEMAKE_FOLDERS, **limits)
            with pytest.raises(SourceRefused, match="too large to be copied"):
                await sources.prepare(path(root / "flow"), tmp_path / "work")

    async def test_a_pipe_is_refused(self, root: Path, tmp_path: Path) -> None:
        os.mkfifo(root / "flow" / "pipe")
        assert "no regular file" in await self._refused([root], root / "flow", tmp_path)

    async def _refused(self, roots: list[Path], location: Path, folder: Path) -> str:
        with pytest.raises(SourceRefused) as caught:
            await Sources(MemoryBlobs(), roots, reserved=SNAKEMAKE_FOLDERS).prepare(path(location), folder / "work")
        assert caught.value.failure.cause is FailureCause.WORKFLOW
        assert not (folder / "work").exists()
        return caught.value.failure.message
