"""What others can learn of a job that is not theirs, tried in every way over HTTP: nothing.

They are `stranger`, an operator of another tenant and so the mightiest who is no admin, and `bo`, who may submit in the
same tenant but sees its own jobs only. The one thing that all share is the log's sequence, which counts everything.
"""

import hashlib
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.gateway.gateway_harness import GatewayHarness, Json, now, submission, submit
from tests.gateway.user_fixtures import BASIC, basic, bearer

from penstock_domain import aggregates
from penstock_domain.audit import HIDDEN
from penstock_gateway.http.responses import encode
from penstock_schemas.events import AccessDenied
from penstock_schemas.ids import DEFAULT_TENANT, JobId, TenantId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.outputs import OutputFile, OutputKind, OutputManifest, TaskFile
from penstock_schemas.views import LogChunk, LogStream, Task, TaskState

WES = "/ga4gh/wes/v1"
UNKNOWN = "550e8400-e29b-41d4-a716-446655440000"
OTHERS = ("stranger", "bo")
SECRET = "zebrafish"
"""Contained in everything that the job has: no answer to others may contain it."""
TASK = "align-0"
KEY = "nightly"
LISTS = (
    "/jobs",
    "/jobs?limit=1",
    f"/jobs?pipeline={SECRET}",
    f"/jobs?pipeline_name={SECRET}",
    f"/jobs?q={SECRET}",
    f"/jobs?label=project:{SECRET}",
    "/jobs?label=project",
    "/jobs?owner=ada",
    "/jobs?status=completed",
    "/jobs?created_after=2020-01-01T00:00:00Z",
    "/jobs?tenant=default",
    "/jobs?tenant=other",
    f"{WES}/runs?total=true",
    f"{WES}/runs?page_size=1&total=true",
    f"{WES}/runs?state=COMPLETE&total=true",
    f"{WES}/runs?tag=project:{SECRET}&total=true",
    f"{WES}/runs?workflow_url=Snakefile&total=true",
    f"{WES}/runs?name={SECRET}&total=true",
    f"{WES}/runs?sort=created&total=true",
    f"{WES}/runs?sort=-created&total=true",
    f'{WES}/runs?filters={{"state":"COMPLETE"}}&total=true',
    f"{WES}/service-info",
    "/tokens",
    "/pipelines",
    "/health",
)
BELOW = (
    "/jobs/{id}",
    "/jobs/{id}?min_seq=1",
    "/jobs/{id}/events",
    "/jobs/{id}/events?after=0&wait=0",
    "/jobs/{id}/tasks",
    "/jobs/{id}/tasks?limit=1",
    "/jobs/{id}/logs",
    "/jobs/{id}/logs?format=text",
    "/jobs/{id}/logs?source=archive",
    f"/jobs/{{id}}/tasks/{TASK}/stdout",
    "/jobs/{id}/tasks/none/stderr",
    f"/jobs/{{id}}/tasks/{TASK}/files/logs/a.log",
    "/jobs/{id}/files",
    "/jobs/{id}/files/logs/a.log",
    "/jobs/{id}/software",
    "/jobs/{id}/outputs",
    "/jobs/{id}/outputs/out/result.txt",
    "/jobs/{id}/outputs/none",
    "/jobs/{id}/pipeline",
    "/jobs/{id}/cancel",
    "/jobs/{id}/hold",
    "/jobs/{id}/close",
    "/jobs/{id}/release",
    "/jobs/{id}/retry",
    "/jobs/{id}/rerun",
    "/jobs/{id}/nothing",
    f"{WES}/runs/{{id}}",
    f"{WES}/runs/{{id}}/status",
    f"{WES}/runs/{{id}}/tasks",
    f"{WES}/runs/{{id}}/tasks?page_size=1",
    f"{WES}/runs/{{id}}/tasks/{TASK}",
    f"{WES}/runs/{{id}}/tasks/{TASK}/logs/stdout",
    f"{WES}/runs/{{id}}/tasks/{TASK}/logs/stderr?follow=true",
    f"{WES}/runs/{{id}}/logs/stdout",
    f"{WES}/runs/{{id}}/logs/stderr",
    f"{WES}/runs/{{id}}/logs/stderr?follow=true",
    f"{WES}/runs/{{id}}/outputs",
    f"{WES}/runs/{{id}}/outputs/out/result.txt",
    f"{WES}/runs/{{id}}/cancel",
)
TRICKS: tuple[dict[str, str], ...] = (
    {},
    {"range": "bytes=0-3"},
    {"range": "bytes=99999999-"},
    {"if-none-match": "*"},
    {"penstock-min-seq": "1"},
    {"x-forwarded-for": "127.0.0.1", "x-forwarded-host": "localhost"},
)


