"""`POST /jobs` as a form, with the workflow's files beside the submission."""

import base64
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx
import msgspec
import pytest
from tests.gateway.gateway_harness import GatewayHarness, pointers, problem, submission
from tests.sources.test_archives import gzipped, tarred, zipped

from penstock_ports import BlobsUnavailable, Conflict, LogFull, Unavailable
from penstock_schemas.jobs import MAX_LEFT_OUT_CHARS, SourceManifest

FILES = {
    "Snakefile": b"rule all: input: []\n",
    "scripts/a.py": b"#!/usr/bin/env python\n",
    "data/reads.fq": b"\0" * 3000,
}


ARCHIVE = zipped({"Snakefile": FILES["Snakefile"]})


def form(files: dict[str, bytes] | None = None, **changes: Any) -> list[tuple[str, Any]]:
    """The parts of a form, for httpx."""
    job = json.dumps(submission(**changes))
    parts: list[tuple[str, Any]] = [("job", (None, job, "application/json"))]
    return parts + [("files", file) for file in (FILES if files is None else files).items()]


async def test_the_files_of_a_form_become_the_source_of_a_job(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    response = await client.post("/jobs", files=form(engine_parameters={"keep-going": None, "retries": "2"}))

    assert response.status_code == 201, response.text
    job_id = response.json()["id"]
    (event,) = (await client.get(f"/jobs/{job_id}/events")).json()["events"]
    assert event["data"]["spec"]["source"]["kind"] == "files"
    assert event["data"]["spec"]["source"]["location"] == f"jobs/{job_id}/source.json"
    assert event["data"]["spec"]["engine_parameters"] == {"keep-going": None, "retries": "2"}
    manifest = msgspec.json.decode(await harness.blobs.get_bytes(f"jobs/{job_id}/source.json"), type=SourceManifest)
    assert {file.path: file.is_executable for file in manifest.files} == {
        "Snakefile": False,
        "data/reads.fq": False,
        "scripts/a.py": True,
    }
    for file in manifest.files:
        assert await harness.blobs.get_bytes(file.key) == FILES[file.path]


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        pytest.param([*form()][1:], "job", id="no job first"),
        pytest.param([*form()[1:], form()[0]], "job", id="the job last"),
        pytest.param([*form(), ("more", ("x", b""))], "more", id="another part"),
        pytest.param([form()[0], ("archive", ("x.zip", b"PK\3\4"))], "archive", id="a broken archive"),
        pytest.param([form()[0], ("archive", ("x", b"hello"))], "archive", id="no archive"),
        pytest.param([form()[0], *[("archive", ("x", ARCHIVE))] * 2], "archive", id="two archives"),
        pytest.param([form()[0], ("archive", ("x", zipped({"../a": b""})))], "archive", id="an archive that leads out"),
        pytest.param([form()[0], ("archive", ("x", zipped({"a": b""})))], "#/source/files", id="no Snakefile in it"),
        pytest.param([*form(), ("archive", ("x", ARCHIVE))], "archive", id="an archive with a file that came before"),
        pytest.param(
            [form()[0], ("archive", ("x", ARCHIVE)), *form()[1:]], "files/Snakefile", id="a file of the archive"
        ),
        pytest.param([*form(pipeline_version="1")], "#/pipeline_version", id="a version with its files"),
        pytest.param([*form(), ("files", (None, b""))], "files", id="a file without a name"),
        pytest.param(form({"../x": b""}), "files/../x", id="a path that leads out"),
        pytest.param([*form(), ("files", ("Snakefile", b""))], "files/Snakefile", id="a file twice"),
        pytest.param(form({"a": b""}), "#/source/files", id="no Snakefile"),
        pytest.param(form(source={"path": "/x"}), "#/source", id="two sources"),
        pytest.param(form(source={"entrypoint": "b.smk"}), "#/source/entrypoint", id="a main file that is not there"),
        pytest.param(form(engine_parameters={"profile": "x"}), "#/engine_parameters/profile", id="a profile"),
        pytest.param(form(engine_parameters={"cores": "x"}), "#/engine_parameters/cores", id="no number of cores"),
        pytest.param(form(parameters=3), "#/parameters", id="a wrong submission"),
    ],
)
async def test_a_form_that_is_wrong_is_refused_and_leaves_nothing(
    harness: GatewayHarness, client: httpx.AsyncClient, parts: list[tuple[str, Any]], pointer: str
) -> None:
    response = await client.post("/jobs", files=parts)

    assert pointers(response) == {pointer}
    assert await harness.blobs.list("") == ()
    assert (await client.get("/jobs")).json()["total"] == 0


