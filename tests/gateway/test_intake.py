"""Workflows from elsewhere, by real servers on loopback; and every way into private addresses that must be closed."""

import base64
import gzip
import io
import ipaddress
import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import anyio
import msgspec
import pytest
from tests.engine_folders import SNAKEMAKE_FOLDERS
from tests.gateway.gateway_harness import GatewayHarness, Json, problem
from tests.sources.http_fixture_server import FixtureServer, fixture_server, git, repository
from tests.sources.test_archives import gzipped, tarred, zipped

from penstock_schemas.api import Base64File, SubmittedSource
from penstock_schemas.jobs import SourceManifest
from penstock_sources.egress import addresses, downloads
from penstock_sources.egress.addresses import SourceHosts, check_url, is_public, resolve
from penstock_sources.egress.failures import FetchFailed
from penstock_sources.failures import InvalidSource, UnusableSource
from penstock_sources.git import repositories
from penstock_sources.spool import Spool
from penstock_sources.staging.local_staging import LocalStaging
from penstock_sources.staging.uploads import Uploads
from penstock_testing.memory import MemoryBlobs

SNAKEFILE = 'rule all:\n    output: "a"\n    shell: "touch {output}"\n'


@pytest.fixture
def place(tmp_path: Path) -> Generator[FixtureServer]:
    with fixture_server(repositories=tmp_path / "repositories") as started:
        yield started


def near(*places: FixtureServer) -> SourceHosts:
    hosts = tuple(f"{place.server.server_address[0]!s}:{place.port}" for place in places)
    return SourceHosts(hosts=hosts, allows_private=True)


MAX_BYTES = 64 << 20


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


async def download(address: str, allowed: SourceHosts, *, max_bytes: int = MAX_BYTES) -> bytes:
    file = io.BytesIO()
    await downloads.download(address, allowed, file, max_bytes=max_bytes)
    return file.getvalue()


async def fetch_commit(
    address: str, ref: str | None, allowed: SourceHosts, *, max_bytes: int = MAX_BYTES
) -> tuple[str, str, dict[str, bytes]]:
    """Return the address as events have it, the commit, and its files."""
    with tempfile.TemporaryDirectory() as folder:
        fetched = repositories.fetch_commit(
            address, ref, allowed, Spool(Path(folder)), max_bytes=max_bytes, reserved=SNAKEMAKE_FOLDERS
        )
        async with fetched as commit:
            files = {entry.path: b"".join([chunk async for chunk in chunks]) async for entry, chunks in commit.files()}
        assert os.listdir(folder) == []  # noqa: PTH208 - of a path, in an async function, the linter takes it for slow
    return commit.address, commit.id, files


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("192.0.2.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("::127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
        ("2002:a00:1::1", False),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", False),
        ("2001:db8::1", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


ALLOWED = SourceHosts(hosts=("example.org", "*.forge.org", "example.net:8443"))


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/a",
        "http://EXAMPLE.org/a?b=c",
        "https://example.org:443/a",
        "https://a.b.forge.org/x",
        "https://example.net:8443/",
        "https://example.org./a",
    ],
)
def test_addresses_that_are_allowed(address: str) -> None:
    check_url(address, ALLOWED)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("https://example.com/", "not from `example.com`"),
        ("https://example.org.evil.com/", "fetches only from"),
        ("https://evilforge.org/", "fetches only from"),
        ("https://forge.org/", "fetches only from"),
        ("https://example.org:8443/", "not from port 8443 of `example.org`"),
        ("https://example.net/", "fetches only from"),
        ("https://me:secret@example.org/", "password"),
        ("https://example.org@evil.com/", "password"),
        ("ftp://example.org/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("ssh://example.org/x", "https://"),
        ("ext::sh -c touch% x", "plain characters"),
        ("https://example.org\\@evil.com/", "plain characters"),
        ("https://example.org/a\nb", "plain characters"),
        ("https://[::1", "no address"),
        ("https://example.org:99999/", "no address"),
        ("", "https://"),
    ],
)
def test_addresses_that_are_refused(address: str, why: str) -> None:
    with pytest.raises(FetchFailed, match=why):
        check_url(address, ALLOWED)


def test_without_hosts_nothing_is_fetched() -> None:
    with pytest.raises(FetchFailed, match="PENSTOCK_SOURCE_HOSTS"):
        check_url("https://example.org/", SourceHosts())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_no_spelling_of_a_name_leads_to_a_private_address(place: FixtureServer, host: str) -> None:
    place.pages["/a"] = b"secret"
    allowed = SourceHosts(hosts=(f"{host.strip('[]')}:{place.port}",))
    with pytest.raises(FetchFailed, match=r"not public|not known"):
        await download(f"http://{host}:{place.port}/a", allowed)
    with pytest.raises(FetchFailed, match=r"not public|not known"):
        await fetch_commit(f"http://{host}:{place.port}/a.git", None, allowed)
    assert not place.requests


