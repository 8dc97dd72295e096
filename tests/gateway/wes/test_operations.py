"""The operations of WES over real jobs in every state; every body conforms to the official document."""

import hashlib
import json
from typing import Any

import httpx
import pytest
from tests.gateway.gateway_harness import RUNNER, GatewayHarness, now, submit
from tests.gateway.wes.specification import PREFIX, Json, answered, refused

from penstock_gateway.http.responses import encode
from penstock_schemas.commands import EndAttempt, OutcomeKind
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import Failure, FailureCause, LogFileTail, TaskCounts
from penstock_schemas.measurements import MeasuredResources
from penstock_schemas.outputs import OutputFile, OutputKind, OutputManifest, TaskFile
from penstock_schemas.views import LogChunk, LogStream, Task, TaskState

SNAKEFILE = b"rule all:\n    output: 'x'\n    shell: 'touch x'\n"
NOBODY = "550e8400-e29b-41d4-a716-446655440000"
FIELDS = {"workflow_type": "SMK", "workflow_type_version": "1.0"}


async def run(client: httpx.AsyncClient, **fields: str) -> str:
    """Queue a run, and return its id."""
    response = await client.post(
        f"{PREFIX}/runs", data=FIELDS | fields, files=[("workflow_attachment", ("Snakefile", SNAKEFILE))]
    )
    run_id: str = answered(response, "RunId")["run_id"]
    return run_id


async def log_of(client: httpx.AsyncClient, run_id: str) -> Json:
    body = answered(await client.get(f"{PREFIX}/runs/{run_id}"), "RunLog")
    status = answered(await client.get(f"{PREFIX}/runs/{run_id}/status"), "RunStatus")
    assert status == {"run_id": run_id, "state": body["state"]}
    return body


async def listed(client: httpx.AsyncClient, **parameters: Any) -> Json:
    return answered(await client.get(f"{PREFIX}/runs", params=parameters), "RunListResponse")


async def put_tasks(harness: GatewayHarness, run_id: str, count: int, **changes: Any) -> None:
    tasks = [
        Task(
            id=f"align-{number}",
            job_id=JobId(run_id),
            attempt=1,
            name="align",
            state=TaskState.COMPLETED,
            wildcards={"sample": f"S{number}"},
            command=f"align S{number}",
            reason="Missing output files",
            resources={"mem_mb": 100},
            started_at=now(),
            ended_at=now(),
            exit_code=0,
            **changes,
        )
        for number in range(count)
    ]
    await harness.cluster.tasks.put(DEFAULT_TENANT, JobId(run_id), tasks, TaskCounts(total=count, done=count))


async def seen(harness: GatewayHarness, client: httpx.AsyncClient, run_id: str) -> None:
    """Let the gateway know what others wrote."""
    await client.get(f"/jobs/{run_id}?min_seq={await harness.project()}")


async def test_a_queued_run_shows_its_request(client: httpx.AsyncClient) -> None:
    run_id = await run(
        client,
        workflow_params=json.dumps({"samples": ["a", "b"], "depth": 3}),
        tags=json.dumps({"project": "covid", "größe: 1": "ü"}),
        workflow_engine_parameters=json.dumps({"keep-going": None, "cores": 2}),
        workflow_engine="snakemake",
        workflow_url="Snakefile",
    )

    body = await log_of(client, run_id)

    assert body == {
        "run_id": run_id,
        "request": {
            "workflow_params": {"samples": ["a", "b"], "depth": 3},
            "workflow_type": "SMK",
            "workflow_type_version": "1.0",
            "workflow_url": "Snakefile",
            "tags": {"project": "covid", "größe: 1": "ü"},
            "workflow_engine_parameters": {"keep-going": "", "cores": "2"},
            "workflow_engine": "snakemake",
        },
        "state": "QUEUED",
        "run_log": {"name": "Snakefile"},
        "task_logs_url": f"http://localhost{PREFIX}/runs/{run_id}/tasks",
        "task_logs": [],
        "outputs": {},
    }
    assert await listed(client) == {
        "runs": [{"run_id": run_id, "state": "QUEUED", "tags": body["request"]["tags"]}],
        "next_page_token": "",
    }


