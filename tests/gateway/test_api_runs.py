"""`/jobs/{id}/...` over HTTP: events, tasks, logs, outputs."""

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import pytest
from tests.gateway.gateway_harness import GatewayHarness, Json, pointers, problem, submit

from penstock_domain import aggregates
from penstock_domain.blob_keys import software_key
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.outputs import (
    OutputFile,
    OutputKind,
    OutputManifest,
    ReportItem,
    TaskFile,
    UndeclaredFile,
    UnstoredFile,
)
from penstock_schemas.software import Package, ProvidedItem, SoftwareManifest
from penstock_schemas.views import LogChunk, LogStream, Task, TaskKind, TaskState
from penstock_schemas.wire import encode

TIME = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def job_id(client: httpx.AsyncClient) -> JobId:
    return JobId((await submit(client))["id"])


async def write_log(harness: GatewayHarness, job_id: JobId, *texts: str, stream: LogStream = LogStream.STDERR) -> None:
    await harness.cluster.logs.append(
        DEFAULT_TENANT,
        [LogChunk(job_id=job_id, attempt=1, stream=stream, text=text, time=TIME, task_id="t1") for text in texts],
    )


async def get(client: httpx.AsyncClient, address: str) -> Json:
    response = await client.get(address)
    assert response.status_code == 200, response.text
    body: Json = response.json()
    return body


async def test_events_are_those_of_the_log(harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId) -> None:
    await harness.start(job_id)
    await harness.end(job_id)

    history = await get(client, f"/jobs/{job_id}/events")
    stored = await harness.cluster.log.load(aggregates.job(DEFAULT_TENANT, job_id))
    assert [event["type"] for event in history["events"]] == [
        "JobSubmitted",
        "JobAssigned",
        "AttemptStarted",
        "JobCompleted",
    ]
    for event, item in zip(history["events"], stored, strict=True):
        assert (event["seq"], event["hash"], event["id"]) == (item.seq, item.hash, item.event.id)
        assert event["data"]["type"] == event["type"]
    assert [event["previous"] for event in history["events"][1:]] == [event["hash"] for event in history["events"][:-1]]
    assert (history["next_after"], history["done"]) == (stored[-1].seq, True)


async def test_events_come_in_pages(harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId) -> None:
    await harness.start(job_id)
    await harness.end(job_id)

    first = await get(client, f"/jobs/{job_id}/events?limit=3")
    rest = await get(client, f"/jobs/{job_id}/events?after={first['next_after']}")
    assert (len(first["events"]), first["done"]) == (3, False)
    assert (len(rest["events"]), rest["done"]) == (1, True)


async def test_a_long_poll_ends_with_the_next_event(
    harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId
) -> None:
    answers: list[Json] = []

    async def wait() -> None:
        answers.append(await get(client, f"/jobs/{job_id}/events?after=1&wait=30"))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await client.post(f"/jobs/{job_id}/cancel")

    assert [event["type"] for event in answers[0]["events"]] == ["JobCancelled"]
    assert answers[0]["done"]


async def test_a_long_poll_ends_when_the_server_does(
    harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId
) -> None:
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(get, client, f"/jobs/{job_id}/events?after=1&wait=60")
            group.start_soon(get, client, f"/jobs/{job_id}/logs?wait=60")
            await anyio.wait_all_tasks_blocked()
            harness.gateway.drain()

    assert (await client.get("/readyz")).json()["reasons"] == ["the server is shutting down"]


async def test_a_long_poll_without_news_ends_in_time(client: httpx.AsyncClient, job_id: JobId) -> None:
    history = await get(client, f"/jobs/{job_id}/events?after=1&wait=0.05")

    assert history == {"events": [], "next_after": 1, "done": False}