async def test_a_redirect_is_checked_as_the_first_address(
    place: FixtureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One loopback address plays the public network, the other one the private.
    def plays_public(address: addresses.Address) -> bool:
        return str(address) == "127.0.0.2"

    monkeypatch.setattr(addresses, "is_public", plays_public)
    with fixture_server("127.0.0.2") as outside:
        place.pages["/secret"] = b"secret"
        outside.pages |= {"/in": f"{place.url}/secret", "/loop": "/loop", "/once": "/file", "/file": b"fine"}
        outside.pages["/named"] = f"http://localhost:{place.port}/secret"
        hosts = (f"127.0.0.2:{outside.port}", f"127.0.0.1:{place.port}", f"localhost:{place.port}")
        allowed = SourceHosts(hosts=hosts)
        assert await download(f"{outside.url}/once", allowed) == b"fine"
        for path in ("/in", "/named"):
            with pytest.raises(FetchFailed, match="not public"):
                await download(outside.url + path, allowed)
        with pytest.raises(FetchFailed, match="redirects"):
            await download(f"{outside.url}/loop", allowed)
        with pytest.raises(FetchFailed, match="fetches only from"):
            await download(f"{outside.url}/in", SourceHosts(hosts=hosts[:1]))
    assert not place.requests


@pytest.mark.system
async def test_the_connection_goes_to_the_address_that_was_checked(
    place: FixtureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The name resolves only in the first look-up; a second one would find nothing.
    async def once(host: str, port: int, **_: object) -> list[object]:
        assert host == "rebound.test"
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(anyio, "getaddrinfo", once)
    (tmp_path / "repositories").mkdir()
    commit = repository(tmp_path / "repositories" / "w.git", {"Snakefile": SNAKEFILE})
    place.pages["/a"] = b"there"
    allowed = SourceHosts(hosts=(f"rebound.test:{place.port}",), allows_private=True)
    assert await download(f"http://rebound.test:{place.port}/a", allowed) == b"there"
    address, found, _ = await fetch_commit(f"http://rebound.test:{place.port}/w.git/.git", None, allowed)
    assert (address, found) == (f"http://rebound.test:{place.port}/w.git/.git", commit)
    assert {host for host, _ in place.requests} == {f"rebound.test:{place.port}"}


async def test_every_address_of_a_name_must_be_public(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(host: str, port: int, **_: object) -> list[object]:
        return [(2, 1, 6, "", ("8.8.8.8", port)), (10, 1, 6, "", ("::ffff:10.0.0.1", port, 0, 0))]

    monkeypatch.setattr(anyio, "getaddrinfo", both)
    with pytest.raises(FetchFailed, match=r"not public"):
        await resolve(check_url("https://example.org/", ALLOWED), ALLOWED)


async def test_a_download_is_bounded_and_whole(place: FixtureServer) -> None:
    place.pages["/big"] = bytes(2_000_000)
    with pytest.raises(FetchFailed, match="more than 1,000,000 bytes"):
        await download(f"{place.url}/big", near(place), max_bytes=1_000_000)
    with pytest.raises(FetchFailed, match="answered 404"):
        await download(f"{place.url}/nothing", near(place))
    with pytest.raises(FetchFailed, match="cannot be fetched"):
        await download(f"https://127.0.0.1:{place.port}/", near(place))


async def stage_source(allowed: SourceHosts, **source: str | Base64File) -> tuple[dict[str, bytes], str | None]:
    blobs = MemoryBlobs()
    with tempfile.TemporaryDirectory() as folder:
        staging = LocalStaging(allowed, Spool(Path(folder)), max_bytes=MAX_BYTES)
        async with Uploads(blobs).begin("x") as upload:
            staged = await staging.stage(SubmittedSource(**source), upload, engine="snakemake")  # type: ignore[arg-type]
            files = {path: await blobs.get_bytes(file.key) for path, file in upload.files.items()}
            return files, staged.origin


async def test_an_address_gives_an_archive_or_a_snakefile(place: FixtureServer) -> None:
    place.pages |= {
        "/w.tgz": gzipped({"w-1/Snakefile": SNAKEFILE.encode(), "w-1/data.bin": b"\xff"}),
        "/w.zip": zipped({"Snakefile": SNAKEFILE.encode()}),
        "/main.smk": SNAKEFILE.encode(),
        "/page": b"<!doctype html><html>",
        "/image": b"\x89PNG\xff",
    }
    files, origin = await stage_source(near(place), url=f"{place.url}/w.tgz?token=secret")
    assert files == {"Snakefile": SNAKEFILE.encode(), "data.bin": b"\xff"}
    assert origin == f"{place.url}/w.tgz"
    assert (await stage_source(near(place), url=f"{place.url}/w.zip"))[0] == {"Snakefile": SNAKEFILE.encode()}
    assert (await stage_source(near(place), url=f"{place.url}/main.smk"))[0] == {"Snakefile": SNAKEFILE.encode()}
    for path, why in (("/page", "for people"), ("/image", "no archive")):
        with pytest.raises(InvalidSource, match=why):
            await stage_source(near(place), url=place.url + path)


@pytest.mark.system
async def test_a_branch_a_tag_and_a_commit_become_a_commit(place: FixtureServer, tmp_path: Path) -> None:
    folder = tmp_path / "repositories" / "w.git"
    folder.parent.mkdir()
    first = repository(folder, {"Snakefile": SNAKEFILE, "data/x.bin": b"\xff\x00"})
    git(folder, "tag", "-a", "v1.0", "-m", "first")
    git(folder, "switch", "--quiet", "-c", "feature/x")
    second = repository(folder, {"Snakefile": SNAKEFILE + "# more\n"})
    git(folder, "switch", "--quiet", "main")
    address = f"{place.url}/w.git/.git"
    for ref, commit in ((None, first), ("v1.0", first), (first, first), ("feature/x", second), (second, second)):
        fields = {"git": address} | ({} if ref is None else {"ref": ref})
        files, origin = await stage_source(near(place), **fields)
        assert origin == f"git+{address}@{commit}"
        assert files["Snakefile"].decode() == (SNAKEFILE if commit == first else SNAKEFILE + "# more\n")
        assert files["data/x.bin"] == b"\xff\x00"


@pytest.mark.system
@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"link": Path("/etc/passwd")}, "target is absolute"),
        ({"data/link": Path("../../out")}, "leads out of the workflow's folder"),
    ],
)
async def test_a_commit_with_a_link_that_leads_out_is_refused(
    place: FixtureServer, tmp_path: Path, files: dict[str, str | bytes | Path], why: str
) -> None:
    (tmp_path / "repositories").mkdir()
    repository(tmp_path / "repositories" / "w.git", {"Snakefile": SNAKEFILE, **files})
    async with Uploads(MemoryBlobs()).begin("x") as upload:
        await LocalStaging(near(place), Spool(tmp_path / "spool"), max_bytes=MAX_BYTES).stage(
            SubmittedSource(git=f"{place.url}/w.git/.git"), upload, engine="snakemake"
        )
        with pytest.raises(InvalidSource, match=why):
            await upload.seal(main=None)