@pytest.fixture
async def client(harness: GatewayHarness) -> AsyncGenerator[httpx.AsyncClient, None]:
    async with harness.serve(**BASIC, presigned_url_s=60, rate_limit=0) as client:
        yield client


async def secret_run(harness: GatewayHarness, client: httpx.AsyncClient) -> str:
    """Let ada run something to its end, with everything that a job can have."""
    mine = {"description": SECRET, "labels": {"project": SECRET}, "idempotency_key": KEY, "engine": "mock"}
    body = submission(pipeline_name=SECRET, source={"files": {"Snakefile": "rule all:\n"}}, **mine)
    submitted = await client.post("/jobs", json=body, headers=basic("ada"))
    assert submitted.status_code == 201, submitted.text
    job: Json = submitted.json()
    job_id = JobId(job["id"])
    await harness.start(job_id)
    log = TaskFile(path="logs/a.log", kind=OutputKind.LOG, size_bytes=len(SECRET), key=f"jobs/{job_id}/a.log")
    task = Task(
        id=TASK, job_id=job_id, attempt=1, name="align", state=TaskState.COMPLETED, command=SECRET, files=(log,)
    )
    await harness.cluster.tasks.put(DEFAULT_TENANT, job_id, [task], TaskCounts(total=1, done=1))
    chunk = LogChunk(job_id=job_id, attempt=1, stream=LogStream.ENGINE, text=SECRET, time=now())
    await harness.cluster.logs.append(DEFAULT_TENANT, [chunk])
    content = SECRET.encode()
    for path in ("1/logs/engine.log", f"1/logs/tasks/{TASK}.stdout", "1/outputs/out/result.txt", "a.log"):
        await harness.blobs.put_bytes(f"jobs/{job_id}/{path}", content)
    file = OutputFile(
        path="out/result.txt",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        key=f"jobs/{job_id}/1/outputs/out/result.txt",
    )
    manifest = OutputManifest(job_id=job_id, attempt=1, files=(file,))
    await harness.blobs.put_bytes(f"jobs/{job_id}/outputs.json", encode(manifest))
    await harness.end(job_id)
    seq = await harness.project()
    assert (await client.get(f"/jobs/{job_id}?min_seq={seq}", headers=basic("ada"))).status_code == 200
    return job_id


def observable(response: httpx.Response, *ids: str) -> tuple[int, str, list[tuple[str, str]]]:
    """Return what a client can observe, without ids and without the counters of the whole log."""

    def hidden(text: str) -> str:
        return re.sub("|".join(ids), "it", text) if ids else text

    headers = [
        (name, hidden(value)) for name, value in response.headers.multi_items() if name not in ("date", "penstock-seq")
    ]
    return response.status_code, hidden(response.text), headers


async def lists_of(client: httpx.AsyncClient, person: str) -> list[Any]:
    answers = [await client.get(path, headers=basic(person)) for path in LISTS]
    assert sum(answer.status_code == 200 for answer in answers) >= len(LISTS) // 2
    return [
        (path, observable(answer)[:2], answer.headers.get("content-length"))
        for path, answer in zip(LISTS, answers, strict=True)
    ]


