"""Files arrive as they are, by every way in: out of a folder, through the gateway and the runner, into another.

A tree that went in comes out: names, contents, links, execute bits, empty folders, and times to the nanosecond where
the way in has room for them.
"""

import asyncio
import io
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.engine_folders import SNAKEMAKE_FOLDERS
from tests.gateway.gateway_harness import GatewayHarness
from tests.sources.http_fixture_server import fixture_server, git
from tests.system.trees import SNAKEFILE, Tree, make, read, trees

from penstock.client.forms import UploadForm
from penstock.upload.bundles import pack
from penstock.upload.folders import Chosen, choose
from penstock_domain import aggregates
from penstock_domain.job.evolve import fold
from penstock_gateway.catalogue.folder import read_workflow
from penstock_schemas.api import JobSubmission, SubmittedSource
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import Source, SourceKind
from penstock_sources.egress.addresses import SourceHosts
from penstock_sources.spool import Spool
from penstock_sources.staging.local_staging import LocalStaging
from penstock_sources.staging.uploads import Uploads
from penstock_sources.workspace.sources import Sources
from penstock_testing.memory import MemoryBlobs

MAX_BYTES = 1 << 26
Way = Callable[[Path, Path], Coroutine[Any, Any, Path]]
"""Takes a folder and a place to work in; returns where the folder arrived."""
few = settings(max_examples=12, deadline=None, phases=(Phase.generate,), suppress_health_check=(HealthCheck.too_slow,))


async def staged(blobs: Any, source: Source | None, place: Path, roots: Sequence[Path] = ()) -> Path:
    await Sources(blobs, roots, reserved=SNAKEMAKE_FOLDERS).prepare(source, place / "work")
    return place / "work"


async def submitted(place: Path, send: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]) -> Path:
    """Send a request to a gateway, and stage the source of the job that it creates."""
    harness = GatewayHarness(place / "state")
    async with harness.serve(source_roots=(place.parent.parent,)) as client:
        answer = await send(client)
    assert answer.is_success, answer.text
    job_id = JobId(answer.json().get("id") or answer.json()["run_id"])
    job = fold(await harness.cluster.log.load(aggregates.job(DEFAULT_TENANT, job_id)))
    assert job is not None
    return await staged(harness.blobs, job.spec.source, place, [place.parent.parent])


def chosen(folder: Path) -> Chosen:
    """Choose all of a folder, regardless of rules for its names."""
    return choose(folder, include=["*"])


def submission(source: SubmittedSource) -> bytes:
    return msgspec.json.encode(JobSubmission(pipeline_name="x", source=source))


async def by_command_line(folder: Path, place: Path) -> Path:
    body = submission(pack(chosen(folder)).source)
    headers = {"content-type": "application/json"}
    return await submitted(place, lambda client: client.post("/jobs", content=body, headers=headers))


async def by_form(folder: Path, place: Path) -> Path:
    found = chosen(folder)
    form = UploadForm(JobSubmission(pipeline_name="x", source=SubmittedSource(entrypoint=found.main)), found.entries)
    body, headers = b"".join(form), {"content-type": form.content_type}
    return await submitted(place, lambda client: client.post("/jobs", content=body, headers=headers))


async def in_place(folder: Path, place: Path) -> Path:
    source = Source(kind=SourceKind.PATH, location=str(folder))
    return await staged(MemoryBlobs(), source, place, [folder.parent])


async def by_catalogue(folder: Path, place: Path) -> Path:
    blobs = MemoryBlobs()
    async with Uploads(blobs).begin("x") as upload:
        await read_workflow(folder, MAX_BYTES).stage(upload)
        source = await upload.seal(main="Snakefile")
        upload.is_kept = True
    return await staged(blobs, source, place)


async def by_tar(folder: Path, place: Path) -> Path:
    return await by_archive(tarred(folder), place)


async def by_attached_archive(folder: Path, place: Path) -> Path:
    data = {"workflow_type": "SMK", "workflow_type_version": "9", "workflow_url": "x.tar"}
    files = [("workflow_attachment", ("x.tar", tarred(folder)))]
    return await submitted(place, lambda client: client.post("/ga4gh/wes/v1/runs", data=data, files=files))


async def by_zip(folder: Path, place: Path) -> Path:
    return await by_archive(zipped(folder), place)


async def by_archive(archive: bytes, place: Path) -> Path:
    files = {"job": (None, b'{"pipeline_name": "x"}', "application/json"), "archive": ("x", archive, "application/x")}
    return await submitted(place, lambda client: client.post("/jobs", files=files))


def tarred(folder: Path) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            info = archive.gettarinfo(path, str(path.relative_to(folder)))
            nanoseconds = path.lstat().st_mtime_ns
            info.pax_headers = {"mtime": f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09}"}
            archive.addfile(info, io.BytesIO(path.read_bytes()) if info.isreg() else None)
    return raw.getvalue()


