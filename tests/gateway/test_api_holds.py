"""Held jobs, and jobs that are not begun twice: over the native API, on the in-memory cluster."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from tests.gateway.gateway_harness import RUNNER, GatewayHarness, now, pointers, problem, submission, submit
from tests.gateway.user_fixtures import BASIC, basic

from penstock_schemas.commands import AbandonAttempt
from penstock_schemas.events import JobSubmitted
from penstock_schemas.jobs import RequeueCause

Json = dict[str, Any]


@pytest.fixture
async def client(harness: GatewayHarness) -> AsyncGenerator[httpx.AsyncClient, None]:
    async with harness.serve() as client:
        yield client


async def body_of(response: httpx.Response, status: int = 200) -> Json:
    assert response.status_code == status, response.text
    body: Json = response.json()
    return body


async def test_a_held_job_waits_until_it_is_released(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    job = await submit(client)
    held = await body_of(await client.post(f"/jobs/{job['id']}/hold", json={"reason": "new reference"}))
    assert (held["status"], held["state"]) == ("pending", "HELD")
    assert held["status_detail"] == "held: new reference; it waits until somebody releases it"
    assert (await client.get(f"/jobs/{job['id']}")).json() == held
    released = await body_of(await client.post(f"/jobs/{job['id']}/release"))
    assert (released["status"], released["state"]) == ("pending", "QUEUED")
    assert "held" not in released["status_detail"]
    events = (await client.get(f"/jobs/{job['id']}/events")).json()["events"]
    assert [event["type"] for event in events] == ["JobSubmitted", "JobHeld", "JobReleased"]
    assert [event["data"].get("reason") for event in events] == [None, "new reference", None]
    assert events[1]["actor"] == events[0]["actor"]


async def test_holding_and_releasing_again_does_no_harm(client: httpx.AsyncClient) -> None:
    job = await submit(client)
    assert (await body_of(await client.post(f"/jobs/{job['id']}/release")))["seq"] == job["seq"]
    held = await body_of(await client.post(f"/jobs/{job['id']}/hold"))
    assert held["status_detail"] == "held; it waits until somebody releases it"
    again = await client.post(f"/jobs/{job['id']}/hold", json={"reason": "another"})
    assert await body_of(again) == held
    assert again.headers["etag"] == f'"{held["seq"]}"'


async def test_a_job_can_be_submitted_held(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    job = await submit(client, hold=True)
    assert job["state"] == "HELD"
    assert (await body_of(await client.post(f"/jobs/{job['id']}/release")))["state"] == "QUEUED"
    await harness.start(job["id"])


async def test_a_held_job_is_cancelled_at_once(client: httpx.AsyncClient) -> None:
    job = await submit(client, hold=True)
    cancelled = await body_of(await client.post(f"/jobs/{job['id']}/cancel", json={"reason": "wrong"}), 202)
    assert (cancelled["state"], cancelled["status_detail"]) == ("CANCELLED", "wrong")
    refusal = problem(await client.post(f"/jobs/{job['id']}/release"), 409)
    assert refusal["type"].endswith("#not-possible-now")
    assert "is already cancelled" in refusal["detail"]


@pytest.mark.parametrize("action", ["hold", "release"])
async def test_what_does_not_wait_is_neither_held_nor_released(
    harness: GatewayHarness, client: httpx.AsyncClient, action: str
) -> None:
    job = await submit(client)
    await harness.start(job["id"])
    participle = {"hold": "held", "release": "released"}[action]
    refused = problem(await client.post(f"/jobs/{job['id']}/{action}"), 409)
    assert refused["detail"] == f"Job {job['id']} is running; only one that waits can be {participle}."
    await harness.end(job["id"])
    refused = problem(await client.post(f"/jobs/{job['id']}/{action}"), 409)
    assert "already completed" in refused["detail"]


async def test_wrong_wishes_are_refused(client: httpx.AsyncClient) -> None:
    job = await submit(client)
    assert pointers(await client.post(f"/jobs/{job['id']}/hold", json={"because": "x"})) == {"#/because"}
    assert pointers(await client.post("/jobs", json=submission(hold="yes", requeue=1))) == {"#/hold", "#/requeue"}
    problem(await client.post("/jobs/00000000-0000-4000-8000-000000000000/hold"), 404)
    problem(await client.post("/jobs/nonsense/release"), 422)


async def test_the_owner_and_operators_hold_and_release(harness: GatewayHarness) -> None:
    async with harness.serve(**BASIC) as client:
        job = (await client.post("/jobs", json=submission(), headers=basic("ada"))).json()
        address = f"/jobs/{job['id']}"
        assert (await client.post(f"{address}/hold", headers=basic("olga"))).json()["state"] == "HELD"
        assert (await client.post(f"{address}/release", headers=basic("bo"))).status_code == 404, "it is hidden"
        assert (await client.post(f"{address}/release", headers=basic("ada"))).json()["state"] == "QUEUED"
        events = (await client.get(f"{address}/events", headers=basic("ada"))).json()["events"]
        assert [event["actor"] for event in events] == ["user:ada", "user:olga", "user:ada"]


async def test_held_jobs_are_pending_in_lists(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    held, _ = await submit(client, hold=True), await submit(client)
    listed = (await client.get("/jobs", params={"status": "pending"})).json()
    assert {job["id"]: job["state"] for job in listed["jobs"]}[held["id"]] == "HELD"
    assert listed["total"] == 2


async def test_a_repeated_submission_must_have_the_same_hold_and_requeue(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await client.post("/jobs", json=submission(hold=True), headers=headers)
    same = await client.post("/jobs", json=submission(hold=True), headers=headers)
    assert (first.status_code, same.status_code, same.json()["id"]) == (201, 200, first.json()["id"])
    assert (await client.post("/jobs", json=submission(), headers=headers)).status_code == 409
    assert (await client.post("/jobs", json=submission(hold=True, requeue=False), headers=headers)).status_code == 409


@pytest.mark.parametrize(
    ("fields", "requeue"),
    [
        ({}, True),
        ({"requeue": False}, False),
        ({"engine_parameters": {"no-requeue": None}}, False),
        ({"engine_parameters": {"--no_requeue": "true"}}, False),
        ({"engine_parameters": {"no-requeue": "false"}}, True),
        ({"engine_parameters": {"no-requeue": "false"}, "requeue": False}, False),
    ],
)
async def test_a_job_can_be_submitted_not_to_be_requeued(
    harness: GatewayHarness, client: httpx.AsyncClient, fields: Json, requeue: bool
) -> None:
    job = await submit(client, **fields)
    assert job["requeue"] is requeue
    submitted = harness.cluster.log.stored[-1].event.data
    assert isinstance(submitted, JobSubmitted)
    assert submitted.spec.requeue is requeue


@pytest.mark.parametrize(("cause", "blamed"), [(RequeueCause.PREEMPTED, "preempted"), (RequeueCause.LOST, "system")])
async def test_what_must_not_be_begun_twice_fails_once_it_began(
    harness: GatewayHarness, client: httpx.AsyncClient, cause: RequeueCause, blamed: str
) -> None:
    job = await submit(client, requeue=False)
    abandon = AbandonAttempt(now=now(), attempt=1, runner_id=RUNNER, cause=cause, reason="the machine is gone")
    await harness.start(job["id"])
    await harness.execute(job["id"], abandon)
    failed = (await client.get(f"/jobs/{job['id']}", params={"min_seq": await harness.cluster.log.last_seq()})).json()
    assert (failed["status"], failed["failure"]["cause"]) == ("failed", blamed)
    assert failed["error_message"] == (
        "the attempt ended without an outcome: the machine is gone; the job was submitted with requeue off"
    )
