"""`/jobs/{job_id}/retry` and `/rerun`, and the lineage that they make."""

import hashlib
from typing import Any, cast

import anyio
import httpx
import msgspec
import pytest
from tests.gateway.gateway_harness import RUNNER, GatewayHarness, Json, now, pointers, problem, submission, submit
from tests.gateway.user_fixtures import BASIC, basic

from penstock_domain.job.evolve import fold
from penstock_gateway.jobs.submission import repeats
from penstock_gateway.operations.parts import IDEMPOTENCY_KEY
from penstock_gateway.routes.repeats import RepeatRoutes
from penstock_schemas.commands import CancelJob, EndAttempt, OutcomeKind
from penstock_schemas.jobs import Failure, FailureCause, LineageKind, ResultsManifest, SourceFile, StoredResults

FAILURE = Failure(cause=FailureCause.WORKFLOW, message="rule a failed")
SNAKEFILE = "rule all:\n    output: 'a'\n    shell: 'touch {output}'\n"


async def post(client: httpx.AsyncClient, job: Json, verb: str, body: Json | None = None, **headers: str) -> Json:
    response = await client.post(f"/jobs/{job['id']}/{verb}", json=body, headers=headers)
    assert response.status_code in (200, 201), response.text
    assert response.headers["location"] == f"/jobs/{response.json()['id']}"
    made: Json = response.json()
    return made


async def read(client: httpx.AsyncClient, job: Json) -> Json:
    response = await client.get(f"/jobs/{job['id']}")
    assert response.status_code == 200
    found: Json = response.json()
    return found


async def failed(harness: GatewayHarness, client: httpx.AsyncClient, **changes: Any) -> Json:
    job = await submit(client, **changes)
    await harness.start(job["id"])
    await harness.end(job["id"], FAILURE)
    await harness.project()
    return job


@pytest.mark.parametrize("verb", ["rerun", "retry"])
async def test_a_request_that_no_runner_can_hold_is_refused(
    harness: GatewayHarness, client: httpx.AsyncClient, verb: str
) -> None:
    """As that of a submission."""
    job = await failed(harness, client)
    await harness.connect_runner("mock", cores=2)
    with anyio.fail_after(10):
        while not await harness.gateway.base.engine_directory.offered_to("mock"):  # noqa: ASYNC110 - it refreshes
            await anyio.sleep(0.05)
    response = await client.post(f"/jobs/{job['id']}/{verb}", json={"engine_parameters": {"cores": "3"}})
    assert response.status_code == 422
    assert pointers(response) == {"#/engine_parameters/cores"}


