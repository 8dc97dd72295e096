"""Remote files from real servers, repositories and folders."""

import socket
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.sources.http_fixture_server import FixtureServer, fixture_server, git, repository

from penstock_sources.egress.addresses import SourceHosts
from penstock_sources.egress.failures import FetchFailed
from penstock_sources.git.raw_files import raw_file
from penstock_sources.git.refs import commit_of
from penstock_sources.remote import remote_files
from penstock_sources.remote.mirrors import parse_mirrors
from penstock_sources.remote.remote_files import RemoteFiles
from penstock_sources.spool import Spool

RAW = "https://raw.githubusercontent.com/"


@pytest.fixture
def place(tmp_path: Path) -> Generator[FixtureServer]:
    (tmp_path / "repositories" / "lab").mkdir(parents=True)
    with fixture_server(repositories=tmp_path / "repositories") as started:
        yield started


def near(place: FixtureServer) -> SourceHosts:
    return SourceHosts(hosts=(f"127.0.0.1:{place.port}",), allows_private=True)


def files(tmp_path: Path, *mirrors: str, allowed: SourceHosts | None = None) -> RemoteFiles:
    return RemoteFiles(allowed or SourceHosts(), parse_mirrors(mirrors), Spool(tmp_path / "spool"))


async def test_a_mirror_stands_for_a_host_that_is_not_listed(place: FixtureServer, tmp_path: Path) -> None:
    place.pages["/raw/a/b/v1/wrapper.py"] = b"content"
    mirrored = files(tmp_path, f"{RAW}={place.url}/raw/")
    assert await mirrored.fetch(f"{RAW}a/b/v1/wrapper.py") == b"content"
    with pytest.raises(FetchFailed, match="answered 404") as failed:
        await mirrored.fetch(f"{RAW}a/b/v1/wrapper.R")
    assert failed.value.is_missing
    with pytest.raises(FetchFailed, match="PENSTOCK_SOURCE_HOSTS") as refused:
        await mirrored.fetch("https://example.org/f")
    assert not refused.value.is_missing
    assert not refused.value.may_retry


async def test_a_mirror_does_not_lead_to_another_place(place: FixtureServer, tmp_path: Path) -> None:
    with fixture_server() as inside:
        inside.pages["/secret"] = b"secret"
        place.pages["/raw/f"] = f"{inside.url}/secret"
        with pytest.raises(FetchFailed, match="fetches only from"):
            await files(tmp_path, f"{RAW}={place.url}/raw/").fetch(f"{RAW}f")
        assert not inside.requests


async def test_an_address_that_is_not_public_is_refused(place: FixtureServer, tmp_path: Path) -> None:
    allowed = SourceHosts(hosts=(f"127.0.0.1:{place.port}",))
    with pytest.raises(FetchFailed, match="not public") as failed:
        await files(tmp_path, allowed=allowed).fetch(f"{place.url}/f")
    assert not failed.value.may_retry


async def test_a_server_that_does_not_answer_may_answer_later(tmp_path: Path) -> None:
    with socket.socket() as reserved:  # bound, so that nobody else takes the port; it does not listen
        reserved.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{reserved.getsockname()[1]}"
        allowed = SourceHosts(hosts=(host,), allows_private=True)
        with pytest.raises(FetchFailed, match="nobody listens") as failed:
            await files(tmp_path, allowed=allowed).fetch(f"http://{host}/f")
    assert failed.value.may_retry


async def test_a_large_file_is_not_taken(place: FixtureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_files, "MAX_FILE_BYTES", 10)
    place.pages["/f"] = b"x" * 11
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "f").write_bytes(b"x" * 11)
    for fetching in (files(tmp_path, allowed=near(place)), files(tmp_path, f"{place.url}/={tmp_path / 'folder'}")):
        with pytest.raises(FetchFailed, match="more than 10 bytes"):
            await fetching.fetch(f"{place.url}/f")


async def test_a_folder_of_the_operator(tmp_path: Path) -> None:
    folder = tmp_path / "wrappers"
    (folder / "v1").mkdir(parents=True)
    (folder / "v1" / "wrapper.py").write_bytes(b"content")
    (folder / "latest").symlink_to("v1")
    (folder / "out").symlink_to("/etc")
    (tmp_path / "other").write_bytes(b"other")
    local = files(tmp_path, f"{RAW}a/b/={folder}")
    assert await local.fetch(f"{RAW}a/b/v1/wrapper.py") == b"content"
    assert await local.fetch(f"{RAW}a/b/latest/wrapper.py") == b"content"
    for missing in ("v1/wrapper.R", "v1", "v1/wrapper.py/x"):
        with pytest.raises(FetchFailed) as failed:
            await local.fetch(f"{RAW}a/b/{missing}")
        assert failed.value.is_missing, missing
    for outside in ("out/passwd", "../other", "%2e%2e/other", "v1/%00"):
        with pytest.raises(FetchFailed) as failed:
            await local.fetch(f"{RAW}a/b/{outside}")
        assert not failed.value.is_missing, outside


@pytest.mark.system
async def test_a_ref_becomes_a_commit(place: FixtureServer, tmp_path: Path) -> None:
    folder = tmp_path / "repositories" / "lab" / "w"
    first = repository(folder, {"f": "one"})
    git(folder, "tag", "--annotate", "--message=first", "v1")
    second = repository(folder, {"f": "two"})
    address, spool = f"{place.url}/lab/w/.git", Spool(tmp_path / "spool")
    assert await commit_of(address, "v1", near(place), spool) == first
    assert await commit_of(address, "main", near(place), spool) == second
    assert await commit_of(address, "v2", near(place), spool) is None
    for hostile in ("--upload-pack=touch x", "a..b", "x@{1}", "-h"):
        with pytest.raises(FetchFailed, match="is no branch, tag or commit"):
            await commit_of(address, hostile, near(place), spool)
    with pytest.raises(FetchFailed, match="PENSTOCK_SOURCE_HOSTS"):
        await commit_of(address, "main", SourceHosts(), spool)
    with pytest.raises(FetchFailed, match="not found") as missing:
        await commit_of(f"{place.url}/lab/other/.git", "main", near(place), spool)
    assert not missing.value.may_retry


@pytest.mark.system
async def test_an_address_that_only_looks_like_a_repository_is_fetched_as_it_is(
    place: FixtureServer, tmp_path: Path
) -> None:
    fetching = files(tmp_path, allowed=near(place))
    found = fetching.repository_of(f"{place.url}/data/set/raw/v1/f")
    assert found is not None
    assert await fetching.commit_of(found) is None


async def test_a_forge_without_the_ref(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*_: object) -> None:
        return None

    monkeypatch.setattr(remote_files, "commit_of", none)
    fetching = files(tmp_path)
    unknown, short = raw_file(f"{RAW}a/b/v99.0.0/f"), raw_file(f"{RAW}a/b/0a1b2c3/f")
    assert unknown is not None
    assert short is not None
    with pytest.raises(FetchFailed, match=r"https://github.com/a/b has no branch or tag `v99.0.0`"):
        await fetching.commit_of(unknown)
    assert await fetching.commit_of(short) is None


def test_what_a_mirror_gives_has_no_commit(tmp_path: Path) -> None:
    assert files(tmp_path, f"{RAW}=/srv/x").repository_of(f"{RAW}a/b/v1/f") is None
    assert files(tmp_path).repository_of(f"{RAW}a/b/v1/f") is not None
    assert not files(tmp_path).is_possible