@pytest.mark.parametrize("pack", [zipped, tarred, gzipped])
async def test_an_archive_is_unpacked_file_by_file(
    harness: GatewayHarness, client: httpx.AsyncClient, pack: Callable[[dict[str, bytes]], bytes]
) -> None:
    archive = pack({f"my-workflow/{path}": content for path, content in FILES.items()})
    parts = [form()[0], ("archive", ("w", archive)), ("files", ("extra/params.json", b"{}"))]
    first = await client.post("/jobs", files=parts, headers={"idempotency-key": "k"})

    assert first.status_code == 201, first.text
    (event,) = (await client.get(f"/jobs/{first.json()['id']}/events")).json()["events"]
    source = event["data"]["spec"]["source"]
    assert source["kind"] == "files"
    manifest = msgspec.json.decode(await harness.blobs.get_bytes(source["location"]), type=SourceManifest)
    assert {file.path for file in manifest.files} == {*FILES, "extra/params.json"}
    assert not any(file.is_executable for file in manifest.files), "the archive has the mode of every file"
    for file in manifest.files:
        assert await harness.blobs.get_bytes(file.key) == {**FILES, "extra/params.json": b"{}"}[file.path]

    kept = await harness.blobs.list("")
    again = await client.post("/jobs", files=parts, headers={"idempotency-key": "k"})
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert await harness.blobs.list("") == kept


async def test_an_archive_holds_no_more_than_a_form_may_have(harness: GatewayHarness) -> None:
    async with harness.serve(max_upload_bytes=100_000) as client:
        for archive in (zipped({"Snakefile": bytes(200_000)}), gzipped({"Snakefile": bytes(200_000)})):
            response = await client.post("/jobs", files=[form()[0], ("archive", ("w", archive))])
            assert pointers(response) == {"archive"}
            assert "more than 100,000 bytes (reached at `Snakefile`)" in response.text
    assert await harness.blobs.list("") == ()


async def test_a_form_that_is_too_large_is_refused_and_leaves_nothing(harness: GatewayHarness) -> None:
    async with harness.serve(max_upload_bytes=100_000) as client:
        problem(await client.post("/jobs", files=form({"Snakefile": b"", "big": b"x" * 200_000})), 413)

        async def unannounced() -> AsyncGenerator[bytes, None]:
            request = client.build_request("POST", "/jobs", files=form({"Snakefile": b"", "big": b"x" * 200_000}))
            yield request.read()

        content_type = client.build_request("POST", "/jobs", files=form()).headers["content-type"]
        boundary = {"content-type": content_type}
        assert (await client.post("/jobs", content=unannounced(), headers=boundary)).status_code in (413, 422)
    assert await harness.blobs.list("") == ()


