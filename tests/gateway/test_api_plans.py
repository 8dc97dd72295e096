"""`POST /jobs?dry_run=true`: the plan, or why there is none; and nothing in the log."""

import base64
import json
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import msgspec
import pytest
from msgspec import structs
from tests.gateway.gateway_harness import GatewayHarness, Json, pointers, problem
from tests.sources.test_archives import gzipped

from penstock_domain.engines.descriptor import Capabilities
from penstock_domain.engines.registry import EngineRegistry
from penstock_gateway.jobs.submission import planning
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.jobs import Failure, FailureCause, SourceKind, SourceManifest
from penstock_schemas.plans import Plan, PlannedRule, PlannedTask, PlanReply, PlanRequest

SUBMISSION: Json = {"pipeline_name": "p", "parameters": {"a": 1}, "source": {"files": {"Snakefile": "rule all:\n"}}}
PLAN = Plan(
    rules=(PlannedRule(rule="all", tasks=1),), tasks=(PlannedTask(id="all-1", rule="all", reason="why"),), total=1
)


async def plan_with(
    harness: GatewayHarness, client: httpx.AsyncClient, reply: PlanReply, **sent: Any
) -> tuple[httpx.Response, PlanRequest | None]:
    """Request a plan that a runner answers with `reply`; the files of the request exist only for that time."""
    requests: list[PlanRequest] = []
    kept = await harness.blobs.list("")

    async def answer(request: PlanRequest) -> PlanReply:
        requests.append(request)
        assert request.source is not None
        raw = await harness.blobs.get_bytes(request.source.location)
        if request.source.kind is SourceKind.FILES:
            for file in msgspec.json.decode(raw, type=SourceManifest).files:
                assert await harness.blobs.info(file.key) is not None
        return reply

    responses: list[httpx.Response] = []
    async with anyio.create_task_group() as group:
        group.start_soon(harness.cluster.plans.serve, ("snakemake",), answer)
        await anyio.lowlevel.checkpoint()
        responses.append(await client.post("/jobs?dry_run=true", **(sent or {"json": SUBMISSION})))
        group.cancel_scope.cancel()
    assert not harness.cluster.log.stored
    assert await harness.blobs.list("") == kept
    return responses[0], requests[0] if requests else None


async def test_a_plan_comes_from_a_runner_and_nothing_is_queued(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    response, request = await plan_with(harness, client, PlanReply(plan=PLAN))
    assert response.status_code == 200, response.text
    assert response.json() == {
        "rules": [{"rule": "all", "tasks": 1}],
        "tasks": [{"id": "all-1", "rule": "all", "wildcards": {}, "reason": "why"}],
        "total": 1,
        "is_cut": False,
        "findings": [],
        "refusal": None,
        "software": [],
    }
    assert request is not None
    assert (request.engine, request.parameters) == ("snakemake", {"a": 1})
    assert request.source is not None
    assert (await client.get("/jobs")).json()["total"] == 0


async def test_a_plan_by_an_engine_that_makes_none_is_refused(
    harness: GatewayHarness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the refusal the request would wait for a runner that never answers."""
    snakemake = installed_engines().find("snakemake")
    assert snakemake is not None
    without = EngineRegistry((structs.replace(snakemake, capabilities=Capabilities()),))
    monkeypatch.setattr(planning, "installed_engines", lambda: without)
    response, request = await plan_with(harness, client, PlanReply(plan=PLAN))
    assert pointers(response) == {"#/engine"}
    assert "makes no plans" in response.text
    assert request is None


async def test_a_workflow_that_would_fail_is_refused_with_its_own_words(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    failure = Failure(cause=FailureCause.WORKFLOW, message="syntax error in Snakefile, line 2: invalid syntax")
    response, _ = await plan_with(harness, client, PlanReply(failure=failure))
    assert pointers(response) == {"#/source"}
    assert "syntax error in Snakefile, line 2" in response.text


@pytest.mark.parametrize(
    "reply", [PlanReply(is_busy=True), PlanReply(failure=Failure(cause=FailureCause.SYSTEM, message="no disk"))]
)
async def test_a_runner_that_cannot_is_no_fault_of_the_request(
    harness: GatewayHarness, client: httpx.AsyncClient, reply: PlanReply
) -> None:
    response, _ = await plan_with(harness, client, reply)
    problem(response, 503)
    assert response.headers["retry-after"]


async def test_faults_of_the_request_are_reported_without_a_runner(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    problem(await client.post("/jobs?dry_run=true", json=SUBMISSION), 503)
    assert pointers(await client.post("/jobs?dry_run=maybe", json=SUBMISSION)) == {"dry_run"}
    assert pointers(await client.post("/jobs?dryrun=true", json=SUBMISSION)) == {"dryrun"}
    form = await client.post("/jobs?dry_run=true", files={"job": (None, "{}")})
    assert pointers(form) == {"#/pipeline_name"}
    assert not harness.cluster.log.stored
    assert await harness.blobs.list("") == ()


@pytest.mark.parametrize(
    "part",
    [("files", ("Snakefile", b"rule all:\n")), ("archive", ("w.tgz", gzipped({"w/Snakefile": b"rule all:\n"})))],
)
async def test_a_form_has_a_plan_too_and_nothing_of_it_is_kept(
    harness: GatewayHarness, client: httpx.AsyncClient, part: tuple[str, tuple[str, bytes]]
) -> None:
    job = json.dumps({"pipeline_name": "p", "parameters": {"a": 1}, "idempotency_key": "k"})
    parts: list[tuple[str, Any]] = [("job", (None, job)), part]
    response, request = await plan_with(harness, client, PlanReply(plan=PLAN), files=parts)
    assert (response.status_code, response.json()["total"]) == (200, 1), response.text
    assert request is not None
    assert request.source is not None
    assert request.source.kind is SourceKind.FILES
    for reply in (PlanReply(is_busy=True), PlanReply(failure=Failure(cause=FailureCause.WORKFLOW, message="no"))):
        response, _ = await plan_with(harness, client, reply, files=parts)
        assert response.status_code in (422, 503)
    assert pointers(await client.post("/jobs?dry_run=true", files=[parts[0]])) == {"#/source/files"}


async def test_an_archive_has_a_plan(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    archive = {"base64": base64.b64encode(gzipped({"w/Snakefile": b"rule all:\n"})).decode()}
    submitted = {"pipeline_name": "p", "source": {"archive": archive}}
    response, _ = await plan_with(harness, client, PlanReply(plan=PLAN), json=submitted)
    assert response.status_code == 200, response.text
