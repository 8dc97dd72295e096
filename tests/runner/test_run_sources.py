"""The remote files of one run: fetched once, pinned, and the same ever after."""

import hashlib
import json
from collections.abc import Generator
from pathlib import Path

import anyio
import pytest
from tests.sources.http_fixture_server import FixtureServer, fixture_server

from penstock_execution.provisioning import ContainerImage, ProvisionFailed, ProvisionKind, RemoteFile
from penstock_ports import Unavailable
from penstock_runner.remote_sources import run_sources
from penstock_runner.remote_sources.core import pins as pins_module
from penstock_runner.remote_sources.pin_store import PinStore
from penstock_runner.remote_sources.run_sources import RunSources
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import Source, SourceKind
from penstock_sources.egress.addresses import SourceHosts
from penstock_sources.remote.file_cache import FileCache
from penstock_sources.remote.mirrors import parse_mirrors
from penstock_sources.remote.remote_files import RemoteFiles
from penstock_sources.spool import Spool
from penstock_testing.memory import MemoryBlobs

RAW = "https://raw.githubusercontent.com/a/b/v1/"
SOURCE = Source(kind=SourceKind.BUNDLE, location="sources/today/x.json", sha256="5" * 64)


class Notes:
    """A step that keeps what is reported to it."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def log(self, text: str) -> None:
        self.texts.append(text)

    def progress(self, text: str) -> None:
        self.texts.append(text)


class Site:
    """Runners with one blob store, and a server in place of a forge."""

    def __init__(self, folder: Path, place: FixtureServer) -> None:
        self.folder = folder
        self.place = place
        self.blobs = MemoryBlobs()
        self.notes = Notes()

    def run(
        self,
        job: str,
        *,
        runner: str = "r1",
        source: Source | None = SOURCE,
        is_plan: bool = False,
        parent: str | None = None,
    ) -> RunSources:
        files = RemoteFiles(
            SourceHosts(),
            parse_mirrors([f"https://raw.githubusercontent.com/={self.place.url}/"]),
            Spool(self.folder / runner / "spool"),
        )
        cache = FileCache(self.folder / runner / "cache")
        cache.prepare()
        store = PinStore(
            self.blobs,
            tenant=DEFAULT_TENANT,
            job_id=None if is_plan else JobId(job),
            source=source,
            parent=None if parent is None else JobId(parent),
        )
        return RunSources(files, cache, store, is_plan=is_plan)

    async def get(self, sources: RunSources, name: str = "f") -> bytes | None:
        requirement = RemoteFile(label=name, address=RAW + name)
        found = await sources.find(requirement) or await sources.provide(requirement, self.notes)
        return None if found.is_absent else await anyio.Path(found.path).read_bytes()

    def give(self, content: bytes | None, name: str = "f") -> None:
        self.place.pages.pop(f"/a/b/v1/{name}", None)
        if content is not None:
            self.place.pages[f"/a/b/v1/{name}"] = content


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_sources, "RETRY_PAUSES_S", (0.01, 0.01))


@pytest.fixture
def site(tmp_path: Path) -> Generator[Site]:
    with fixture_server() as place:
        yield Site(tmp_path, place)


async def test_the_first_answer_counts_for_every_attempt_on_every_runner(site: Site) -> None:
    site.give(b"one")
    assert await site.get(site.run("j1")) == b"one"
    site.give(b"two")
    requests = len(site.place.requests)
    assert await site.get(site.run("j1")) == b"one"
    assert await site.get(site.run("j1", runner="r2")) == b"one"
    assert len(site.place.requests) == requests
    assert any("SHA-256" in text for text in site.notes.texts)


async def test_that_there_is_no_file_is_pinned_as_well(site: Site) -> None:
    assert await site.get(site.run("j1")) is None
    site.give(b"late")
    assert await site.get(site.run("j1", runner="r2")) is None
    assert await site.get(site.run("j2", source=None)) == b"late"


async def test_another_run_of_the_same_source_gets_the_same(site: Site) -> None:
    site.give(b"one")
    first = site.run("j1")
    await site.get(first)
    assert await site.get(site.run("j0")) == b"one"
    sealed = await first.seal()
    assert sealed is not None
    assert sealed.sha256 == hashlib.sha256(await site.blobs.get_bytes(sealed.key)).hexdigest()
    site.give(b"two")
    second = site.run("j2", runner="r2")
    assert await site.get(second) == b"one"
    other = Source(kind=SourceKind.BUNDLE, location="sources/today/y.json", sha256="6" * 64)
    assert await site.get(site.run("j3", source=other)) == b"two"
    assert await site.get(site.run("j4", source=Source(kind=SourceKind.PATH, location="/srv/w"))) == b"two"

    # What the second run uses stays when the first one is deleted.
    await second.seal()
    for info in await site.blobs.list("jobs/j1/"):
        await site.blobs.delete(info.key)
    assert await site.get(site.run("j2", runner="r3")) == b"one"


async def test_a_retry_or_rerun_gets_what_its_parent_got(site: Site) -> None:
    """Also of a path, which has no content that identifies it, and where a later run of the source got another file."""
    for source in (None, SOURCE):
        job = f"j-{source is None}"
        site.give(b"one")
        await site.get(site.run(job, source=source))
        site.give(b"two")
        later = site.run(f"{job}-later", source=source)
        assert await site.get(later) == b"two"
        await later.seal()
        assert await site.get(site.run(f"{job}-again", source=source, parent=job, runner="r2")) == b"one"


async def test_pinned_content_that_is_gone_must_be_the_same_when_it_is_fetched_again(site: Site) -> None:
    site.give(b"one")
    first = site.run("j1")
    await site.get(first)
    await first.seal()
    for info in await site.blobs.list("jobs/j1/"):
        await site.blobs.delete(info.key)
    assert await site.get(site.run("j2", runner="r2")) == b"one"
    site.give(b"two")
    with pytest.raises(ProvisionFailed, match="other content than the one that this source is pinned to"):
        await site.get(site.run("j3", runner="r3"))


async def test_a_runner_that_is_killed_between_fetch_and_pin_leaves_no_pin(site: Site) -> None:
    class Dying(MemoryBlobs):
        is_dying = True

        async def put_bytes(self, key: str, content: bytes) -> None:
            if self.is_dying and key.endswith(".json"):
                raise Unavailable("the process is gone")
            await super().put_bytes(key, content)

    site.blobs = blobs = Dying()
    site.give(b"one")
    with pytest.raises(ProvisionFailed, match="at the moment") as failed:
        await site.get(site.run("j1"))
    assert failed.value.may_retry
    blobs.is_dying = False
    site.give(b"two")  # nobody used the first content
    assert await site.get(site.run("j1")) == b"two"


async def test_a_store_that_takes_no_copies_is_one_failure(site: Site) -> None:
    class Full(MemoryBlobs):
        is_full = False

        async def put_bytes(self, key: str, content: bytes) -> None:
            if self.is_full:
                raise Unavailable("no space left")
            await super().put_bytes(key, content)

    site.blobs = blobs = Full()
    site.give(b"one", "f")
    site.give(b"two", "g")
    first = site.run("j1")
    await site.get(first, "f")
    await site.get(first, "g")
    await first.seal()
    blobs.is_full = True
    second = site.run("j2")
    assert await site.get(second, "f") == b"one"
    with pytest.raises(Unavailable, match="no space left"):
        await second.seal()


async def test_a_plan_uses_pins_and_makes_none(site: Site) -> None:
    site.give(b"one")
    plan = site.run("", is_plan=True)
    assert await site.get(plan) == b"one"
    assert await plan.seal() is None
    assert await site.blobs.list("") == ()
    run = site.run("j1")
    await site.get(run)
    await run.seal()
    site.give(b"two")
    assert await site.get(site.run("", is_plan=True)) == b"one"


async def test_failures_state_the_setting_and_whether_a_retry_helps(site: Site) -> None:
    run = site.run("j1")
    with pytest.raises(ProvisionFailed, match=r"this runner fetches from no host.*PENSTOCK_SOURCE_HOSTS") as failed:
        await run.provide(RemoteFile(label="x", address="https://example.org/f"), site.notes)
    assert not failed.value.may_retry
    with pytest.raises(ProvisionFailed, match="https://"):
        await run.provide(RemoteFile(label="x", address="s3://bucket/f"), site.notes)
    site.place.server.server_close()
    with pytest.raises(ProvisionFailed) as failed:
        await site.get(run)
    assert failed.value.may_retry
    assert await run.seal() is None


async def test_a_host_that_answers_at_the_second_try_fails_nothing(site: Site) -> None:
    site.give(b"one")
    site.place.broken = 1
    assert await site.get(site.run("j1")) == b"one"
    assert any("it is fetched again" in text for text in site.notes.texts)


async def test_the_files_of_a_run_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins_module, "MAX_FILES", 2)
    monkeypatch.setattr(pins_module, "MAX_BYTES", 10)
    run = site.run("j1")
    site.give(b"x" * 11, "large")
    with pytest.raises(ProvisionFailed, match="more than 10 bytes"):
        await site.get(run, "large")
    assert [await site.get(run, name) for name in ("a", "b", "a")] == [None, None, None]
    with pytest.raises(ProvisionFailed, match="more than 2 remote files"):
        await site.get(run, "c")


async def test_the_addresses_of_a_run_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins_module, "MAX_ADDRESS_CHARS", len(RAW) + 10)
    run = site.run("j1")
    assert await site.get(run, "short") is None
    with pytest.raises(ProvisionFailed, match="characters together"):
        await site.get(run, "other")


async def test_what_is_no_file_is_not_pinned(site: Site) -> None:
    site.give(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    run = site.run("j1")
    with pytest.raises(ProvisionFailed, match="Git LFS"):
        await site.get(run)
    site.give(b"\n<!DOCTYPE html><html>Sign in</html>", "rules.smk")
    with pytest.raises(ProvisionFailed, match="a web page in place of the file"):
        await site.get(run, "rules.smk")
    page = RemoteFile(label="x", address="https://github.com/a/b/blob/main/f")
    with pytest.raises(ProvisionFailed, match=r"write https://github.com/a/b/raw/main/f"):
        await run.provide(page, site.notes)
    assert await site.blobs.list("") == ()


async def test_it_provides_files_alone(site: Site) -> None:
    run = site.run("j1")
    image = ContainerImage(label="x", uri="docker://x")
    assert await run.find(image) is None
    with pytest.raises(ProvisionFailed):
        await run.provide(image, site.notes)
    assert run.kinds == {ProvisionKind.FILE}
    async with run:
        assert run.folders == (str(site.folder / "r1" / "cache"),)


async def test_a_manifest_that_cannot_be_read_is_not_ignored(site: Site) -> None:
    await site.blobs.put_bytes("jobs/j1/remote-sources.json", b"{")
    with pytest.raises(ProvisionFailed, match="cannot be read") as failed:
        await site.get(site.run("j1"))
    assert failed.value.may_retry


async def test_a_blob_with_another_content_is_not_used(site: Site) -> None:
    site.give(b"one")
    await site.get(site.run("j1"))
    manifest = json.loads(await site.blobs.get_bytes("jobs/j1/remote-sources.json"))
    await site.blobs.put_bytes(manifest["files"][0]["key"], b"changed")
    assert await site.get(site.run("j1", runner="r2")) == b"one"