async def test_a_rerun_is_a_new_job_of_the_same_submission(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    job = await submit(client, description="d", labels={"k": "v"}, priority=3)
    made = await post(client, job, "rerun")
    same = ("pipeline_name", "parameters", "description", "labels", "priority", "engine", "owner")
    assert {name: made[name] for name in same} == {name: job[name] for name in same}
    assert made["id"] != job["id"]
    assert made["parent"] == {
        "id": job["id"],
        "kind": "rerun",
        "is_deleted": None,
        "result_files": 0,
        "result_bytes": 0,
    }


async def test_a_rerun_changes_what_its_body_names(client: httpx.AsyncClient) -> None:
    job = await submit(client, parameters={"a": 1, "b": {"c": 2, "d": 3}}, labels={"k": "v", "l": "w"})
    body = {"parameters": {"b": {"c": 5}}, "labels": {"k": "x"}, "priority": 9, "description": "again", "hold": True}
    made = await post(client, job, "rerun", body)
    assert made["parameters"] == {"a": 1, "b": {"c": 5, "d": 3}}
    assert made["labels"] == {"k": "x", "l": "w"}
    assert (made["priority"], made["description"], made["state"]) == (9, "again", "HELD")


async def test_the_lineage_is_shown_in_both_directions(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    job = await failed(harness, client)
    first = await post(client, job, "retry")
    second = await post(client, job, "rerun")

    parent = await read(client, job)
    assert parent["children"] == [
        {"id": second["id"], "kind": "rerun", "status": "pending"},
        {"id": first["id"], "kind": "retry", "status": "pending"},
    ]
    assert parent["child_count"] == 2
    child = await read(client, first)
    assert (child["parent"]["id"], child["parent"]["kind"], child["parent"]["is_deleted"]) == (
        job["id"],
        "retry",
        False,
    )

    listed = (await client.get("/jobs", params={"parent": job["id"]})).json()
    assert [item["id"] for item in listed["jobs"]] == [second["id"], first["id"]]
    assert listed["total"] == 2
    assert all(item["parent"]["id"] == job["id"] for item in listed["jobs"])


async def test_the_lineage_survives_the_index_and_the_parent(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    job = await failed(harness, client)
    first = await post(client, job, "retry")
    await harness.gateway.base.index.flush()
    assert [item["id"] for item in (await read(client, job))["children"]] == [first["id"]]

    assert (await client.delete(f"/jobs/{job['id']}")).status_code == 204
    child = await read(client, first)
    assert child["parent"] == {
        "id": job["id"],
        "kind": "retry",
        "is_deleted": True,
        "result_files": 0,
        "result_bytes": 0,
    }
    problem(await client.get(f"/jobs/{job['id']}"), 404)


async def test_the_event_has_the_lineage(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    job = await failed(harness, client)
    made = await post(client, job, "retry")
    replayed = fold(stored for stored in harness.cluster.log.stored if stored.event.aggregate.endswith(made["id"]))
    assert replayed is not None
    lineage = replayed.spec.lineage
    assert lineage is not None
    assert (lineage.kind, lineage.parent) == (LineageKind.RETRY, job["id"])


async def test_the_tag_of_a_parent_changes_with_its_children(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    job = await failed(harness, client)
    before = (await client.get(f"/jobs/{job['id']}")).headers["etag"]
    await post(client, job, "retry")
    response = await client.get(f"/jobs/{job['id']}", headers={"If-None-Match": before})
    assert response.status_code == 200
    same = await client.get(f"/jobs/{job['id']}", headers={"If-None-Match": response.headers["etag"]})
    assert same.status_code == 304


async def test_only_a_job_that_failed_or_was_cancelled_is_retried(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    waiting = await submit(client)
    assert "only one that failed" in problem(await client.post(f"/jobs/{waiting['id']}/retry"), 409)["detail"]

    completed = await submit(client)
    await harness.start(completed["id"])
    await harness.end(completed["id"])
    assert "rerun" in problem(await client.post(f"/jobs/{completed['id']}/retry"), 409)["detail"]

    cancelled = await submit(client)
    await harness.execute(cancelled["id"], CancelJob(now=now()))
    assert (await post(client, cancelled, "retry"))["parent"]["kind"] == "retry"


async def test_an_unknown_and_a_deleted_job_are_not_repeated(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    problem(await client.post("/jobs/00000000-0000-4000-8000-000000000000/rerun"), 404)
    job = await failed(harness, client)
    await client.delete(f"/jobs/{job['id']}")
    assert "was deleted" in problem(await client.post(f"/jobs/{job['id']}/retry"), 404)["detail"]


@pytest.mark.parametrize("verb", ["retry", "rerun"])
async def test_a_key_makes_one_job(harness: GatewayHarness, client: httpx.AsyncClient, verb: str) -> None:
    job = await failed(harness, client)
    headers = {"Idempotency-Key": "k"}
    first = await client.post(f"/jobs/{job['id']}/{verb}", headers=headers, json={"priority": 2})
    again = await client.post(f"/jobs/{job['id']}/{verb}", headers=headers, json={"priority": 2})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["idempotent-replay"] == "true"
    assert first.json()["id"] == again.json()["id"]
    problem(await client.post(f"/jobs/{job['id']}/{verb}", headers=headers, json={"priority": 3}), 409)
    other = {"retry": "rerun", "rerun": "retry"}[verb]
    problem(await client.post(f"/jobs/{job['id']}/{other}", headers=headers, json={"priority": 2}), 409)

    await client.delete(f"/jobs/{job['id']}")
    replayed = await client.post(f"/jobs/{job['id']}/{verb}", headers=headers, json={"priority": 2})
    assert (replayed.status_code, replayed.json()["id"]) == (200, first.json()["id"])


async def test_engine_parameters_are_put_over_those_of_the_parent(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    chosen = {"cores": "2", "forceall": None, "keep-going": None}
    job = await failed(harness, client, source={"files": {"Snakefile": SNAKEFILE}}, engine_parameters=chosen)
    retry = await post(client, job, "retry", {"engine_parameters": {"-c": "4"}})
    assert await engine_parameters(client, retry) == {"keep-going": None, "-c": "4"}
    rerun = await post(client, job, "rerun", {"engine_parameters": {"keep-going": "false"}})
    assert await engine_parameters(client, rerun) == {"cores": "2", "forceall": None, "keep-going": "false"}
    response = await client.post(f"/jobs/{job['id']}/rerun", json={"engine_parameters": {"shell": "sh"}})
    assert pointers(response) == {"#/engine_parameters/shell"}


async def engine_parameters(client: httpx.AsyncClient, job: Json) -> Json:
    (event,) = (await client.get(f"/jobs/{job['id']}/events")).json()["events"]
    chosen: Json = event["data"]["spec"]["engine_parameters"]
    return chosen


async def source_of(client: httpx.AsyncClient, job: Json) -> Json:
    event = (await client.get(f"/jobs/{job['id']}/events")).json()["events"][0]
    source: Json = event["data"]["spec"]["source"]
    return source


async def test_a_bundle_is_found_again_and_checked(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    job = await failed(harness, client, source={"files": {"Snakefile": SNAKEFILE}})
    source = await source_of(client, job)
    made = await source_of(client, await post(client, job, "retry"))
    assert made["sha256"] == source["sha256"]
    assert await harness.blobs.get_bytes(made["location"]) == await harness.blobs.get_bytes(source["location"])

    await harness.blobs.put_bytes(source["location"], b"other")
    assert "damaged" in problem(await client.post(f"/jobs/{job['id']}/retry"), 409)["detail"]
    await harness.blobs.delete(source["location"])
    assert "missing" in problem(await client.post(f"/jobs/{job['id']}/rerun"), 409)["detail"]


async def form(client: httpx.AsyncClient) -> Json:
    files: dict[str, tuple[str | None, bytes]] = {
        "job": (None, b'{"pipeline_name": "p"}'),
        "files": ("Snakefile", SNAKEFILE.encode()),
    }
    response = await client.post("/jobs", files=files)
    assert response.status_code == 201, response.text
    job: Json = response.json()
    return job


async def test_files_are_copied_so_that_they_outlive_the_parent(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    job = await form(client)
    await harness.start(job["id"])
    await harness.end(job["id"], FAILURE)
    await harness.project()
    made = await post(client, job, "retry")
    await client.delete(f"/jobs/{job['id']}")

    assert await harness.blobs.list(f"jobs/{job['id']}/") == ()
    kept = [blob.key for blob in await harness.blobs.list(f"jobs/{made['id']}/")]
    assert kept == [f"jobs/{made['id']}/source.json", f"jobs/{made['id']}/source/Snakefile"]
    assert await harness.blobs.get_bytes(kept[1]) == SNAKEFILE.encode()
    again = await post(client, made, "rerun")
    assert (await source_of(client, again))["location"] == f"jobs/{again['id']}/source.json"


@pytest.mark.parametrize("content", [b"other", None])
async def test_damaged_files_are_refused_and_nothing_stays(
    harness: GatewayHarness, client: httpx.AsyncClient, content: bytes | None
) -> None:
    job = await form(client)
    key = f"jobs/{job['id']}/source/Snakefile"
    await harness.blobs.delete(key)
    if content is not None:
        await harness.blobs.put_bytes(key, content)
    known = {blob.key for blob in await harness.blobs.list("jobs/")}
    detail = problem(await client.post(f"/jobs/{job['id']}/rerun"), 409)["detail"]
    assert "files of its workflow" in detail
    assert {blob.key for blob in await harness.blobs.list("jobs/")} == known


async def test_a_retry_keeps_the_time_of_the_files(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    job = await failed(harness, client, source={"files": {"Snakefile": SNAKEFILE}})
    first = await post(client, job, "retry")
    await harness.start(first["id"])
    await harness.end(first["id"], FAILURE)
    await harness.project()
    second = await post(client, first, "retry")
    event = (await client.get(f"/jobs/{second['id']}/events")).json()["events"][0]
    assert event["data"]["spec"]["lineage"]["files_time"] == job["created_at"]


async def never(_key: str, _chunks: object) -> None:
    await anyio.sleep_forever()


async def test_a_store_that_is_too_slow_is_reported(
    harness: GatewayHarness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await form(client)
    monkeypatch.setattr(repeats, "COPY_BASE_S", 0.01)
    monkeypatch.setattr(harness.blobs, "put_stream", never)
    detail = problem(await client.post(f"/jobs/{job['id']}/rerun"), 503)["detail"]
    assert "took too long" in detail


def test_both_operations_may_be_repeated_with_a_key(harness: GatewayHarness) -> None:
    routes = RepeatRoutes(repeats=cast("Any", None), engine_directory=cast("Any", None)).routes
    assert [route.operation.name for route in routes] == ["retryJob", "rerunJob"]
    assert all(IDEMPOTENCY_KEY in route.operation.parameters for route in routes)


ENTRY: Json = {
    "name": "tuna",
    "version": "1",
    "source": {"files": {"Snakefile": SNAKEFILE}},
    "defaults": {"depth": 10, "mode": "fast"},
    "parameters_schema": {"type": "object", "properties": {"depth": {"type": "integer", "maximum": 50}}},
}


async def test_a_rerun_of_an_entry_runs_its_version_or_the_newest(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    assert (await client.post("/pipelines", json=ENTRY)).status_code == 201
    job = await submit(client, pipeline_name="tuna", parameters={"sample": "a"})
    newer = {**ENTRY, "version": "2", "defaults": {"depth": 20}}
    assert (await client.post("/pipelines", json=newer)).status_code == 201

    same = await post(client, job, "rerun")
    assert same["pipeline"]["version"] == "1"
    assert same["parameters"] == {"depth": 10, "mode": "fast", "sample": "a"}
    latest = await post(client, job, "rerun", {"latest": True})
    assert latest["pipeline"]["version"] == "2"
    assert latest["parameters"] == {"depth": 20, "sample": "a"}
    refused = await client.post(f"/jobs/{job['id']}/rerun", json={"parameters": {"depth": 51}})
    assert pointers(refused) == {"#/parameters/depth"}

    assert (await client.delete("/pipelines/tuna/versions/1")).status_code == 200
    assert pointers(await client.post(f"/jobs/{job['id']}/rerun")) == {"#/latest"}


async def test_a_job_of_no_entry_has_no_newest_version(client: httpx.AsyncClient) -> None:
    job = await submit(client)
    assert "catalogue" in problem(await client.post(f"/jobs/{job['id']}/rerun", json={"latest": True}), 409)["detail"]


async def test_a_run_of_somebody_else_becomes_a_run_of_the_caller(harness: GatewayHarness) -> None:
    async with harness.serve(**BASIC) as client:
        client.headers = httpx.Headers(basic("ada"))
        job = await submit(client)
        client.headers = httpx.Headers(basic("bo"))
        problem(await client.post(f"/jobs/{job['id']}/rerun"), 404)
        client.headers = httpx.Headers(basic("olga"))
        made = await post(client, job, "rerun")
        assert made["owner"] == "olga"
        problem(await client.post(f"/jobs/{job['id']}/rerun", json={"owner": "ada"}), 403)
        client.headers = httpx.Headers(basic("root"))
        assert (await post(client, job, "rerun", {"owner": "ada"}))["owner"] == "ada"
        client.headers = httpx.Headers(basic("ada"))
        assert (await read(client, job))["child_count"] == 1, "she does not see the run of olga"


async def failed_with_results(harness: GatewayHarness, client: httpx.AsyncClient) -> Json:
    """Let a job fail that leaves one result."""
    job = await submit(client)
    await harness.start(job["id"])
    key = f"jobs/{job['id']}/outputs/a"
    await harness.blobs.put_bytes(key, b"aaa")
    file = SourceFile(path="a", key=key, size_bytes=3, sha256=hashlib.sha256(b"aaa").hexdigest())
    raw = msgspec.json.encode(ResultsManifest(work_dir="/w", files=(file,)))
    location = f"jobs/{job['id']}/1/work.json"
    await harness.blobs.put_bytes(location, raw)
    results = StoredResults(location=location, sha256=hashlib.sha256(raw).hexdigest(), files=1, size_bytes=3)
    await harness.execute(
        job["id"],
        EndAttempt(
            now=now(), attempt=1, runner_id=RUNNER, outcome=OutcomeKind.FAILED, failure=FAILURE, results=results
        ),
    )
    await harness.project()
    return job


async def test_a_retry_begins_with_the_results_of_its_parent(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    job = await failed_with_results(harness, client)
    retry = await post(client, job, "retry")
    assert (retry["parent"]["result_files"], retry["parent"]["result_bytes"]) == (1, 3)
    rerun = await post(client, job, "rerun")
    assert rerun["parent"]["result_files"] == 0
    await harness.blobs.delete(f"jobs/{job['id']}/outputs/a")
    assert "outputs/a is missing" in problem(await client.post(f"/jobs/{job['id']}/retry"), 409)["detail"]


async def test_a_job_is_not_deleted_while_a_retry_needs_its_results(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    job = await failed_with_results(harness, client)
    retry = await post(client, job, "retry")
    assert retry["id"] in problem(await client.delete(f"/jobs/{job['id']}"), 409)["detail"]
    assert await harness.blobs.info(f"jobs/{job['id']}/outputs/a") is not None
    assert (await client.post(f"/jobs/{retry['id']}/cancel")).status_code == 202
    assert (await client.delete(f"/jobs/{job['id']}")).status_code == 204


async def test_an_unknown_field_is_refused(client: httpx.AsyncClient) -> None:
    job = await submit(client)
    assert pointers(await client.post(f"/jobs/{job['id']}/rerun", json={"cores": 4})) == {"#/cores"}
    assert pointers(await client.post(f"/jobs/{job['id']}/retry", json={"parameters": {}})) == {"#/parameters"}
    assert pointers(await client.get("/jobs", params={"parent": "x"})) == {"parent"}


async def test_a_source_on_the_runners_disk_must_still_be_allowed(harness: GatewayHarness) -> None:
    async with harness.serve(source_roots=("/srv",)) as client:
        job = (await client.post("/jobs", json=submission(source={"path": "/srv/flow"}))).json()
        assert (await source_of(client, await post(client, job, "rerun")))["location"] == "/srv/flow"
    async with harness.serve() as client:
        assert pointers(await client.post(f"/jobs/{job['id']}/rerun")) == {"#/source/path"}