async def test_tasks_come_in_pages_with_their_counts(
    harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId
) -> None:
    await harness.start(job_id)
    tasks = [Task(id=f"t{n}", job_id=job_id, attempt=1, name="align", state=TaskState.WAITING) for n in range(5)]
    await harness.cluster.tasks.put(DEFAULT_TENANT, job_id, tasks, TaskCounts(total=5, running=1))

    await get(client, f"/jobs/{job_id}?min_seq={await harness.project()}")
    first = await get(client, f"/jobs/{job_id}/tasks?limit=3")
    rest = await get(client, f"/jobs/{job_id}/tasks?after={first['next_after']}")
    assert [task["id"] for task in first["tasks"] + rest["tasks"]] == ["t0", "t1", "t2", "t3", "t4"]
    assert first["counts"] == {"total": 5, "done": 0, "running": 1, "failed": 0}
    assert (rest["next_after"], rest["done"]) == (None, False)


async def test_a_log_is_followed_while_the_job_runs(
    harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId
) -> None:
    await harness.start(job_id)
    await write_log(harness, job_id, "one\n", "two\n")
    await write_log(harness, job_id, "three\n", stream=LogStream.STDOUT)

    first = await get(client, f"/jobs/{job_id}/logs?limit=2")
    rest = await get(client, f"/jobs/{job_id}/logs?after={first['next_after']}&wait=5")
    assert [entry["text"] for entry in first["entries"]] == ["one\n", "two\n"]
    assert [(entry["text"], entry["stream"], entry["task_id"]) for entry in rest["entries"]] == [
        ("three\n", "stdout", "t1")
    ]
    assert (rest["source"], rest["done"]) == ("live", False)
    one_stream = await get(client, f"/jobs/{job_id}/logs?stream=stdout")
    assert [entry["text"] for entry in one_stream["entries"]] == ["three\n"]
    assert (await client.get(f"/jobs/{job_id}/logs?format=text")).text == "one\ntwo\nthree\n"


async def test_a_forgotten_tail_is_read_from_the_archive(
    harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId
) -> None:
    text = "".join(f"line {number}\n" for number in range(20_000))
    await harness.blobs.put_bytes(f"jobs/{job_id}/1/logs/engine.log", text.encode())
    await harness.start(job_id)
    await harness.end(job_id)
    await client.get(f"/jobs/{job_id}?min_seq={await harness.project()}")

    page = await get(client, f"/jobs/{job_id}/logs?limit=1")
    entries = page["entries"]
    while not page["done"]:
        page = await get(client, f"/jobs/{job_id}/logs?source=archive&limit=1&after={page['next_after']}")
        entries += page["entries"]
    assert "".join(entry["text"] for entry in entries) == text
    assert all(entry["text"].endswith("\n") for entry in entries)
    assert len(entries) > 2
    whole = await client.get(f"/jobs/{job_id}/logs?format=text")
    assert whole.text == text
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    part = await client.get(f"/jobs/{job_id}/logs?format=text", headers={"range": "bytes=-6"})
    assert (part.status_code, part.text) == (206, text[-6:])


async def test_the_two_streams_of_a_log_are_read_apart_from_the_archive(
    harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId
) -> None:
    for name, content in (("log", b"o1\ne1\n"), ("stdout", b"o1\n"), ("stderr", b"e1\n")):
        await harness.blobs.put_bytes(f"jobs/{job_id}/1/logs/engine.{name}", content)
    await harness.start(job_id)
    await harness.end(job_id)
    await client.get(f"/jobs/{job_id}?min_seq={await harness.project()}")

    for streams, text in (
        ("", "o1\ne1\n"),
        ("&stream=workflow", "o1\n"),
        ("&stream=engine", "e1\n"),
        ("&stream=workflow,engine", "o1\ne1\n"),
        ("&stream=stdout", ""),
    ):
        page = await get(client, f"/jobs/{job_id}/logs?limit=9{streams}")
        assert "".join(entry["text"] for entry in page["entries"]) == text
        assert page["done"]
    assert (await client.get(f"/jobs/{job_id}/logs?format=text&stream=workflow")).text == "o1\n"
    assert (await client.get(f"/jobs/{job_id}/logs?format=text")).text == "o1\ne1\n"

    digests = {"engine.stdout": hashlib.sha256(b"o1\n").hexdigest(), "engine.log": "0" * 64}
    await harness.blobs.put_bytes(f"jobs/{job_id}/1/logs/engine.json", json.dumps(digests).encode())
    part = await client.get(f"/jobs/{job_id}/logs?format=text&stream=workflow", headers={"range": "bytes=1-"})
    expected = base64.b64encode(hashlib.sha256(b"o1\n").digest()).decode()
    assert (part.text, part.headers["repr-digest"]) == ("1\n", f"sha-256=:{expected}:")
    assert (await client.get(f"/jobs/{job_id}/logs?format=text")).text == "", "it is not what was stored"