async def test_a_run_from_its_queue_to_its_end(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    run_id = await run(client)
    await harness.assign(run_id)
    await seen(harness, client, run_id)
    assert (await log_of(client, run_id))["state"] == "INITIALIZING"

    running = await run(client)
    await harness.start(running)
    used = MeasuredResources(peak_memory_bytes=5, user_s=1.5)
    log = TaskFile(path="a.log", kind=OutputKind.LOG, size_bytes=7)
    await put_tasks(harness, running, 2, measured=used, files=(log,))
    await seen(harness, client, running)
    body = await log_of(client, running)
    assert body["state"] == "RUNNING"
    assert body["run_log"]["cmd"] == ["snakemake", "--snakefile", "Snakefile"]
    assert "end_time" not in body["run_log"]
    assert [task["name"] for task in body["task_logs"]] == ["align", "align"]
    system_logs = body["task_logs"][0]["system_logs"]
    assert {"measured peak_memory_bytes: 5", "measured user_s: 1.5", "log file: a.log (7 bytes)"} <= set(system_logs)

    await harness.end(running)
    await seen(harness, client, running)
    body = await log_of(client, running)
    assert (body["state"], body["run_log"]["exit_code"]) == ("COMPLETE", 0)
    assert body["run_log"]["start_time"] <= body["run_log"]["end_time"]


@pytest.mark.parametrize(
    ("cause", "state", "exit_code"),
    [
        (FailureCause.WORKFLOW, "EXECUTOR_ERROR", 1),
        (FailureCause.SYSTEM, "SYSTEM_ERROR", None),
        (FailureCause.PREEMPTED, "PREEMPTED", None),
    ],
)
async def test_a_failed_run_shows_the_cause(
    harness: GatewayHarness, client: httpx.AsyncClient, cause: FailureCause, state: str, exit_code: int | None
) -> None:
    run_id = await run(client)
    await harness.start(run_id)
    await put_tasks(harness, run_id, 1, message="exit code 1")
    log = LogFileTail(path="logs/a.log", text="FATAL")
    failure = Failure(cause=cause, message="it broke", stderr_tail="last words", stdout_tail="more", log_tails=(log,))
    await harness.end(run_id, failure)
    await seen(harness, client, run_id)

    body = await log_of(client, run_id)

    assert body["state"] == state
    assert body["run_log"].get("exit_code") == exit_code
    assert body["run_log"]["system_logs"] == [
        "it broke",
        "last words",
        "standard output:\nmore",
        "logs/a.log:\nFATAL",
    ]


async def test_cancelling_passes_through_canceling_and_may_be_repeated(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    run_id = await run(client)
    await harness.start(run_id)
    await seen(harness, client, run_id)

    for _ in range(2):
        response = await client.post(f"{PREFIX}/runs/{run_id}/cancel")
        assert answered(response, "RunId") == {"run_id": run_id}
        assert (await log_of(client, run_id))["state"] == "CANCELING"

    await harness.execute(run_id, EndAttempt(now=now(), attempt=1, runner_id=RUNNER, outcome=OutcomeKind.STOPPED))
    await seen(harness, client, run_id)
    assert (await log_of(client, run_id))["state"] == "CANCELED"
    assert answered(await client.post(f"{PREFIX}/runs/{run_id}/cancel"), "RunId") == {"run_id": run_id}

    done = await run(client)
    await harness.start(done)
    await harness.end(done)
    await seen(harness, client, done)
    answered(await client.post(f"{PREFIX}/runs/{done}/cancel"), "RunId")
    assert (await log_of(client, done))["state"] == "COMPLETE"


async def test_both_surfaces_show_the_same_jobs(client: httpx.AsyncClient) -> None:
    native = await submit(client, labels={"k": "v"}, source={"files": {"workflow/Snakefile": "rule all:\n"}})
    mock = await submit(client)
    over_wes = await run(client, tags='{"k": "w"}')

    body = await log_of(client, native["id"])
    assert body["request"]["workflow_type"] == "SMK"
    assert body["request"]["workflow_url"] == "Snakefile"
    assert body["request"]["workflow_params"] == native["parameters"]
    assert body["request"]["tags"] == {"k": "v"}
    assert (await log_of(client, mock["id"]))["request"]["workflow_type"] == "MOCK"
    job = (await client.get(f"/jobs/{over_wes}")).json()
    assert (job["status"], job["pipeline_name"], job["labels"]) == ("pending", "Snakefile", {"k": "w"})
    ids = [one_job["id"] for one_job in (await client.get("/jobs")).json()["jobs"]]
    assert [one_run["run_id"] for one_run in (await listed(client))["runs"]] == ids


async def test_outputs_are_listed_with_where_they_can_be_had(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    run_id = await run(client)
    content = b"variants"
    key = f"jobs/{run_id}/outputs/a b/x.vcf"
    await harness.blobs.put_bytes(key, content)
    sha256 = hashlib.sha256(content).hexdigest()
    file = OutputFile(path="a b/x.vcf", size_bytes=len(content), sha256=sha256, key=key)
    manifest = OutputManifest(job_id=JobId(run_id), attempt=1, files=(file,))
    await harness.blobs.put_bytes(f"jobs/{run_id}/outputs.json", encode(manifest))
    await harness.start(run_id)
    end = EndAttempt(now=now(), attempt=1, runner_id=RUNNER, outcome=OutcomeKind.SUCCEEDED, output_files=1)
    await harness.execute(run_id, end)
    await seen(harness, client, run_id)

    outputs = (await log_of(client, run_id))["outputs"]

    url = f"http://localhost{PREFIX}/runs/{run_id}/outputs/a%20b/x.vcf"
    assert outputs == {
        "files": [{"path": "a b/x.vcf", "size": 8, "sha256": sha256, "url": url, "kind": "output"}],
        "total_files": 1,
        "total_bytes": 8,
    }
    assert (await client.get(f"{PREFIX}/runs/{run_id}/outputs")).json() == outputs
    assert (await client.get(url)).content == content
    part = await client.get(url, headers={"range": "bytes=0-2"})
    assert (part.status_code, part.content) == (206, b"var")


async def test_tasks_come_in_pages_in_a_stable_order(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    run_id = await run(client)
    await harness.start(run_id)
    await put_tasks(harness, run_id, 60)
    await seen(harness, client, run_id)
    assert (await log_of(client, run_id))["task_logs"] is None

    found: list[Json] = []
    token = ""
    while True:
        parameters = {"page_size": "25", **({"page_token": token} if token else {})}
        response = await client.get(f"{PREFIX}/runs/{run_id}/tasks", params=parameters)
        page = answered(response, "TaskListResponse")
        found += page["task_logs"]
        token = page["next_page_token"]
        if not token:
            break

    assert [task["id"] for task in found] == [f"align-{number}" for number in range(60)]
    task = answered(await client.get(f"{PREFIX}/runs/{run_id}/tasks/align-7"), "TaskLog")
    assert task == found[7]
    assert task["cmd"] == ["align S7"]
    assert task["stderr"] == f"http://localhost{PREFIX}/runs/{run_id}/tasks/align-7/logs/stderr"
    assert task["exit_code"] == 0
    assert {"state: completed", "attempt: 1", "try: 1", "wildcard sample: S7"} <= set(task["system_logs"])

    other = await run(client)
    refused(await client.get(f"{PREFIX}/runs/{other}/tasks", params={"page_token": token or "x"}), 404)
    refused(await client.get(f"{PREFIX}/runs/{run_id}/tasks", params={"page_size": "many"}), 404)
    refused(await client.get(f"{PREFIX}/runs/{run_id}/tasks/align-99"), 404)


async def test_logs_can_be_read_in_part_and_followed(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    run_id = await run(client)
    await harness.start(run_id)
    await put_tasks(harness, run_id, 1)
    await seen(harness, client, run_id)
    job_id = JobId(run_id)

    async def append(text: str, stream: LogStream, task_id: str | None = None) -> None:
        chunk = LogChunk(job_id=job_id, attempt=1, stream=stream, text=text, time=now(), task_id=task_id)
        await harness.cluster.logs.append(DEFAULT_TENANT, [chunk])

    await append("one\n", LogStream.ENGINE)
    await append("of the task\n", LogStream.STDERR, "align-0")
    await append("of another\n", LogStream.STDERR, "align-1")
    await append("printed\n", LogStream.WORKFLOW)
    await append("two\n", LogStream.ENGINE)
    body = await log_of(client, run_id)

    address = body["run_log"]["stderr"]
    assert (await client.get(address)).text == "one\ntwo\n"
    part = await client.get(address, headers={"range": "bytes=4-"})
    assert (part.status_code, part.text, part.headers["content-range"]) == (206, "two\n", "bytes 4-7/8")
    printed = body["run_log"]["stdout"]
    assert (await client.get(printed)).text == "printed\n"
    assert (await client.get(printed, headers={"range": "bytes=0-4"})).text == "print"
    assert (await client.get(body["task_logs"][0]["stderr"])).text == "of the task\n"

    head = await client.head(address, params={"follow": "true"})
    assert (head.status_code, head.text) == (200, ""), "a request for headers does not wait for the run's end"
    await harness.end(run_id)
    await seen(harness, client, run_id)
    assert (await client.get(address, params={"follow": "true"})).text == "one\ntwo\n"
    assert (await client.get(printed, params={"follow": "true"})).text == "printed\n"
    await harness.blobs.put_bytes(f"jobs/{run_id}/1/logs/engine.log", b"all of it\n")
    await harness.blobs.put_bytes(f"jobs/{run_id}/1/logs/tasks/align-0.stderr", b"whole\n")
    assert (await client.get(address)).text == "all of it\n"
    assert (await client.get(address, headers={"range": "bytes=-3"})).text == "it\n"
    assert (await client.get(printed)).text == ""
    await harness.blobs.put_bytes(f"jobs/{run_id}/1/logs/engine.stdout", b"of it\n")
    assert (await client.get(printed, headers={"range": "bytes=3-"})).text == "it\n"
    assert (await client.get(address)).text == ""
    await harness.blobs.put_bytes(f"jobs/{run_id}/1/logs/engine.stderr", b"all\n")
    assert (await client.get(address)).text == "all\n"
    await harness.cluster.logs.forget(DEFAULT_TENANT, job_id)
    assert (await client.get(address, params={"follow": "true"})).text == "all\n"
    assert (await client.get(printed, params={"follow": "true"})).text == "of it\n"
    assert (await client.get(body["task_logs"][0]["stderr"])).text == "whole\n"


async def test_addresses_are_the_ones_that_clients_use(harness: GatewayHarness) -> None:
    forwarded = {"x-forwarded-host": "wes.example.org", "x-forwarded-proto": "https"}
    async with harness.serve() as client:
        run_id = await run(client)
        body = answered(await client.get(f"{PREFIX}/runs/{run_id}", headers=forwarded), "RunLog")
        assert body["task_logs_url"].startswith("http://localhost/")
    async with harness.serve(trusted_proxies=("127.0.0.1",)) as client:
        body = answered(await client.get(f"{PREFIX}/runs/{run_id}", headers=forwarded), "RunLog")
        assert body["task_logs_url"].startswith("https://wes.example.org/ga4gh/")
    async with harness.serve(public_url="https://public.example/base/", trusted_proxies=("127.0.0.1",)) as client:
        body = answered(await client.get(f"{PREFIX}/runs/{run_id}", headers=forwarded), "RunLog")
        assert body["task_logs_url"] == f"https://public.example/base{PREFIX}/runs/{run_id}/tasks"


async def test_the_service_info_is_correct(harness: GatewayHarness) -> None:
    await harness.connect_runner("snakemake", "mock")
    settings = {
        "service_name": "WES of the lab",
        "service_tags": ("region=eu",),
        "auth_instructions_url": "https://lab.example/auth",
        "service_contact_url": "mailto:help@lab.example",
    }
    async with harness.serve(**settings) as client:
        await run(client)
        done = await run(client)
        await client.post(f"{PREFIX}/runs/{done}/cancel")

        body = answered(await client.get(f"{PREFIX}/service-info"), "ServiceInfo")

    assert body["name"] == "WES of the lab"
    assert body["type"] == {"group": "org.ga4gh", "artifact": "wes", "version": "1.1.0"}
    assert body["workflow_engine_versions"] == {
        "mock": {"workflow_engine_version": ["1"]},
        "snakemake": {"workflow_engine_version": ["1"]},
    }
    assert body["workflow_type_versions"]["SMK"] == {"workflow_type_version": ["1.0", "1"]}
    assert {name: count for name, count in body["system_state_counts"].items() if count} == {
        "QUEUED": 1,
        "CANCELED": 1,
    }
    assert len(body["system_state_counts"]) == 11
    assert body["auth_instructions_url"] == "https://lab.example/auth"
    assert body["contactUrl"] == "mailto:help@lab.example"
    assert body["documentationUrl"] == "http://localhost/docs"
    assert body["tags"] == {"region": "eu"}
    assert "1.1.0" in body["supported_wes_versions"]
    defaults = {parameter["name"]: parameter for parameter in body["default_workflow_engine_parameters"]}
    assert defaults["keep-going"]["default_value"] == "false"


@pytest.mark.parametrize("run_id", ["x", "%00", "%2e%2e", "0" * 300, NOBODY, "{run_id}", "-1"])
async def test_unknown_runs_are_not_found(client: httpx.AsyncClient, run_id: str) -> None:
    for suffix in ("", "/status", "/tasks", "/tasks/t", "/logs/stderr", "/outputs", "/outputs/x"):
        refused(await client.get(f"{PREFIX}/runs/{run_id}{suffix}"), 404)
    refused(await client.post(f"{PREFIX}/runs/{run_id}/cancel"), 404)


async def test_errors_have_one_form_on_every_path_below_the_prefix(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    refused(await client.get(f"{PREFIX}/nowhere"), 404)
    refused(await client.get(PREFIX), 404)
    wrong_method = await client.delete(f"{PREFIX}/runs")
    refused(wrong_method, 405)
    assert set(wrong_method.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}
    refused(await client.put(f"{PREFIX}/service-info"), 405)
    refused(await client.post(f"{PREFIX}/runs", json={"workflow_type": "SMK"}), 400)
    run_id = await run(client)
    refused(await client.get(f"{PREFIX}/runs/{run_id}/logs/stdin"), 404)
    assert (await client.get("/nowhere")).headers["content-type"] == "application/problem+json"
    async with harness.serve(max_upload_bytes=1024) as small:
        response = await small.post(f"{PREFIX}/runs", files=[("workflow_attachment", ("x", b"x" * 4096))])
        refused(response, 413)


async def test_the_prefix_can_be_another(harness: GatewayHarness) -> None:
    async with harness.serve(wes_prefix="/wes") as client:
        body = answered(await client.get("/wes/runs"), "RunListResponse")
        assert body == {"runs": [], "next_page_token": ""}
        refused(await client.get("/wes/runs/x"), 404)
        assert (await client.get(f"{PREFIX}/runs")).status_code == 404


async def test_a_held_run_has_the_reason(client: httpx.AsyncClient) -> None:
    run_id = await run(client)
    assert (await client.post(f"/jobs/{run_id}/hold", json={"reason": "new reference"})).status_code == 200
    body = await log_of(client, run_id)
    assert (body["state"], body["run_log"]["system_logs"]) == ("PAUSED", ["held: new reference"])
    assert (await client.post(f"/jobs/{run_id}/release")).status_code == 200
    body = await log_of(client, run_id)
    assert (body["state"], body["run_log"].get("system_logs")) == ("QUEUED", None)