async def test_what_others_read_does_not_change_by_what_somebody_does(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    own = {person: await submit_as(client, person) for person in ("bo",)}
    await client.get(f"/jobs/{own['bo']}?min_seq={await harness.project()}", headers=basic("bo"))
    before = {person: await lists_of(client, person) for person in OTHERS}

    job_id = await secret_run(harness, client)
    await client.post("/tokens", json={"name": SECRET}, headers=basic("ada"))

    for person in OTHERS:
        after = await lists_of(client, person)
        for was, then in zip(before[person], after, strict=True):
            assert without_moment(then) == without_moment(was)
        assert SECRET not in str([item[1][1] for item in after]).replace("filters", "")
        assert job_id not in str(after)
    listed = (await client.get("/jobs", headers=basic("ada"))).json()
    assert (listed["total"], listed["jobs"][0]["id"]) == (1, job_id)
    counted = (await client.get(f"{WES}/service-info", headers=basic("ada"))).json()["system_state_counts"]
    assert counted["COMPLETE"] == 1


def without_moment(answer: Any) -> str:
    """Leave out the token of the next page: it holds the log's sequence."""
    return re.sub(r'"next_(page_token|cursor)":"[^"]*"', "", str(answer))


async def submit_as(client: httpx.AsyncClient, person: str) -> str:
    response = await client.post("/jobs", json=submission(), headers=basic(person))
    assert response.status_code == 201, response.text
    job_id: str = response.json()["id"]
    return job_id


async def test_every_address_of_a_job_is_tried(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    tried = [path.partition("?")[0].format(id=UNKNOWN) for path in BELOW]
    for template in harness.gateway.router.paths:
        if "{job_id}" in template or "{run_id}" in template:
            pattern = re.sub(r"\{[a-z_]+\}", "[^/]+", template.replace("{path}", ".+"))
            assert any(re.fullmatch(pattern, path) for path in tried), template


async def test_an_id_that_somebody_guessed_is_an_unknown_one_everywhere(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    job_id = await secret_run(harness, client)
    for person in OTHERS:
        for method in ("GET", "HEAD", "OPTIONS", "POST", "DELETE", "PUT"):
            for path in BELOW:
                for trick in TRICKS if method == "GET" else TRICKS[:1]:
                    headers = {**basic(person), **trick}
                    found, unknown = [
                        observable(await client.request(method, path.format(id=item), headers=headers), job_id, UNKNOWN)
                        for item in (job_id, UNKNOWN)
                    ]
                    assert found == unknown, (person, method, path, trick)
                    assert SECRET not in found[1]
                    assert found[0] >= 400 or method == "OPTIONS", (person, method, path, trick)
    assert (await client.get(f"/jobs/{job_id}", headers=basic("ada"))).json()["status"] == "completed"


async def test_a_hidden_job_takes_as_many_reads_as_an_unknown_one(
    harness: GatewayHarness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Response times reveal nothing when the same stores get the same calls, and return nothing."""
    job_id = await secret_run(harness, client)
    reads: list[Any] = []

    def watch(port: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(port, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            reads.append((type(port).__name__, name, str((arguments, options)).replace(job_id, "it")))
            return original(*arguments, **options)

        monkeypatch.setattr(port, name, counted)

    for port, names in (
        (harness.cluster.log, ("load", "head", "last_seq")),
        (harness.cluster.jobs, ("get", "get_many")),
        (harness.cluster.tasks, ("tasks", "counts")),
        (harness.cluster.logs, ("read",)),
        (harness.blobs, ("open", "info", "get_bytes", "list", "presign")),
    ):
        for name in names:
            watch(port, name)
    for person in OTHERS:
        await client.get("/jobs", headers=basic(person))
        for method, path in [("GET", item) for item in BELOW] + [
            ("POST", "/jobs/{id}/cancel"),
            ("DELETE", "/jobs/{id}"),
        ]:
            work: list[list[str]] = []
            for item in (job_id, UNKNOWN):
                reads.clear()
                await client.request(method, path.format(id=item), headers=basic(person))
                work.append([f"{kind}.{name}" for kind, name, _ in reads])
            assert work[0] == work[1], (person, method, path)
            assert not [item for item in work[0] if not item.startswith("MemoryLog.")], "only the log is read"


async def test_a_key_of_somebody_else_makes_a_job_of_ones_own(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    job_id = await secret_run(harness, client)
    for person in ("bo", "stranger"):
        for headers in ({"idempotency-key": KEY}, {}):
            submitted = submission(pipeline_name="own", engine="mock", **({} if headers else {"idempotency_key": KEY}))
            mine = await client.post("/jobs", json=submitted, headers={**basic(person), **headers})
            assert mine.status_code in (200, 201), mine.text
            assert mine.json()["id"] != job_id
            assert mine.json()["owner"] == person
            assert SECRET not in mine.text
    fields = {"workflow_type": "SMK", "workflow_type_version": "1.0", "workflow_url": "Snakefile"}
    attachment = [("workflow_attachment", ("Snakefile", b"rule all:\n"))]
    over_wes = await client.post(
        f"{WES}/runs", data=fields, files=attachment, headers={**basic("stranger"), "idempotency-key": "other"}
    )
    assert over_wes.json()["run_id"] != job_id


async def test_the_place_in_somebody_elses_list_opens_none_of_it(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    await secret_run(harness, client)
    ids = [await submit_as(client, "ada") for _ in range(3)]
    await client.get(f"/jobs/{ids[0]}?min_seq={await harness.project()}", headers=basic("ada"))
    cursor = (await client.get("/jobs?limit=1", headers=basic("ada"))).json()["next_cursor"]
    token = (await client.get(f"{WES}/runs?page_size=1", headers=basic("ada"))).json()["next_page_token"]
    assert cursor
    assert token

    for person in OTHERS:
        native = await client.get(f"/jobs?limit=1&cursor={cursor}", headers=basic(person))
        wes = await client.get(f"{WES}/runs?page_size=1&page_token={token}", headers=basic(person))
        assert native.status_code == 404 or native.json()["jobs"] == []
        assert wes.status_code == 400 or wes.json()["runs"] == []
        for answer in (native, wes):
            assert not any(item in answer.text for item in ids)


async def test_a_link_to_the_store_is_made_for_who_sees_the_job_alone(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    job_id = await secret_run(harness, client)
    mine = (await client.get(f"/jobs/{job_id}/outputs", headers=basic("ada"))).json()
    assert [file["path"] for file in mine["files"]] == ["out/result.txt"]
    for person in OTHERS:
        for path in (f"/jobs/{job_id}/outputs", f"{WES}/runs/{job_id}/outputs"):
            answer = await client.get(path, headers=basic(person))
            assert answer.status_code == 404
            assert "out/result.txt" not in answer.text


async def test_tokens_of_others_are_unknown_ones(client: httpx.AsyncClient) -> None:
    made = (await client.post("/tokens", json={"name": SECRET}, headers=basic("ada"))).json()
    token_id = made["details"]["id"]
    for person in OTHERS:
        assert (await client.get("/tokens", headers=basic(person))).json() == {"tokens": []}
        hidden, unknown = [
            observable(await client.delete(f"/tokens/{item}", headers=basic(person)), token_id, "0" * 16)
            for item in (token_id, "0" * 16)
        ]
        assert hidden == unknown
        assert hidden[0] == 404
    assert (await client.get("/jobs", headers=bearer(made["token"]))).status_code == 200


def recorded(harness: GatewayHarness, tenant: str) -> Iterator[AccessDenied]:
    aggregate = aggregates.audit(TenantId(tenant))
    for item in harness.cluster.log.stored:
        if item.event.aggregate == aggregate and isinstance(item.event.data, AccessDenied):
            yield item.event.data


async def test_who_hits_an_id_is_recorded_and_who_misses_is_not(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    job_id = await secret_run(harness, client)
    for path in (f"/jobs/{job_id}", f"/jobs/{UNKNOWN}", f"{WES}/runs/{job_id}/outputs"):
        assert (await client.get(path, headers=basic("stranger"))).status_code == 404
    await harness.gateway.base.denials.flush()

    found = list(recorded(harness, "other"))
    assert [(item.principal, item.method, item.path) for item in found] == [
        ("stranger", "GET", f"/jobs/{job_id}"),
        ("stranger", "GET", f"{WES}/runs/{job_id}/outputs"),
    ]
    assert {item.reason for item in found} == {HIDDEN}
    assert not list(recorded(harness, "default"))


async def test_a_follower_is_disconnected_when_its_token_is_revoked(
    harness: GatewayHarness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = (await client.post("/tokens", json={"name": "n"}, headers=basic("ada"))).json()
    client.headers = httpx.Headers(basic("ada"))
    job = await submit(client)
    await harness.start(job["id"])
    await client.get(f"/jobs/{job['id']}?min_seq={await harness.project()}")
    monkeypatch.setattr("penstock_gateway.wes.logs.WAIT_S", 0.01)
    revoked = False
    read = harness.cluster.logs.read

    async def revoking(*arguments: Any, **options: Any) -> Any:
        nonlocal revoked
        found = await read(*arguments, **options)
        if not revoked:
            revoked = True
            assert (await client.delete(f"/tokens/{made['details']['id']}")).status_code == 204
        return found

    monkeypatch.setattr(harness.cluster.logs, "read", revoking)
    followed = await client.get(f"{WES}/runs/{job['id']}/logs/stderr?follow=true", headers=bearer(made["token"]))
    assert followed.status_code == 200
    assert revoked
    assert (await client.get(f"/jobs/{job['id']}")).json()["status"] == "running"
