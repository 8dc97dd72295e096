"""Deleting jobs over HTTP and by policy: said first, removed then, and taken up again after a crash."""

import itertools
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from tests.gateway.stage import Json, Stage, now, problem, submit

from penstock_core import aggregates
from penstock_core.ports import Unavailable
from penstock_gateway.retention import RetentionPolicy
from penstock_gateway.standings import Standing
from penstock_schemas.events import JobDeleted
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import Failure, FailureCause, TaskCounts
from penstock_schemas.views import LogChunk, LogStream


async def ended(stage: Stage, client: httpx.AsyncClient, failure: Failure | None = None, **changes: object) -> str:
    """A job that ran and left something behind."""
    job_id: str = (await submit(client, **changes))["id"]
    for key in ("source/Snakefile", "source.json", "1/logs/engine.log", "outputs/a.txt", "outputs.json"):
        await stage.blobs.put_bytes(f"jobs/{job_id}/{key}", b"x")
    await stage.start(job_id)
    chunk = LogChunk(job_id=JobId(job_id), attempt=1, stream=LogStream.STDOUT, text="x", time=now(), task_id=None)
    await stage.cluster.logs.append(DEFAULT_TENANT, [chunk])
    await stage.cluster.tasks.put(DEFAULT_TENANT, JobId(job_id), (), TaskCounts(total=1))
    await stage.end(job_id, failure)
    await stage.project()
    return job_id


async def keys(stage: Stage) -> list[str]:
    return [each.key for each in await stage.blobs.list("")]


async def listed(client: httpx.AsyncClient, **parameters: str) -> tuple[int, list[str]]:
    page: Json = (await client.get("/jobs", params=parameters)).json()
    return page["total"], [job["id"] for job in page["jobs"]]


async def test_a_deleted_job_is_gone_and_its_history_stays(stage: Stage, client: httpx.AsyncClient) -> None:
    kept = (await submit(client, labels={"project": "covid"}))["id"]
    job_id = await ended(stage, client, labels={"project": "covid"}, description="to be found")
    assert (await listed(client, label="project:covid"))[0] == 2

    response = await client.delete(f"/jobs/{job_id}", params={"reason": "wrong sample"})
    assert (response.status_code, response.content) == (204, b"")

    assert await keys(stage) == []
    assert await stage.cluster.logs.read(DEFAULT_TENANT, JobId(job_id)) == ()
    assert await stage.cluster.tasks.counts(DEFAULT_TENANT, JobId(job_id)) is None
    for path in ("", "/tasks", "/logs", "/outputs", "/outputs/a.txt"):
        assert "was deleted at" in problem(await client.get(f"/jobs/{job_id}{path}"), 404)["detail"]
    for filters in ({}, {"label": "project:covid"}, {"pipeline": "variant_calling"}):
        assert await listed(client, **filters) == (1, [kept])
    assert await listed(client, q="to be found") == (0, [])
    assert await listed(client, status="completed") == (0, [])
    assert await listed(client, created_after="2020-01-01T00:00:00Z") == (1, [kept])
    last = (await client.get(f"/jobs/{job_id}/events")).json()["events"][-1]
    assert (last["type"], last["data"]["reason"], last["actor"]) == ("JobDeleted", "wrong sample", "user:anonymous")


async def test_deleting_again_does_no_harm(stage: Stage, client: httpx.AsyncClient) -> None:
    job_id = await ended(stage, client)
    for _ in range(2):
        assert (await client.delete(f"/jobs/{job_id}")).status_code == 204
    events = (await client.get(f"/jobs/{job_id}/events")).json()["events"]
    assert [each["type"] for each in events].count("JobDeleted") == 1


async def test_the_list_stays_right_when_the_view_tells_of_the_deletion(stage: Stage) -> None:
    async with stage.serve() as client:
        job_id = await ended(stage, client)
        kept = (await submit(client))["id"]
        await client.delete(f"/jobs/{job_id}")
        seq = await stage.project()
        assert await listed(client, min_seq=str(seq)) == (1, [kept])
    async with stage.serve(state_dir=stage.settings.state_dir / "new") as client:  # filled anew
        assert await listed(client, min_seq=str(seq)) == (1, [kept])
        problem(await client.get(f"/jobs/{job_id}"), 404)