async def test_what_a_task_wrote(harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId) -> None:
    await harness.start(job_id)
    await harness.end(job_id)
    await client.get(f"/jobs/{job_id}?min_seq={await harness.project()}")
    await harness.blobs.put_bytes(f"jobs/{job_id}/1/logs/tasks/t1.stderr", "größer\n".encode())
    await harness.blobs.put_bytes("elsewhere", b"out")
    known = Task(id="t1", job_id=job_id, attempt=1, name="a", state=TaskState.COMPLETED, stdout_key="elsewhere")
    running = Task(id="t2", job_id=job_id, attempt=1, name="a", state=TaskState.RUNNING)
    await harness.cluster.tasks.put(DEFAULT_TENANT, job_id, [known, running], TaskCounts())

    assert (await client.get(f"/jobs/{job_id}/tasks/t1/stderr")).text == "größer\n"
    assert (await client.get(f"/jobs/{job_id}/tasks/t1/stdout")).text == "out"
    assert "running" in problem(await client.get(f"/jobs/{job_id}/tasks/t2/stdout"), 404)["detail"]
    assert "not found" in problem(await client.get(f"/jobs/{job_id}/tasks/t3/stdout"), 404)["detail"]
    problem(await client.get(f"/jobs/{job_id}/tasks/t1/stdin"), 404)
    assert pointers(await client.get(f"/jobs/{job_id}/tasks/%2e%2e/stdout")) == {"task_id"}


PATHS = ["results/S001.vcf", 'a b/ünï "q".txt', "page.html", "x.tar.gz", "empty"]


@pytest.fixture
async def outputs(harness: GatewayHarness, job_id: JobId) -> dict[str, bytes]:
    contents = {path: f"content of {path}".encode() for path in PATHS} | {"empty": b""}
    files: list[OutputFile] = []
    for path, content in contents.items():
        key = f"jobs/{job_id}/outputs/{path}"
        await harness.blobs.put_bytes(key, content)
        files.append(
            OutputFile(path=path, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), key=key)
        )
    manifest = OutputManifest(job_id=job_id, attempt=1, files=tuple(files))
    await harness.blobs.put_bytes(f"jobs/{job_id}/outputs.json", encode(manifest))
    return contents


async def test_what_was_not_stored_is_listed_beside_what_was(
    harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId
) -> None:
    key = f"jobs/{job_id}/outputs/logs/a.log"
    await harness.blobs.put_bytes(key, b"log")
    log = OutputFile(
        path="logs/a.log", size_bytes=3, sha256=hashlib.sha256(b"log").hexdigest(), key=key, kind=OutputKind.LOG
    )
    manifest = OutputManifest(
        job_id=job_id,
        attempt=1,
        files=(log,),
        not_stored=(UnstoredFile(path="pipe", reason="it is a FIFO"),),
        not_stored_count=2_000,
        undeclared=(UndeclaredFile(path="side.csv", size_bytes=7),),
        undeclared_count=1,
        undeclared_bytes=7,
    )
    await harness.blobs.put_bytes(f"jobs/{job_id}/outputs.json", encode(manifest))

    listed = await get(client, f"/jobs/{job_id}/outputs")

    assert [(file["path"], file["kind"]) for file in listed["files"]] == [("logs/a.log", "log")]
    assert (await client.get(listed["files"][0]["url"])).content == b"log"
    assert listed["not_stored"] == [{"path": "pipe", "reason": "it is a FIFO"}]
    assert listed["not_stored_count"] == 2_000
    assert listed["undeclared"] == [{"path": "side.csv", "size_bytes": 7}]
    assert (listed["undeclared_count"], listed["undeclared_bytes"]) == (1, 7)