@pytest.mark.system
async def test_a_commit_keeps_links_and_gives_every_file_its_own_time(place: FixtureServer, tmp_path: Path) -> None:
    (tmp_path / "repositories").mkdir()
    folder = tmp_path / "repositories" / "w.git"
    files: dict[str, str | bytes | Path] = {"pkg/workflow/Snakefile": SNAKEFILE, "workflow": Path("pkg/workflow")}
    repository(folder, {**files, ".snakemake/log/x": "x", ".snakemake/metadata/YQ==": "{}"})
    committed_ns = int(git(folder, "log", "-1", "--format=%ct")) * 1_000_000_000
    blobs = MemoryBlobs()
    async with Uploads(blobs).begin("x") as upload:
        await LocalStaging(near(place), Spool(tmp_path / "spool"), max_bytes=MAX_BYTES).stage(
            SubmittedSource(git=f"{place.url}/w.git/.git"), upload, engine="snakemake"
        )
        source = await upload.seal(main=None)
        manifest = msgspec.json.decode(await blobs.get_bytes(source.location), type=SourceManifest)
    assert {file.path: file.link for file in manifest.files} == {
        ".snakemake/metadata/YQ==": None,
        "pkg/workflow/Snakefile": None,
        "workflow": "pkg/workflow",
    }
    assert {file.mtime_ns for file in manifest.files} == {committed_ns}
    assert [item.path for item in source.left_out] == [".snakemake/"]


@pytest.mark.system
async def test_a_submodule_is_refused(place: FixtureServer, tmp_path: Path) -> None:
    (tmp_path / "repositories").mkdir()
    folder = tmp_path / "repositories" / "w.git"
    commit = repository(folder, {"Snakefile": SNAKEFILE})
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{commit},inner")
    git(folder, "commit", "--quiet", "-m", "inner")
    with pytest.raises(UnusableSource, match="submodule"):
        await fetch_commit(f"{place.url}/w.git/.git", None, near(place))


