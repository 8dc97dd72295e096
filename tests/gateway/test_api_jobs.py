"""`/jobs` over HTTP: submit, read, list, cancel."""

import uuid

import anyio
import httpx
import pytest
from msgspec.structs import replace
from tests.gateway.gateway_harness import RUNNER, GatewayHarness, Json, now, pointers, problem, submission, submit

from penstock_gateway.index import index
from penstock_gateway.jobs.engine_directory import FRESH_S
from penstock_ports import MAX_EVENT_BYTES
from penstock_schemas.commands import DelayResults, StartAttempt
from penstock_schemas.ids import DEFAULT_TENANT, JobId, RunnerId, TenantId
from penstock_schemas.jobs import Failure, FailureCause, TaskCounts
from penstock_schemas.views import EngineQueue, QueueSummary, SchedulerBeat, SlotHolder

DEADLINE_S = 20.0

SEED_FIELDS = {
    "id",
    "status",
    "pipeline_name",
    "parameters",
    "description",
    "created_at",
    "updated_at",
    "started_at",
    "completed_at",
    "error_message",
}


async def test_a_submitted_job_is_pending_and_whole(client: httpx.AsyncClient) -> None:
    submitted = submission(description="Run variant calling on sample S001")
    response = await client.post("/jobs", json=submitted)

    job: Json = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/jobs/{job['id']}"
    assert response.headers["penstock-seq"] == str(job["seq"])
    assert job.keys() >= SEED_FIELDS
    assert uuid.UUID(job["id"])
    assert {key: job[key] for key in submitted} == submitted
    assert (job["status"], job["state"]) == ("pending", "QUEUED")
    assert job["created_at"] == job["updated_at"]
    assert job["created_at"].endswith("Z")
    assert (job["started_at"], job["completed_at"], job["error_message"]) == (None, None, None)


async def test_description_and_parameters_may_be_left_out(client: httpx.AsyncClient) -> None:
    job = (await client.post("/jobs", json={"pipeline_name": "p"})).json()

    assert (job["parameters"], job["description"]) == ({}, None)


async def test_a_job_can_be_read_at_once(client: httpx.AsyncClient) -> None:
    job = await submit(client)

    response = await client.get(f"/jobs/{job['id']}")
    assert response.status_code == 200
    assert response.json() == job
    assert (await client.get("/jobs")).json() == {"jobs": [job], "total": 1, "next_cursor": None}


async def test_many_at_once_all_become_jobs(client: httpx.AsyncClient) -> None:
    ids: list[str] = []

    async def one() -> None:
        ids.append((await submit(client))["id"])

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(one)

    listed = (await client.get("/jobs")).json()
    assert len(set(ids)) == listed["total"] == 50
    assert {job["id"] for job in listed["jobs"]} == set(ids)


async def test_every_fault_of_a_body_is_reported(client: httpx.AsyncClient) -> None:
    response = await client.post("/jobs", json={"parameters": "x", "priority": "high", "descripton": "typo"})

    assert pointers(response) == {"#/pipeline_name", "#/parameters", "#/priority", "#/descripton"}


async def test_invalid_json_is_reported_with_its_place(client: httpx.AsyncClient) -> None:
    response = await client.post("/jobs", content=b'{"pipeline_name": }', headers={"content-type": "application/json"})

    assert "line 1, column 19" in problem(response, 422)["detail"]


async def test_a_body_of_another_type_is_refused(client: httpx.AsyncClient) -> None:
    problem(await client.post("/jobs", content=b"pipeline_name=x", headers={"content-type": "text/plain"}), 415)
    problem(await client.post("/jobs", content=b"{}"), 415)


async def test_a_body_that_is_too_large_is_refused(harness: GatewayHarness) -> None:
    async with harness.serve(max_body_bytes=2000) as client:
        problem(await client.post("/jobs", json=submission(parameters={"x": "y" * 2000})), 413)
        await submit(client, parameters={"x": "y" * 1000})


async def test_a_job_that_no_event_can_hold_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/jobs", json=submission(parameters={"x": "y" * MAX_EVENT_BYTES}))

    detail = problem(response, 413)["detail"]
    assert detail.startswith("The parameters of this submission have ")
    assert f"at most {MAX_EVENT_BYTES:,} bytes" in detail
    assert "`configfile:`" in detail
    assert (await client.get("/jobs")).json()["total"] == 0