async def test_log_files_of_a_task_are_read(harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId) -> None:
    await harness.start(job_id)
    files = (
        TaskFile(path="logs/a b.log", kind=OutputKind.LOG, size_bytes=5, key="a-key", sha256=sha256(b"FATAL")),
        TaskFile(path="empty.log", kind=OutputKind.LOG, size_bytes=0),
        TaskFile(path="large.log", kind=OutputKind.LOG, size_bytes=1 << 40),
    )
    task = Task(id="t", job_id=job_id, attempt=1, name="align", state=TaskState.FAILED, files=files)
    await harness.cluster.tasks.put(DEFAULT_TENANT, job_id, [task], TaskCounts(total=1, failed=1))
    await harness.blobs.put_bytes("a-key", b"FATAL")

    [listed] = (await get(client, f"/jobs/{job_id}/tasks"))["tasks"]
    assert [(file["path"], file["kind"], file["size_bytes"]) for file in listed["files"]] == [
        ("logs/a b.log", "log", 5),
        ("empty.log", "log", 0),
        ("large.log", "log", 1 << 40),
    ]
    address = f"/jobs/{job_id}/tasks/t/files"
    found = await client.get(f"{address}/logs/a%20b.log")
    assert (found.status_code, found.text) == (200, "FATAL")
    assert found.headers["content-type"].startswith("text/plain")
    assert found.headers["x-content-type-options"] == "nosniff"
    assert (await client.get(f"{address}/logs/a%20b.log", headers={"range": "bytes=1-2"})).text == "AT"
    assert (await client.get(f"{address}/empty.log")).text == ""
    problem(await client.get(f"{address}/other.log"), 404)
    problem(await client.get(f"/jobs/{job_id}/tasks/u/files/logs/a%20b.log"), 404)
    not_yet = problem(await client.get(f"{address}/large.log"), 404)
    assert "once the run has ended" in not_yet["detail"]

    large = OutputFile(path="large.log", size_bytes=5, sha256=sha256(b"large"), key="l-key", kind=OutputKind.LOG)
    manifest = OutputManifest(job_id=job_id, attempt=1, files=(large,))
    await harness.blobs.put_bytes("l-key", b"large")
    await harness.blobs.put_bytes(f"jobs/{job_id}/outputs.json", encode(manifest))
    assert (await client.get(f"{address}/large.log")).text == "large"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def test_outputs_are_listed_and_downloaded(
    client: httpx.AsyncClient, job_id: JobId, outputs: dict[str, bytes]
) -> None:
    listed = await get(client, f"/jobs/{job_id}/outputs")

    assert {file["path"] for file in listed["files"]} == set(outputs)
    assert listed["total_bytes"] == sum(map(len, outputs.values()))
    for file in listed["files"]:
        response = await client.get(file["url"])
        assert response.content == outputs[file["path"]]
        assert hashlib.sha256(response.content).hexdigest() == file["sha256"]
        assert len(response.content) == file["size_bytes"]
        assert response.headers["content-disposition"].startswith("attachment; ")
        assert response.headers["x-content-type-options"] == "nosniff"
        again = await client.get(file["url"], headers={"if-none-match": response.headers["etag"]})
        assert again.status_code == 304


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        (PATHS[1], "text/plain; charset=utf-8"),
        (PATHS[2], "text/html; charset=utf-8"),
        (PATHS[3], "application/octet-stream"),
    ],
)
async def test_outputs_have_their_metadata(
    client: httpx.AsyncClient, job_id: JobId, outputs: dict[str, bytes], path: str, media_type: str
) -> None:
    response = await client.get(f"/jobs/{job_id}/outputs/{path}")

    assert response.headers["content-type"] == media_type
    assert "sandbox" in response.headers["content-security-policy"]


