"""Fetching over https, with names and tokens, and by the addresses that people copy from a forge's pages."""

import logging
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import anyio
import pytest
from tests.engine_folders import SNAKEMAKE_FOLDERS
from tests.gateway.certificates import Authority
from tests.gateway.gateway_harness import GatewayHarness, problem
from tests.gateway.test_intake import SNAKEFILE, download, fetch_commit, near, stage_source, submission
from tests.sources.http_fixture_server import FixtureServer, fixture_server, git, repository
from tests.sources.test_archives import gzipped

from penstock_gateway.settings import GatewaySettings
from penstock_gateway.wiring.settings_checks import mistakes
from penstock_ports import Unavailable
from penstock_schemas.api import SubmittedSource
from penstock_sources.egress import addresses, downloads
from penstock_sources.egress.addresses import SourceHosts
from penstock_sources.egress.credentials import header_for, parse_credentials
from penstock_sources.egress.failures import FetchFailed
from penstock_sources.egress.settings import source_hosts
from penstock_sources.failures import InvalidSource, UnusableSource
from penstock_sources.git import repositories
from penstock_sources.git.forges import as_repository
from penstock_sources.spool import Spool, fill

HOST = "forge.test"


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every name of the tests mean the loopback address."""

    async def look_up(host: str, port: int, **_: object) -> list[object]:
        return [(2, 1, 6, "", ("127.0.0.1" if host.endswith(".test") else host, port))]

    monkeypatch.setattr(anyio, "getaddrinfo", look_up)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def secure(tmp_path: Path, authority: Authority) -> Generator[FixtureServer]:
    (tmp_path / "repositories").mkdir()
    with fixture_server(repositories=tmp_path / "repositories", tls=authority.server(HOST)) as started:
        yield started


def trusting(authority: Authority | None, *places: FixtureServer, credentials: str = "") -> SourceHosts:
    return SourceHosts(
        hosts=tuple(f"*.test:{place.port}" for place in places),
        allows_private=True,
        ca_file=None if authority is None else authority.file,
        credentials=parse_credentials(credentials),
    )


@pytest.mark.system
async def test_https_requires_a_trusted_certificate(
    secure: FixtureServer, authority: Authority, tmp_path: Path
) -> None:
    secure.pages["/w"] = b"there"
    commit = repository(tmp_path / "repositories" / "w", {"Snakefile": SNAKEFILE})
    address = f"https://{HOST}:{secure.port}/w"
    allowed = trusting(authority, secure)
    assert await download(address, allowed) == b"there"
    assert (await fetch_commit(f"{address}/.git", None, allowed))[1] == commit
    with pytest.raises(FetchFailed, match="its certificate is not trusted: unable to get local issuer"):
        await download(address, trusting(None, secure))
    with pytest.raises(UnusableSource, match=r"cannot be read: .*certificate"):
        await fetch_commit(f"{address}/.git", None, trusting(None, secure))


@pytest.mark.system
@pytest.mark.parametrize(
    ("host", "days", "why"), [("other.test", 1, "[Hh]ostname|subject name"), (HOST, -1, "expired")]
)
async def test_a_certificate_of_another_name_or_time_is_refused(
    authority: Authority, host: str, days: int, why: str
) -> None:
    with fixture_server(tls=authority.server(host, days=days)) as place:
        allowed = trusting(authority, place)
        with pytest.raises(FetchFailed, match=why):
            await download(f"https://{HOST}:{place.port}/w", allowed)
        with pytest.raises(UnusableSource, match=r"cannot be read: .*(certificate|subject)"):
            await fetch_commit(f"https://{HOST}:{place.port}/w.git", None, allowed)
        assert not place.requests


async def test_https_leads_to_nothing_less(
    secure: FixtureServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fixture_server() as plain:
        plain.pages["/w"] = b"plain"
        secure.pages |= {"/down": f"http://{HOST}:{plain.port}/w", "/same": "/w", "/w": b"there"}
        secure.pages["/broken"] = "https://[::1"
        allowed = trusting(authority, secure, plain)
        assert await download(f"https://{HOST}:{secure.port}/same", allowed) == b"there"
        for scheme in ("https", "HTTPS"):
            with pytest.raises(FetchFailed, match="not https"):
                await download(f"{scheme}://{HOST}:{secure.port}/down", allowed)
        with pytest.raises(FetchFailed, match="no address"):
            await download(f"https://{HOST}:{secure.port}/broken", allowed)
        assert not plain.requests

        secure.pages["/in"] = f"https://inside.test:{secure.port}/w"

        def is_public(address: addresses.Address) -> bool:
            return str(address) == "127.0.0.1"

        monkeypatch.setattr(addresses, "is_public", is_public)

        async def look_up(host: str, port: int, **_: object) -> list[object]:
            return [(2, 1, 6, "", ("127.0.0.2" if host == "inside.test" else "127.0.0.1", port))]

        monkeypatch.setattr(anyio, "getaddrinfo", look_up)
        requests = len(secure.requests)
        with pytest.raises(FetchFailed, match=r"`inside.test` has the address 127.0.0.2, which is not public"):
            await download(f"https://{HOST}:{secure.port}/in", SourceHosts(hosts=allowed.hosts, ca_file=authority.file))
        assert len(secure.requests) == requests + 1


@pytest.mark.system
async def test_a_token_opens_what_lies_below_its_address_alone(
    secure: FixtureServer, authority: Authority, tmp_path: Path
) -> None:
    secure.required_authorization = "Basic cm9ib3Q6c2VjcmV0"  # robot:secret
    secure.pages["/files/w"] = b"there"
    commit = repository(tmp_path / "repositories" / "lab", {"Snakefile": SNAKEFILE})
    base = f"https://{HOST}:{secure.port}"
    right = f"https://robot:secret@{HOST}:{secure.port}"
    allowed = trusting(authority, secure, credentials=f"{right}/lab, {right}/files/")
    assert (await fetch_commit(f"{base}/lab/.git", None, allowed))[:2] == (f"{base}/lab/.git", commit)
    assert await download(f"{base}/files/w", allowed) == b"there"
    for address in ("/laboratory/x", "/files/../other", "/filesystem"):
        with pytest.raises(FetchFailed, match="answered 401; it requires a name"):
            await download(base + address, allowed)
    secure.authorizations.clear()
    wrong = trusting(authority, secure, credentials=f"https://robot:wrong@{HOST}:{secure.port}")
    for other in (trusting(authority, secure), wrong):
        with pytest.raises(UnusableSource, match="PENSTOCK_SOURCE_CREDENTIALS_FILE") as caught:
            await fetch_commit(f"{base}/lab/.git", None, other)
        assert "robot" not in str(caught.value)
        assert "wrong" not in str(caught.value)


async def test_a_token_goes_nowhere_else_after_a_redirect(secure: FixtureServer, authority: Authority) -> None:
    with fixture_server(tls=authority.server("other.test")) as other:
        other.pages["/w"] = b"there"
        secure.pages["/w"] = f"https://other.test:{other.port}/w"
        allowed = trusting(authority, secure, other, credentials=f"https://robot:secret@{HOST}:{secure.port}")
        assert await download(f"https://{HOST}:{secure.port}/w", allowed) == b"there"
        assert (secure.authorizations, other.authorizations) == (["Basic cm9ib3Q6c2VjcmV0"], [None])


async def test_no_token_is_stored_or_shown(
    harness: GatewayHarness,
    secure: FixtureServer,
    authority: Authority,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    secure.required_authorization = "Basic cm9ib3Q6czNjcjN0"
    commit = repository(tmp_path / "repositories" / "w", {"Snakefile": SNAKEFILE})
    listed = tmp_path / "credentials"
    listed.write_text(f"# of the lab\nhttps://robot:s3cr3t@{HOST}:{secure.port}/w\n")
    settings = {
        "source_hosts": (f"{HOST}:{secure.port}",),
        "source_allow_private": True,
        "source_ca_file": authority.file,
        "source_credentials_file": listed,
    }
    address = f"https://{HOST}:{secure.port}/w/.git"
    async with harness.serve(**settings) as client:
        response = await client.post("/jobs", json=submission(git=address))
        assert response.status_code == 201, response.text
        texts = [response.text, (await client.get(f"/jobs/{response.json()['id']}/events")).text]
        assert f"git+{address}@{commit}" in texts[1]
        secure.required_authorization = "Basic other"
        texts.append((await client.post("/jobs", json=submission(git=address))).text)
        texts.append(problem(await client.post("/jobs", json=submission(url=f"{address}/x")), 422)["detail"])
    out = capfd.readouterr()
    for text in (*texts, out.out, out.err, repr(source_hosts(GatewaySettings(**settings)))):  # type: ignore[arg-type]
        assert "s3cr3t" not in text
        assert "cm9ib3Q6" not in text


def test_the_longest_address_that_fits_counts() -> None:
    given = parse_credentials(
        "https://a:1@h.test\nhttps://b:2@h.test/lab # ours\n\nhttps://c%40d:3%2F@h.test:8443/x.git"
    )

    def name_for(address: str) -> str | None:
        header = header_for(urlsplit(address), given)
        return None if header is None else header.removeprefix("Basic ")

    assert name_for("https://h.test/other") == "YTox"
    assert name_for("https://h.test/lab/w.git") == name_for("https://h.test/lab.git") == "Yjoy"
    assert name_for("https://h.test/labor") == "YTox"
    assert name_for("https://h.test:8443/x/.git") == name_for("https://h.test:8443/x") == "Y0BkOjMv"
    assert name_for("http://h.test/lab") is None
    assert name_for("https://h.test.evil.test/lab") is None
    assert name_for("https://h.test/lab/%2e%2e/secret") == "YTox"


@pytest.mark.parametrize(
    "line", ["h.test", "https://h.test", "https://a@h.test", "ssh://a:b@h.test", "https://a:b@", "x:y"]
)
def test_a_wrong_credential_is_named_at_start_without_what_it_holds(tmp_path: Path, line: str) -> None:
    path = tmp_path / "credentials"
    path.write_text(f"\n{line}:hunter2\n")
    mistakes_found = mistakes(
        GatewaySettings(source_credentials_file=path, source_credentials=line, source_ca_file=path)
    )
    assert [mistake.partition(" ")[0] for mistake in mistakes_found] == [
        "PENSTOCK_SOURCE_CREDENTIALS",
        "PENSTOCK_SOURCE_CREDENTIALS_FILE",
        "PENSTOCK_SOURCE_CA_FILE",
    ]
    assert "line 1 " in mistakes_found[0]
    assert "line 2 " in mistakes_found[1]
    assert "hunter2" not in "".join(mistakes_found)
    missing = mistakes(GatewaySettings(source_credentials_file=tmp_path / "none"))
    assert missing[0].endswith("cannot be read: No such file or directory")


@pytest.mark.system
async def test_a_file_of_git_lfs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "repositories").mkdir()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    repository(tmp_path / "repositories" / "w", {"Snakefile": SNAKEFILE, "data/reads.bam": pointer})
    with (
        fixture_server(repositories=tmp_path / "repositories") as place,
        pytest.raises(UnusableSource, match=r"`data/reads.bam` in the repository is kept by Git LFS"),
    ):
        await fetch_commit(f"{place.url}/w/.git", None, near(place))


@pytest.mark.system
async def test_settings_may_name_files_and_folders_from_where_the_gateway_was_started(
    secure: FixtureServer, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository(tmp_path / "repositories" / "w", {"Snakefile": SNAKEFILE})
    monkeypatch.chdir(tmp_path)
    allowed = source_hosts(
        GatewaySettings(
            source_hosts=(f"{HOST}:{secure.port}",),
            source_allow_private=True,
            source_ca_file=authority.file.relative_to(tmp_path),
        )
    )
    address = f"https://{HOST}:{secure.port}/w/.git"
    async with repositories.fetch_commit(
        address, None, allowed, Spool(Path("state")), max_bytes=1 << 20, reserved=SNAKEMAKE_FOLDERS
    ) as found:
        assert found.id == commit


@pytest.fixture
def full() -> Generator[BinaryIO]:
    """A file on a disk that is full."""
    with Path("/dev/full").open("wb", buffering=0) as file:
        yield file


async def test_a_disk_that_is_full_is_no_fault_of_the_request(full: BinaryIO) -> None:
    with fixture_server() as place:
        place.pages["/w"] = b"x" * 100
        with pytest.raises(Unavailable, match="No space left on device"):
            await downloads.download(f"{place.url}/w", near(place), full, max_bytes=1000)
        with pytest.raises(Unavailable, match="No space left on device"):
            await fill(full, some(b"x"), 1000)


async def some(*chunks: bytes) -> AsyncGenerator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.system
async def test_a_closed_port_is_reported() -> None:
    with fixture_server() as gone:
        pass
    with pytest.raises(FetchFailed, match="nobody listens there"):
        await download(f"{gone.url}/w", near(gone))
    with pytest.raises(UnusableSource, match="cannot be read: unable to access '<address>'"):
        await fetch_commit(f"{gone.url}/w", None, near(gone))


@pytest.mark.parametrize(
    "address", ["ext::sh -c x", "ext::sh", "file::/etc", "file:///etc", "/etc", "git@h:w", "ssh://h/w"]
)
async def test_git_fetches_from_http_addresses_alone(address: str) -> None:
    with pytest.raises(FetchFailed, match="address"):
        await fetch_commit(address, None, SourceHosts(hosts=("h",), allows_private=True))


@pytest.mark.parametrize(
    ("url", "repository", "ref", "main"),
    [
        ("https://github.com/o/r/blob/v1/workflow/Snakefile", "https://github.com/o/r", "v1", "workflow/Snakefile"),
        ("https://github.com/o/r/blob/v1/a%20b/Snakefile#L3", "https://github.com/o/r", "v1", "a b/Snakefile"),
        ("https://github.com/o/r/tree/main", "https://github.com/o/r", "main", None),
        ("https://github.com/o/r", "https://github.com/o/r", None, None),
        ("https://github.com/o/r.git", "https://github.com/o/r.git", None, None),
        ("https://gitlab.com/g/s/r/-/blob/main/Snakefile?ref_type=heads", None, None, None),
        ("https://gitlab.com/g/s/r/-/blob/main/Snakefile", "https://gitlab.com/g/s/r", "main", "Snakefile"),
        ("https://codeberg.org/o/r/src/branch/main/a.smk", "https://codeberg.org/o/r", "main", "a.smk"),
        ("https://bitbucket.org/o/r/src/main/a.smk", "https://bitbucket.org/o/r", "main", "a.smk"),
        ("https://git.example.org/r.git", "https://git.example.org/r.git", None, None),
        ("https://raw.githubusercontent.com/o/r/main/Snakefile", None, None, None),
        ("https://github.com/o/r/archive/refs/tags/v1.tar.gz", None, None, None),
        ("https://files.example.org/o/r", None, None, None),
        ("https://[::1", None, None, None),
    ],
)
def test_pages_of_forges_are_repositories(url: str, repository: str | None, ref: str | None, main: str | None) -> None:
    found = as_repository(SubmittedSource(url=url))
    if repository is None:
        assert found is None
    else:
        assert found == SubmittedSource(git=repository, ref=ref, entrypoint=main)


@pytest.mark.system
async def test_the_page_of_a_main_file_is_its_repository_at_that_ref(tmp_path: Path) -> None:
    (tmp_path / "repositories" / "lab").mkdir(parents=True)
    folder = tmp_path / "repositories" / "lab" / "w"
    commit = repository(folder, {"workflow/main.smk": SNAKEFILE})
    git(folder, "tag", "v1")
    git(folder, "clone", "--quiet", "--bare", str(folder), str(tmp_path / "repositories" / "lab" / "bare"))
    with fixture_server(repositories=tmp_path / "repositories") as place:
        files, origin = await stage_source(near(place), url=f"{place.url}/lab/bare/blob/v1/workflow/main.smk")
        assert (files, origin) == ({"workflow/main.smk": SNAKEFILE.encode()}, f"git+{place.url}/lab/bare@{commit}")
        with pytest.raises(InvalidSource, match="page of a folder"):
            await stage_source(near(place), url=f"{place.url}/lab/bare/tree/v1/workflow")
        place.pages["/w.tgz"] = gzipped({"w/sub/main.smk": SNAKEFILE.encode()})
        files, _ = await stage_source(near(place), url=f"{place.url}/w.tgz#sub/main.smk")
        assert list(files) == ["sub/main.smk"]