async def test_a_job_that_is_too_large_as_a_whole_names_its_largest_part(client: httpx.AsyncClient) -> None:
    large = submission(parameters={"x": "y" * (MAX_EVENT_BYTES - 1000)}, description="z" * 2000)
    detail = problem(await client.post("/jobs", json=large), 413)["detail"]
    assert detail.startswith("The parameters of this submission have ")
    assert f"at most {MAX_EVENT_BYTES:,} bytes" in detail


async def test_an_unknown_job_is_not_found(client: httpx.AsyncClient) -> None:
    for address in ("", "/events", "/tasks", "/logs", "/outputs", "/outputs/x"):
        response = await client.get(f"/jobs/{uuid.uuid4()}{address}")
        assert "not found" in problem(response, 404)["detail"]
    assert "not found" in problem(await client.post(f"/jobs/{uuid.uuid4()}/cancel"), 404)["detail"]


async def test_a_malformed_id_is_not_valid(client: httpx.AsyncClient) -> None:
    for address in ("", "/events", "/tasks", "/logs", "/outputs", "/outputs/x", "/tasks/t/stdout"):
        assert pointers(await client.get(f"/jobs/not-a-uuid{address}")) == {"job_id"}
    assert pointers(await client.post("/jobs/not-a-uuid/cancel")) == {"job_id"}


async def test_an_empty_list_is_empty(client: httpx.AsyncClient) -> None:
    assert (await client.get("/jobs")).json() == {"jobs": [], "total": 0, "next_cursor": None}


async def test_the_newest_comes_first_page_by_page(client: httpx.AsyncClient) -> None:
    made = [(await submit(client, description=str(number)))["id"] for number in range(7)]

    seen: list[str] = []
    address: str | None = "/jobs?limit=3"
    while address:
        page = (await client.get(address)).json()
        assert page["total"] == 7
        seen.extend(job["id"] for job in page["jobs"])
        address = page["next_cursor"] and f"/jobs?limit=3&cursor={page['next_cursor']}"

    assert seen == made[::-1]


async def test_lists_can_be_filtered(client: httpx.AsyncClient) -> None:
    await submit(client, pipeline_name="one", labels={"team": "a"}, owner="ada", description="Mouse BRAIN")
    await submit(client, pipeline_name="two", labels={"team": "b"}, owner="bo", description="human liver")

    for query in ("pipeline=one", "label=team:a", "owner=ada", "q=brain", "q=TEAM:A", "status=pending&pipeline=one"):
        page = (await client.get(f"/jobs?{query}")).json()
        assert [job["pipeline_name"] for job in page["jobs"]] == ["one"], query
        assert page["total"] == 1
    assert (await client.get("/jobs?label=team&status=pending")).json()["total"] == 2
    assert (await client.get("/jobs?status=running&status=failed")).json()["total"] == 0
    assert (await client.get("/jobs?created_after=2020-01-01")).json()["total"] == 2
    assert (await client.get("/jobs?created_before=2020-01-01T00:00:00Z")).json()["total"] == 0


async def test_wrong_filters_are_refused(client: httpx.AsyncClient) -> None:
    assert pointers(await client.get("/jobs?status=done&cursor=x&limit=many")) == {"status", "cursor", "limit"}
    assert pointers(await client.get(f"/jobs/{uuid.uuid4()}?fields=id")) == {"fields"}