async def test_a_part_of_an_output(client: httpx.AsyncClient, job_id: JobId, outputs: dict[str, bytes]) -> None:
    address, content = f"/jobs/{job_id}/outputs/{PATHS[0]}", outputs[PATHS[0]]

    async def download(**headers: Any) -> httpx.Response:
        return await client.get(address, headers=headers)

    part = await download(range="bytes=2-5")
    assert (part.status_code, part.content) == (206, content[2:6])
    assert part.headers["content-range"] == f"bytes 2-5/{len(content)}"
    outside = await download(range="bytes=1000-")
    problem(outside, 416)
    assert outside.headers["content-range"] == f"bytes */{len(content)}"
    assert (await download(range="bytes=0-1", **{"if-range": '"other"'})).status_code == 200
    assert (await download(range="bytes=0-1", **{"if-range": part.headers["etag"]})).status_code == 206
    head = await client.head(address)
    assert (head.content, head.headers["content-length"]) == (b"", str(len(content)))
    whole = f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
    assert {item.headers["repr-digest"] for item in (part, head, await download())} == {whole}


async def test_only_outputs_can_be_downloaded(
    harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId, outputs: dict[str, bytes]
) -> None:
    await harness.blobs.put_bytes(f"jobs/{job_id}/secret", b"x")

    for path in ("secret", "../secret", "%2e%2e/secret", "results", "", "results/S001.vcf/"):
        response = await client.get(f"/jobs/{job_id}/outputs/{path}")
        assert response.status_code in (200, 404)
        assert response.content != b"x"


async def test_a_changed_output_never_arrives_whole(
    harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId, outputs: dict[str, bytes]
) -> None:
    path, content = next((path, content) for path, content in outputs.items() if content)
    await harness.blobs.put_bytes(f"jobs/{job_id}/outputs/{path}", bytes(item ^ 1 for item in content))

    for headers in ({}, {"range": "bytes=0-"}):
        response = await client.get(f"/jobs/{job_id}/outputs/{quote(path)}", headers=headers)
        assert len(response.content) < len(content)


async def test_report_items_and_pages_are_listed_as_such(
    harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId
) -> None:
    item = ReportItem(caption="<script>", category="QC", labels={"sample": "A"})
    files = (
        OutputFile(path="multiqc_report.html", size_bytes=1, sha256="0" * 64, key="k"),
        OutputFile(path="plot.svg", size_bytes=1, sha256="0" * 64, key="k", kind=OutputKind.REPORT, report=item),
    )
    manifest = OutputManifest(job_id=job_id, attempt=1, files=files)
    await harness.blobs.put_bytes(f"jobs/{job_id}/outputs.json", encode(manifest))
    page, plot = (await get(client, f"/jobs/{job_id}/outputs"))["files"]
    assert (page["kind"], page["media_type"], page["report"]) == ("output", "text/html; charset=utf-8", None)
    assert (plot["kind"], plot["media_type"]) == ("report", "image/svg+xml")
    assert plot["report"] == {"caption": "<script>", "category": "QC", "labels": {"sample": "A"}}


async def test_links_into_the_store_are_given_where_they_are_wanted_and_possible(
    client: httpx.AsyncClient,
    job_id: JobId,
    outputs: dict[str, bytes],
    harness: GatewayHarness,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def presign(key: str, *, valid_s: int) -> str | None:
        return f"https://store/{key}?for={valid_s}"

    monkeypatch.setattr(harness.blobs, "presign", presign)
    assert {file["download_url"] for file in (await get(client, f"/jobs/{job_id}/outputs"))["files"]} == {None}
    async with harness.serve(presigned_url_s=60, state_dir=harness.settings.state_dir / "other") as linked:
        for file in (await get(linked, f"/jobs/{job_id}/outputs"))["files"]:
            assert file["download_url"] == f"https://store/jobs/{job_id}/outputs/{file['path']}?for=60"


async def test_the_software_of_a_run_is_listed(
    harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId
) -> None:
    """A run without any has an empty list."""
    assert (await get(client, f"/jobs/{job_id}/software"))["items"] == []
    item = ProvidedItem(
        kind=TaskKind.ENVIRONMENT, label="e.yaml", identity="e1", packages=(Package(name="bwa", version="0.7.18"),)
    )
    manifest = SoftwareManifest(job_id=job_id, attempt=1, items=(item,))
    await harness.blobs.put_bytes(software_key(job_id), encode(manifest))
    (found,) = (await get(client, f"/jobs/{job_id}/software"))["items"]
    assert (found["kind"], found["label"], found["packages"]) == (
        "environment",
        "e.yaml",
        [{"name": "bwa", "version": "0.7.18"}],
    )