def zipped(folder: Path) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for path in sorted(folder.rglob("*")):
            status = path.lstat()
            is_folder = path.is_dir() and not path.is_symlink()
            info = zipfile.ZipInfo(str(path.relative_to(folder)) + ("/" if is_folder else ""))
            info.external_attr = status.st_mode << 16
            seconds = (status.st_mtime_ns // 10**9).to_bytes(4, "little", signed=True)
            info.extra = b"UT\5\0\1" + seconds
            content = b"" if is_folder else _bytes_of(path)
            archive.writestr(info, content)
    return raw.getvalue()


def _bytes_of(path: Path) -> bytes:
    """Return what a zip holds of a file or a link; a `Path` would tidy the text of a link."""
    return os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()  # noqa: PTH115


def carried(way: Way, tree: dict[tuple[str, ...], Any]) -> tuple[Tree, Tree]:
    """Return what a folder holds, and what arrives of it."""
    with tempfile.TemporaryDirectory(prefix="fidelity-") as top:
        folder, place = Path(top, "in", "flow"), Path(top, "out")
        place.mkdir()
        folder.parent.mkdir()
        make(folder, tree)
        arrived = asyncio.run(way(folder, place))
        return read(folder), read(arrived)


@pytest.mark.parametrize("way", [by_command_line, by_form, by_tar, by_attached_archive, by_catalogue, in_place])
@few
@given(tree=trees())
def test_a_tree_arrives_as_it_is(way: Way, tree: dict[tuple[str, ...], Any]) -> None:
    sent, arrived = carried(way, tree)
    assert arrived == sent


@few
@given(tree=trees(any_bytes=False, has_sub_seconds=False))
def test_a_zip_arrives_as_it_is(tree: dict[tuple[str, ...], Any]) -> None:
    sent, arrived = carried(by_zip, tree)
    assert arrived == sent


def committed(folder: Path) -> int:
    """Commit a folder, and return the time of the commit in nanoseconds."""
    git(folder, "init", "--quiet")
    git(folder, "add", "--force", "--all", ".")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "x")
    return int(git(folder, "log", "-1", "--format=%ct")) * 1_000_000_000


async def from_repository(address: str, port: int, place: Path) -> Path:
    allowed = SourceHosts(hosts=(f"127.0.0.1:{port}",), allows_private=True)
    blobs = MemoryBlobs()
    async with Uploads(blobs).begin("x") as upload:
        staging = LocalStaging(allowed, Spool(place / "spool"), max_bytes=MAX_BYTES)
        await staging.stage(SubmittedSource(git=address), upload, engine="snakemake")
        source = await upload.seal(main=None)
        upload.is_kept = True
    return await staged(blobs, source, place)


@few
@given(tree=trees())
def test_a_commit_arrives_as_it_is_with_its_own_time(tree: dict[tuple[str, ...], Any]) -> None:
    with tempfile.TemporaryDirectory(prefix="fidelity-") as top:
        folder, place = Path(top, "repositories", "flow"), Path(top, "out")
        place.mkdir()
        make(folder, tree)
        time_ns = committed(folder)
        with fixture_server(repositories=folder.parent) as server:
            arrived = asyncio.run(from_repository(f"{server.url}/flow/.git", server.port, place))
        shutil.rmtree(folder / ".git")
        sent = {path: item for path, item in read(folder).items() if item[0] != "folder"}
        found = {path: item for path, item in read(arrived).items() if item[0] != "folder"}
        assert {path: item[:-1] for path, item in found.items()} == {path: item[:-1] for path, item in sent.items()}
        assert {item[-1] for item in found.values()} == {time_ns}


@pytest.mark.parametrize("is_form", [False, True])
def test_files_without_times_all_get_the_same(tmp_path: Path, is_form: bool) -> None:
    files = {"Snakefile": SNAKEFILE, "out/old": "x", "data/a b": "y"}
    body: dict[str, Any] = {"json": {"pipeline_name": "x", "source": {"files": files}}}
    url = "/jobs"
    if is_form:
        url = "/ga4gh/wes/v1/runs"
        data = {"workflow_type": "SMK", "workflow_type_version": "9", "workflow_url": "Snakefile"}
        parts = [("workflow_attachment", (path, content.encode())) for path, content in files.items()]
        body = {"data": data, "files": parts}
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    arrived = asyncio.run(submitted(place, lambda client: client.post(url, **body)))
    assert len({one_path.lstat().st_mtime_ns for one_path in arrived.rglob("*")}) == 1
    assert {path for path, item in read(arrived).items() if item[0] == "file"} == set(files)