async def test_a_form_that_ends_too_early_leaves_nothing(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    request = client.build_request("POST", "/jobs", files=form())
    body = request.read()
    headers = {"content-type": request.headers["content-type"]}
    for end in (200, len(body) // 2, len(body) - 4):
        problem(await client.post("/jobs", content=body[:end], headers=headers), 422)
    assert await harness.blobs.list("") == ()


async def test_a_repeated_form_finds_its_job_and_stores_nothing_more(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    headers = {"idempotency-key": "once"}
    first = await client.post("/jobs", files=form(), headers=headers)
    kept = await harness.blobs.list("")
    again = await client.post("/jobs", files=[form()[0], *reversed(form()[1:])], headers=headers)
    other = await client.post("/jobs", files=form({**FILES, "Snakefile": b"another"}), headers=headers)

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert again.json()["id"] == first.json()["id"]
    assert await harness.blobs.list("") == kept


@pytest.mark.parametrize(
    ("error", "is_kept"), [(Conflict("moved"), False), (LogFull("full"), False), (Unavailable("no answer"), True)]
)
async def test_files_go_unless_the_log_may_name_them(
    harness: GatewayHarness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, error: Exception, is_kept: bool
) -> None:
    async def refuse(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(harness.cluster.log, "append", refuse)
    problem(await client.post("/jobs", files=form()), 503)
    assert bool(await harness.blobs.list("")) is is_kept


async def test_a_store_that_takes_nothing_is_named_and_nothing_is_queued(
    harness: GatewayHarness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*args: object, **kwargs: object) -> None:
        raise BlobsUnavailable("blob jobs/1/source/Snakefile: no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(harness.blobs, "put_stream", fail)
        body = problem(await client.post("/jobs", files=form()), 503)
    assert body["type"].endswith("#blob-store-unavailable")
    assert "no space left" in body["detail"]
    assert (await client.get("/jobs")).json()["total"] == 0


async def test_engine_parameters_are_checked_without_a_form_too(client: httpx.AsyncClient) -> None:
    response = await client.post("/jobs", json=submission(engine_parameters={"jobs": "2"}))
    assert pointers(response) == {"#/engine_parameters/jobs"}  # the mock engine does not take it


def with_manifest(files: dict[str, Any], *parts: tuple[str, Any], source: dict[str, Any] | None = None) -> list[Any]:
    """The parts of a form that has a manifest."""
    about = ("manifest", (None, json.dumps({"files": files}), "application/json"))
    return [form(**({} if source is None else {"source": source}))[0], about, *parts]


SNAKEFILE = ("files", ("Snakefile", FILES["Snakefile"]))


async def test_a_manifest_describes_what_file_names_cannot(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    about = {
        "Snakefile": {"mtime_ns": 1_600_000_000_123_456_789},
        "tool": {"executable": True},
        "%1": {"path_base64": base64.b64encode(b"odd\xff\n").decode(), "mtime_ns": -1},
        "latest": {"link": "data", "mtime_ns": 5},
        "data": {"folder": True},
    }
    parts = with_manifest(about, SNAKEFILE, ("files", ("%1", b"x")), ("files", ("tool", b"y")), ("files", ("z", b"z")))
    response = await client.post("/jobs", files=parts)
    assert response.status_code == 201, response.text
    raw = await harness.blobs.get_bytes(f"jobs/{response.json()['id']}/source.json")
    found = {file.path: file for file in msgspec.json.decode(raw, type=SourceManifest).files}
    assert found["Snakefile"].mtime_ns == 1_600_000_000_123_456_789
    assert found["tool"].is_executable
    assert (found["latest"].link, found["latest"].mtime_ns) == ("data", 5)
    assert found["data"].is_folder
    assert found["z"].mtime_ns is None
    assert [item.mtime_ns for item in found.values() if item.path_base64] == [-1]


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        pytest.param(with_manifest({"x": {"mtime_ns": 1}}, SNAKEFILE), "#/files/x", id="a file that does not come"),
        pytest.param([*form(), with_manifest({})[1]], "manifest", id="after the files"),
        pytest.param([*with_manifest({}), with_manifest({})[1], SNAKEFILE], "manifest", id="twice"),
        pytest.param(with_manifest({"x": {"text": "y"}}, SNAKEFILE), "#/files/x", id="with content"),
        pytest.param(with_manifest({"x": {"link": "/etc"}}, SNAKEFILE), "x", id="an absolute link"),
        pytest.param(with_manifest({"x": {"link": ".."}}, SNAKEFILE), "x", id="a link that leads out"),
        pytest.param(with_manifest({"x": {"link": "y"}}, ("files", ("x/z", b""))), "files/x/z", id="below a link"),
        pytest.param(with_manifest({"../x": {"folder": True}}, SNAKEFILE), "#/files/..~1x", id="a path that leads out"),
        pytest.param(with_manifest({"x": {"mtime_ns": 2**63}}, SNAKEFILE), "#/files/x/mtime_ns", id="a time too far"),
        pytest.param(with_manifest({"Snakefile": {"link": "x"}}, SNAKEFILE), "files/Snakefile", id="a link and a file"),
    ],
)
async def test_a_manifest_that_is_wrong_is_refused_and_leaves_nothing(
    harness: GatewayHarness, client: httpx.AsyncClient, parts: list[tuple[str, Any]], pointer: str
) -> None:
    response = await client.post("/jobs", files=parts)
    assert pointers(response) == {pointer}
    assert await harness.blobs.list("") == ()


async def test_other_times_are_no_other_request(client: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": "once"}

    def form_at(time: int) -> dict[str, Any]:
        return {"files": with_manifest({"Snakefile": {"mtime_ns": time}}, SNAKEFILE)}

    def json_at(time: int) -> dict[str, Any]:
        return {"json": submission(source={"files": {"Snakefile": {"text": "", "mtime_ns": time}}})}

    for send in (form_at, json_at):
        headers["idempotency-key"] += "x"
        first, again = [await client.post("/jobs", headers=headers, **send(time)) for time in (1, 2)]
        assert (first.status_code, again.status_code) == (201, 200), again.text


async def test_what_was_left_out_stays_with_the_job(client: httpx.AsyncClient) -> None:
    left_out = [{"path": "data/\x1b[2J", "reason": "rule\n" * 100, "files": 12, "size_bytes": 7}]
    source: dict[str, Any] = {"left_out": left_out, "entrypoint": "Snakefile"}
    requests: list[dict[str, Any]] = [
        {"files": with_manifest({}, SNAKEFILE, source=source)},
        {"json": submission(source={"files": {"Snakefile": ""}, **source})},
    ]
    for sent in requests:
        made = await client.post("/jobs", **sent)
        (entry,) = (await client.get(f"/jobs/{made.json()['id']}")).json()["left_out"]
        assert (entry["path"], entry["files"], entry["size_bytes"]) == ("data/?[2J", 12, 7)
        assert len(entry["reason"]) == MAX_LEFT_OUT_CHARS
    many = submission(source={"files": {"Snakefile": ""}, "left_out": left_out * 41})
    assert pointers(await client.post("/jobs", json=many)) == {"#/source/left_out"}
