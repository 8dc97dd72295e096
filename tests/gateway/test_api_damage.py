"""A job whose events are damaged, over the native API on the in-memory cluster."""

from collections.abc import AsyncGenerator

import httpx
import pytest
from tests.gateway.gateway_harness import GatewayHarness, now, problem, submit
from tests.gateway.user_fixtures import BASIC, basic

from penstock_schemas.jobs import Damage
from penstock_schemas.views import SchedulerBeat


@pytest.fixture
async def client(harness: GatewayHarness) -> AsyncGenerator[httpx.AsyncClient, None]:
    async with harness.serve() as client:
        yield client


async def damaged_job(harness: GatewayHarness, client: httpx.AsyncClient) -> tuple[str, int]:
    """Submit a job and make its second event unreadable; return its id and that event's sequence."""
    job = await submit(client, hold=True)
    await client.post(f"/jobs/{job['id']}/release")
    seq = len(harness.cluster.log.stored)
    harness.cluster.log.damage(seq, "no JSON")
    return str(job["id"]), seq


async def test_a_damaged_job_is_reported_and_can_be_closed(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    job_id, seq = await damaged_job(harness, client)
    refused = problem(await client.post(f"/jobs/{job_id}/cancel"), 409)
    assert f"he event log of this job is damaged at sequence {seq}" in refused["detail"]
    events = (await client.get(f"/jobs/{job_id}/events")).json()["events"]
    assert [event["type"] for event in events] == ["JobSubmitted", "RecordDamaged"]
    closed = await client.post(f"/jobs/{job_id}/close", json={"reason": "a disk failed"})
    assert closed.status_code == 200, closed.text
    body = closed.json()
    assert (body["state"], body["status"], body["damage"]) == ("FAILED", "failed", None)
    assert body["error_message"].startswith(f"the event log of this job is damaged at sequence {seq}")
    again = problem(await client.post(f"/jobs/{job_id}/close"), 409)
    assert "are not damaged" in again["detail"]
    assert (await client.delete(f"/jobs/{job_id}")).status_code == 204


async def test_a_job_whose_deletion_the_log_lost_can_be_closed_and_deleted(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    job_id = (await submit(client, hold=True))["id"]
    await client.post(f"/jobs/{job_id}/cancel")
    assert (await client.delete(f"/jobs/{job_id}")).status_code == 204
    harness.cluster.log.damage(len(harness.cluster.log.stored), None)
    await harness.project()
    refused = problem(await client.delete(f"/jobs/{job_id}"), 409)
    assert "An operator can close job" in refused["detail"]
    closed = await client.post(f"/jobs/{job_id}/close", json={"reason": "a disk failed"})
    assert closed.status_code == 200, closed.text
    assert (await client.delete(f"/jobs/{job_id}")).status_code == 204
    assert (await client.get(f"/jobs/{job_id}")).status_code == 404


async def test_what_the_scheduler_found_damaged_is_in_the_status(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    damage = Damage(aggregate="job.default.x", seq=7, reason="the event is missing")
    beat = SchedulerBeat(holder="s", term=1, count=1, time=now(), damaged=1, damages=(damage,))
    await harness.cluster.heartbeats.beat_scheduler(beat)
    status = (await client.get("/status")).json()
    assert (status["damaged"], status["damages"]) == (
        1,
        [{"aggregate": "job.default.x", "seq": 7, "reason": "the event is missing"}],
    )
    await harness.gateway.base.readiness.refresh()
    ready = (await client.get("/readyz")).json()
    assert (ready["ready"], ready["warnings"]) == (
        True,
        ["1 event of the log is damaged: 'penstock doctor' lists the damage"],
    )


async def test_only_operators_close(harness: GatewayHarness) -> None:
    async with harness.serve(**BASIC) as client:
        client.headers.update(basic("ada"))
        job = await submit(client)
        harness.cluster.log.damage(len(harness.cluster.log.stored), "no JSON")
        assert (await client.post(f"/jobs/{job['id']}/close")).status_code == 403