@pytest.mark.system
async def test_a_repository_is_bounded(place: FixtureServer, tmp_path: Path) -> None:
    (tmp_path / "repositories").mkdir()
    repository(tmp_path / "repositories" / "w.git", {"Snakefile": SNAKEFILE, "zeros": bytes(200_000)})
    address = f"{place.url}/w.git/.git"
    with pytest.raises(UnusableSource, match="more than 100,000 bytes"):
        await fetch_commit(address, None, near(place), max_bytes=100_000)
    noise = gzip.compress(b"".join(str(n * n).encode() for n in range(200_000)))
    repository(tmp_path / "repositories" / "w.git", {"noise": noise})
    with pytest.raises(UnusableSource, match="more than 51,200 bytes"):
        await fetch_commit(address, None, near(place), max_bytes=51_200)


@pytest.mark.parametrize("ref", ["-x", "--upload-pack=x", "a..b", "a b", "", "v1@{1}", "a:b", "HEAD^"])
async def test_a_ref_is_a_name_and_no_option(place: FixtureServer, ref: str) -> None:
    with pytest.raises(UnusableSource, match="no branch"):
        await fetch_commit(f"{place.url}/w.git", ref, near(place))
    assert not place.requests


@pytest.mark.system
async def test_a_failed_fetch_with_git_has_the_reason(place: FixtureServer, tmp_path: Path) -> None:
    (tmp_path / "repositories").mkdir()
    repository(tmp_path / "repositories" / "w.git", {"Snakefile": SNAKEFILE})
    with pytest.raises(UnusableSource, match=r"not found|cannot be read"):
        await fetch_commit(f"{place.url}/nothing.git", None, near(place))
    with pytest.raises(UnusableSource, match="couldn't find remote ref v9"):
        await fetch_commit(f"{place.url}/w.git/.git", "v9", near(place))
    place.pages["/moved.git/info/refs"] = f"{place.url}/w.git/.git/info/refs?service=git-upload-pack"
    with pytest.raises(UnusableSource, match="cannot be read"):
        await fetch_commit(f"{place.url}/moved.git", None, near(place))


@pytest.mark.system
async def test_a_fetch_that_takes_too_long_is_ended(place: FixtureServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repositories, "FETCH_DEADLINE_S", 0.3)
    with fixture_server() as silent:
        silent.is_silent = True
        started = anyio.current_time()
        with pytest.raises(UnusableSource, match="took longer"):
            await fetch_commit(f"{silent.url}/w.git", None, near(silent))
        assert anyio.current_time() - started < 5


async def test_a_submission_from_an_archive(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        raw = base64.b64encode(tarred({"w/Snakefile": SNAKEFILE.encode()})).decode()
        response = await client.post("/jobs", json=submission(archive={"base64": raw}))
        assert response.status_code == 201, response.text
        bad = await client.post("/jobs", json=submission(archive={"base64": "xx"}))
        assert problem(bad, 422)["errors"][0]["pointer"] == "#/source/archive"
        unclear: list[Json] = [{}, {"files": {}, "git": "x"}, {"ref": "x", "files": {"Snakefile": ""}}]
        for source in unclear:
            assert problem(await client.post("/jobs", json=submission(**source)), 422)["errors"][0][
                "pointer"
            ].startswith("#/source")


async def test_a_submission_from_git_keeps_the_commit(
    harness: GatewayHarness, place: FixtureServer, tmp_path: Path
) -> None:
    folder = tmp_path / "repositories" / "w.git"
    folder.parent.mkdir()
    commit = repository(folder, {"Snakefile": SNAKEFILE})
    address = f"{place.url}/w.git/.git"
    async with harness.serve(source_hosts=near(place).hosts, source_allow_private=True) as client:
        submitted = submission(git=address, ref="main")
        first = await client.post("/jobs", json=submitted, headers={"idempotency-key": "k"})
        assert first.status_code == 201, first.text
        data = (await client.get(f"/jobs/{first.json()['id']}/events")).json()["events"][0]["data"]
        assert data["spec"]["source"]["origin"] == f"git+{address}@{commit}"
        repository(folder, {"Snakefile": SNAKEFILE + "# moved on\n"})
        again = await client.post("/jobs", json=submitted, headers={"idempotency-key": "k"})
        assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
        entry = {"name": "w", "version": "1", "source": {"git": address, "ref": commit}}
        registered = await client.post("/pipelines", json=entry)
        assert registered.status_code == 201, registered.text
        assert registered.json()["source"]["origin"] == f"git+{address}@{commit}"
    async with harness.serve(state_dir=tmp_path / "strict") as client:
        refused = problem(await client.post("/jobs", json=submitted), 422)
        assert refused["errors"][0]["pointer"] == "#/source/git"


def submission(**source: object) -> Json:
    return {"pipeline_name": "from-elsewhere", "source": source}