async def test_a_life_from_pending_to_completed(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    job_id = (await submit(client))["id"]

    async def read() -> Json:
        seq = await harness.project()
        body: Json = (await client.get(f"/jobs/{job_id}?min_seq={seq}")).json()
        assert (await client.get(f"/jobs?min_seq={seq}")).json()["jobs"] == [body]
        return body

    await harness.assign(job_id)
    assigned = await read()
    assert (assigned["status"], assigned["state"], assigned["attempt"]) == ("pending", "ASSIGNED", 1)
    assert RUNNER in assigned["status_detail"]
    await harness.execute(job_id, StartAttempt(now=now(), attempt=1, runner_id=RUNNER))
    running = await read()
    assert (running["status"], running["completed_at"]) == ("running", None)
    assert running["started_at"] >= running["created_at"]
    assert running["status_detail"] is None
    delay = DelayResults(now=now(), attempt=1, runner_id=RUNNER, tries=4, reason="the store is full")
    await harness.execute(job_id, delay)
    assert (await read())["status_detail"] == "uploading results, attempt 4: the store is full"
    await harness.end(job_id)
    completed = await read()
    assert (completed["status"], completed["error_message"]) == ("completed", None)
    assert completed["completed_at"] >= completed["started_at"]
    assert completed["tasks"] == {"total": 2, "done": 2, "running": 0, "failed": 0}


async def test_a_failed_job_has_the_reason(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    job_id = (await submit(client))["id"]
    await harness.start(job_id)
    failure = Failure(
        cause=FailureCause.WORKFLOW,
        message="rule align failed",
        rule="align",
        wildcards={"s": "1"},
        exit_code=2,
        stderr_tail="no reference",
    )
    await harness.end(job_id, failure)

    job = (await client.get(f"/jobs/{job_id}?min_seq={await harness.project()}")).json()
    assert (job["status"], job["error_message"]) == ("failed", "rule align failed")
    assert job["failure"] == {
        "cause": "workflow",
        "message": "rule align failed",
        "rule": "align",
        "wildcards": {"s": "1"},
        "exit_code": 2,
        "stderr_tail": "no reference",
    }


async def test_a_running_job_shows_live_counts(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    created = await submit(client)
    job = await harness.start(created["id"])
    await harness.cluster.tasks.put(job.tenant, job.id, (), TaskCounts(total=5, done=3, running=1))
    address = f"/jobs/{job.id}?min_seq={await harness.project()}"

    response = await client.get(address)
    assert response.json()["tasks"] == {"total": 5, "done": 3, "running": 1, "failed": 0}
    again = {"if-none-match": response.headers["etag"]}
    assert (await client.get(address, headers=again)).status_code == 304
    await harness.cluster.tasks.put(job.tenant, job.id, (), TaskCounts(total=5, done=4, running=1))
    assert (await client.get(address, headers=again)).status_code == 200


async def test_a_waiting_job_is_cancelled_at_once_and_again_without_harm(client: httpx.AsyncClient) -> None:
    job_id = (await submit(client))["id"]

    for _ in range(2):
        response = await client.post(f"/jobs/{job_id}/cancel", json={"reason": "wrong sample"})
        assert response.status_code == 202
        assert (response.json()["status"], response.json()["status_detail"]) == ("cancelled", "wrong sample")
    assert (await client.get(f"/jobs/{job_id}")).json()["status"] == "cancelled"
    assert (await client.get("/jobs?status=cancelled")).json()["total"] == 1


async def test_a_running_job_is_cancelled_by_its_runner(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    job_id = (await submit(client))["id"]
    await harness.start(job_id)

    job = (await client.post(f"/jobs/{job_id}/cancel")).json()
    assert (job["status"], job["state"]) == ("running", "CANCELLING")


async def test_a_job_that_is_over_cannot_be_cancelled(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    job_id = (await submit(client))["id"]
    await harness.start(job_id)
    await harness.end(job_id)

    assert "already completed" in problem(await client.post(f"/jobs/{job_id}/cancel"), 409)["detail"]


async def test_a_repeated_submission_finds_the_first_job(client: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": "k1"}
    first = await client.post("/jobs", json=submission(), headers=headers)
    again = await client.post("/jobs", json=submission(), headers=headers)
    by_field = await client.post("/jobs", json=submission(idempotency_key="k1"))

    assert (first.status_code, again.status_code, by_field.status_code) == (201, 200, 200)
    assert again.json() == by_field.json() == first.json()
    assert "idempotent-replay" not in first.headers
    assert again.headers["idempotent-replay"] == "true"
    assert (await client.get("/jobs")).json()["total"] == 1


async def test_a_key_cannot_stand_for_two_requests(client: httpx.AsyncClient) -> None:
    await submit(client, idempotency_key="k1")

    response = await client.post("/jobs", json=submission(idempotency_key="k1", description="other"))
    assert problem(response, 409)["type"].endswith("idempotency-key-reused")


async def test_the_same_key_at_the_same_time_makes_one_job(client: httpx.AsyncClient) -> None:
    answers: list[httpx.Response] = []

    async def one() -> None:
        answers.append(await client.post("/jobs", json=submission(idempotency_key="k")))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(one)

    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_a_workflow_becomes_a_blob_before_it_becomes_a_job(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    files = {"Snakefile": "rule all:\n", "data/x.bin": {"base64": "AAEC"}}
    job = await submit(client, source={"files": files})

    assert job["engine"] == "snakemake"
    (blob,) = await harness.blobs.list("sources/")
    (event,) = (await client.get(f"/jobs/{job['id']}/events")).json()["events"]
    assert event["data"]["spec"]["source"]["location"] == blob.key


async def test_a_workflow_without_a_snakefile_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/jobs", json=submission(source={"files": {"main.smk": ""}}))

    assert "workflow/Snakefile" in problem(response, 422)["detail"]


@pytest.mark.parametrize("engine", ["snakemake", "mock"])
async def test_a_folder_of_snakemake_is_reserved_for_snakemake_only(
    harness: GatewayHarness, client: httpx.AsyncClient, engine: str
) -> None:
    source = {"files": {"Snakefile": "", ".snakemake/locks/x": "", ".snakemake/metadata/y": "{}"}}
    response = await client.post("/jobs", json=submission(engine=engine, source=source))
    if engine == "mock":
        assert response.status_code == 201, response.text
        return
    assert response.status_code == 422
    (fault,) = response.json()["errors"]
    assert fault["pointer"] == "#/source/files/.snakemake~1locks~1x"
    assert fault["detail"] == "the folder `.snakemake` belongs to the engine; of it, metadata and incomplete are taken"
    assert not harness.cluster.log.stored


async def test_an_engine_that_no_runner_offers_is_refused(harness: GatewayHarness) -> None:
    await harness.connect_runner("mock", "snakemake")
    async with harness.serve() as client:
        response = await client.post("/jobs", json=submission(engine="nextflow"))
        assert "`mock`, `snakemake`" in problem(response, 422)["detail"]
        assert (await submit(client, engine="mock"))["waiting"]["reason"] == "no scheduler"


async def test_without_any_runner_a_job_waits_with_the_reason(client: httpx.AsyncClient) -> None:
    assert "no runner offers the engine mock" in (await submit(client))["status_detail"]


MINE = SlotHolder(
    job_id=JobId("00000000-0000-4000-8000-000000000001"),
    tenant=DEFAULT_TENANT,
    owner="anonymous",
    runner_id=RunnerId("runner-1"),
)
OF_ANOTHER_TENANT = replace(MINE, job_id=JobId("00000000-0000-4000-8000-000000000002"), tenant=TenantId("other"))


async def test_a_waiting_job_names_its_place_and_what_it_lacks(harness: GatewayHarness) -> None:
    await harness.connect_runner("mock")
    async with harness.serve() as client:
        first, second = (await submit(client))["id"], (await submit(client))["id"]
        queue = QueueSummary(
            engines={
                "mock": EngineQueue(
                    slots=2, free=0, waiting=2, first=(JobId(first), JobId(second)), holders=(MINE, OF_ANOTHER_TENANT)
                )
            },
            running=2,
        )
        beat = SchedulerBeat(holder="s", term=1, count=1, time=now(), queue=queue)
        await harness.cluster.heartbeats.beat_scheduler(beat)

        async def job_details() -> Json:
            body: Json = (await client.get(f"/jobs/{second}")).json()
            return body

        with anyio.fail_after(DEADLINE_S):
            while (await job_details())["waiting"]["reason"] != "no slot":  # noqa: ASYNC110  # it refreshes itself
                await anyio.sleep(0.05)
        job = await job_details()
        assert job["waiting"]["position"] == 2
        assert job["status_detail"] == "all 2 slots with the engine mock are taken; 1 run goes before it"
        assert [held["id"] for held in job["waiting"]["holders"]] == [MINE.job_id, OF_ANOTHER_TENANT.job_id]
        assert job["waiting"]["holder_count"] == 2
        listed = (await client.get("/jobs")).json()["jobs"]
        assert {len(job["waiting"]["holders"]) for job in listed} == {0}


async def test_without_mocks_an_unknown_pipeline_is_refused(harness: GatewayHarness) -> None:
    async with harness.serve(mock_unknown_pipelines=False) as client:
        assert pointers(await client.post("/jobs", json=submission())) == {"#/pipeline_name"}


async def test_a_full_log_takes_nothing_and_loses_nothing(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    before = await submit(client)
    harness.cluster.log.max_bytes = harness.cluster.log.stored_bytes + 10

    response = await client.post("/jobs", json=submission())
    assert "full" in problem(response, 503)["title"]
    assert int(response.headers["retry-after"]) > 0
    assert (await client.get(f"/jobs/{before['id']}")).json() == before
    assert (await client.get("/jobs")).json()["total"] == 1


async def test_a_reader_may_require_what_another_gateway_wrote(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    job = await submit(client)
    await harness.start(job["id"])
    seq = await harness.cluster.log.last_seq()

    stale = (await client.get(f"/jobs/{job['id']}")).json()
    assert stale["status"] == "pending"
    fresh = (await client.get(f"/jobs/{job['id']}", headers={"penstock-min-seq": str(seq)})).json()
    assert (fresh["status"], fresh["seq"]) == ("running", seq)


@pytest.mark.parametrize("address", ["/jobs?min_seq=1000", "/jobs/{id}?min_seq=1000"])
async def test_a_sequence_beyond_the_log_is_refused(client: httpx.AsyncClient, address: str) -> None:
    job = await submit(client)

    refused = problem(await client.get(address.format(id=job["id"])), 409)

    assert refused["detail"].startswith("The log ends at sequence 1, before ")


async def test_a_list_that_is_behind_the_log_is_not_made_up(
    harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "REACH_S", 0.1)
    async with harness.serve() as client:
        seq = (await submit(client))["seq"]

        response = await client.get(f"/jobs?min_seq={seq}")  # nothing projects

    assert problem(response, 503)["type"].endswith("#not-yet")
    assert response.headers["retry-after"]


async def test_unchanged_answers_need_not_be_sent_again(client: httpx.AsyncClient) -> None:
    job = await submit(client)
    for address in (f"/jobs/{job['id']}", "/jobs", "/openapi.json"):
        first = await client.get(address)
        again = await client.get(address, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]


async def test_head_returns_the_headers_alone(client: httpx.AsyncClient) -> None:
    job = await submit(client)
    for address in ("/", "/jobs", f"/jobs/{job['id']}", "/docs"):
        head, get = await client.head(address), await client.get(address)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
    assert (await client.head("/nowhere")).status_code == 404
    assert (await client.options("/jobs")).headers["allow"] == "GET, HEAD, OPTIONS, POST"


async def test_wrong_methods_and_addresses(client: httpx.AsyncClient) -> None:
    response = await client.delete("/jobs")
    assert "DELETE" in problem(response, 405)["detail"]
    assert response.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert (await client.put(f"/jobs/{uuid.uuid4()}")).headers["allow"] == "DELETE, GET, HEAD, OPTIONS"
    assert "not found" in problem(await client.get("/nowhere"), 404)["detail"]


async def test_a_submission_states_what_no_connected_runner_provides(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    """By rule, with the parameter that allows the run, while the job has not ended."""
    await harness.connect_runner("snakemake", provides=("conda",))
    snakefile = 'rule a:\n    output: "a"\n    conda: "e.yaml"\n    container: "docker://x"\n    shell: "touch a"\n'
    with anyio.fail_after(DEADLINE_S):
        while not await harness.gateway.base.engine_directory.offered_to("snakemake"):  # noqa: ASYNC110 - it refreshes
            await anyio.sleep(FRESH_S)
    job = await submit(client, source={"files": {"Snakefile": snakefile}})
    assert [item["directive"] for item in job["declared"]] == ["conda", "container"]
    first, last = job["preflight"]
    assert first == "rule a declares `container:` (Snakefile:4)"
    assert "allow-missing-software" in last
    assert (await client.get(f"/jobs/{job['id']}")).json()["preflight"] == [first, last]