async def test_a_job_that_is_not_over_stays(stage: Stage, client: httpx.AsyncClient) -> None:
    job_id = (await submit(client))["id"]
    body = problem(await client.delete(f"/jobs/{job_id}"), 409)
    assert "cancel it first" in body["detail"]
    assert (await client.get(f"/jobs/{job_id}")).status_code == 200
    assert await keys(stage) == []


async def test_an_unknown_job_cannot_be_deleted(client: httpx.AsyncClient) -> None:
    problem(await client.delete("/jobs/00000000-0000-4000-8000-000000000000"), 404)


class TestInterruption:
    @pytest.fixture
    async def deleted(self, stage: Stage, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> str:
        """A job whose blobs could not be removed when it was deleted."""
        job_id = await ended(stage, client)

        async def fail(key: str) -> None:
            raise Unavailable(f"blob {key}: no answer in time")

        with monkeypatch.context() as broken:
            broken.setattr(stage.blobs, "delete", fail)
            assert (await client.delete(f"/jobs/{job_id}")).status_code == 204
        assert len(await keys(stage)) == 6
        return job_id

    async def test_what_could_not_be_removed_is_removed_later(self, stage: Stage, deleted: str) -> None:
        await stage.gateway.deletions.sweep()
        assert await keys(stage) == []

    async def test_asking_again_removes_it_too(self, stage: Stage, client: httpx.AsyncClient, deleted: str) -> None:
        assert (await client.delete(f"/jobs/{deleted}")).status_code == 204
        assert await keys(stage) == []


async def test_nothing_is_removed_that_the_log_does_not_call_deleted(
    stage: Stage, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await ended(stage, client)
    before = await keys(stage)

    async def refuse(*args: object, **kwargs: object) -> None:
        raise Unavailable("no answer")

    with monkeypatch.context() as broken:
        broken.setattr(stage.cluster.log, "append", refuse)
        problem(await client.delete(f"/jobs/{job_id}"), 503)
    assert (await client.get(f"/jobs/{job_id}")).status_code == 200
    for _ in range(2):  # the first one leaves the note: the event might be under way
        await stage.gateway.deletions.sweep()
    assert await keys(stage) == before


def test_each_way_to_end_has_its_own_cutoff() -> None:
    time = now()
    policy = RetentionPolicy(completed_days=30, failed_days=7)
    assert policy.cutoffs(time) == {
        Standing.COMPLETED: time - timedelta(days=30),
        Standing.FAILED_BY_WORKFLOW: time - timedelta(days=7),
        Standing.FAILED_BY_SYSTEM: time - timedelta(days=7),
        Standing.PREEMPTED: time - timedelta(days=7),
    }
    assert RetentionPolicy().cutoffs(time) == {}


async def test_old_jobs_go_by_the_policy(stage: Stage, tmp_path: Path) -> None:
    async with stage.serve() as client:
        completed = await ended(stage, client)
        failed = await ended(stage, client, Failure(cause=FailureCause.WORKFLOW, message="m"))
        running = (await submit(client))["id"]
        await stage.project()
    for days, left in ((6, {completed, failed, running}), (8, {completed, running}), (31, {running})):
        clock = now() + timedelta(days=days)
        settings = {"retention_days": 30, "retention_failed_days": 7, "state_dir": tmp_path / str(days)}
        stage.clock = itertools.repeat(clock).__next__
        async with stage.serve(**settings) as client:
            await stage.gateway.retention.sweep()
            assert set((await listed(client))[1]) == left
            assert await stage.gateway.retention.sweep() == 0
        await stage.project()
    for job_id in (completed, failed):
        stored = (await stage.cluster.log.load(aggregates.job(DEFAULT_TENANT, JobId(job_id))))[-1]
        assert isinstance(stored.event.data, JobDeleted)
        assert stored.event.actor == "system:retention"
    assert not [key for key in await keys(stage) if key.startswith(f"jobs/{failed}/")]
