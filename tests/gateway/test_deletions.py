"""Deleting jobs over HTTP and by policy: logged first, then performed, and continued after a crash."""

import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from tests.gateway.gateway_harness import GatewayHarness, Json, now, problem, submission, submit

from penstock_domain import aggregates
from penstock_gateway.index.job_status import DetailedStatus
from penstock_gateway.maintenance.retention import RetentionPolicy
from penstock_ports import Unavailable
from penstock_schemas.access import Principal, Role
from penstock_schemas.events import JobDeleted
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import Failure, FailureCause, TaskCounts
from penstock_schemas.views import LogChunk, LogStream


async def ended(
    harness: GatewayHarness, client: httpx.AsyncClient, failure: Failure | None = None, **changes: object
) -> str:
    """A job that ran and left something behind."""
    job_id: str = (await submit(client, **changes))["id"]
    for key in ("source/Snakefile", "source.json", "1/logs/engine.log", "outputs/a.txt", "outputs.json"):
        await harness.blobs.put_bytes(f"jobs/{job_id}/{key}", b"x")
    await harness.start(job_id)
    chunk = LogChunk(job_id=JobId(job_id), attempt=1, stream=LogStream.STDOUT, text="x", time=now(), task_id=None)
    await harness.cluster.logs.append(DEFAULT_TENANT, [chunk])
    await harness.cluster.tasks.put(DEFAULT_TENANT, JobId(job_id), (), TaskCounts(total=1))
    await harness.end(job_id, failure)
    await harness.project()
    return job_id


async def keys(harness: GatewayHarness) -> list[str]:
    return [item.key for item in await harness.blobs.list("")]


async def listed(client: httpx.AsyncClient, **parameters: str) -> tuple[int, list[str]]:
    page: Json = (await client.get("/jobs", params=parameters)).json()
    return page["total"], [job["id"] for job in page["jobs"]]


async def test_a_deleted_job_is_gone_and_its_history_stays(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    kept = (await submit(client, labels={"project": "covid"}))["id"]
    job_id = await ended(harness, client, labels={"project": "covid"}, description="to be found")
    assert (await listed(client, label="project:covid"))[0] == 2

    response = await client.delete(f"/jobs/{job_id}", params={"reason": "wrong sample"})
    assert (response.status_code, response.content) == (204, b"")

    assert await keys(harness) == []
    assert await harness.cluster.logs.read(DEFAULT_TENANT, JobId(job_id)) == ()
    assert await harness.cluster.tasks.counts(DEFAULT_TENANT, JobId(job_id)) is None
    for path in ("", "/tasks", "/logs", "/outputs", "/outputs/a.txt"):
        assert "was deleted at" in problem(await client.get(f"/jobs/{job_id}{path}"), 404)["detail"]
    for filters in ({}, {"label": "project:covid"}, {"pipeline": "variant_calling"}):
        assert await listed(client, **filters) == (1, [kept])
    assert await listed(client, q="to be found") == (0, [])
    assert await listed(client, status="completed") == (0, [])
    assert await listed(client, created_after="2020-01-01T00:00:00Z") == (1, [kept])
    last = (await client.get(f"/jobs/{job_id}/events")).json()["events"][-1]
    assert (last["type"], last["data"]["reason"], last["actor"]) == ("JobDeleted", "wrong sample", "user:anonymous")


async def test_deleting_again_does_no_harm(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    job_id = await ended(harness, client)
    for _ in range(2):
        assert (await client.delete(f"/jobs/{job_id}")).status_code == 204
    events = (await client.get(f"/jobs/{job_id}/events")).json()["events"]
    assert [event["type"] for event in events].count("JobDeleted") == 1


class TestIdempotencyKey:
    KEY: ClassVar = {"idempotency-key": "nightly"}

    async def test_after_a_deletion_it_makes_a_new_job_and_then_finds_that(
        self, harness: GatewayHarness, client: httpx.AsyncClient
    ) -> None:
        ids: list[str] = []
        for _ in range(3):
            answers = [await client.post("/jobs", json=submission(), headers=self.KEY) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [201, 200]
            assert len({answer.json()["id"] for answer in answers}) == 1
            ids.append(answers[0].json()["id"])
            await harness.start(ids[-1])
            await harness.end(ids[-1])
            assert (await client.delete(f"/jobs/{ids[-1]}")).status_code == 204
        assert len(set(ids)) == 3
        assert (await listed(client))[0] == 0

    async def test_another_request_may_use_it_then(self, harness: GatewayHarness, client: httpx.AsyncClient) -> None:
        job_id = (await client.post("/jobs", json=submission(), headers=self.KEY)).json()["id"]
        other = submission(description="other")
        problem(await client.post("/jobs", json=other, headers=self.KEY), 409)
        await client.post(f"/jobs/{job_id}/cancel")
        await client.delete(f"/jobs/{job_id}")
        assert (await client.post("/jobs", json=other, headers=self.KEY)).status_code == 201

    async def test_a_gateway_that_has_only_the_log_finds_the_same_job(self, harness: GatewayHarness) -> None:
        async with harness.serve() as client:
            for _ in range(2):
                job_id = (await client.post("/jobs", json=submission(), headers=self.KEY)).json()["id"]
                await client.post(f"/jobs/{job_id}/cancel")
                await client.delete(f"/jobs/{job_id}")
            job_id = (await client.post("/jobs", json=submission(), headers=self.KEY)).json()["id"]
        async with harness.serve(state_dir=harness.settings.state_dir / "new") as client:
            again = await client.post("/jobs", json=submission(), headers=self.KEY)
            assert (again.status_code, again.json()["id"]) == (200, job_id)

    async def test_files_that_come_with_it_belong_to_the_new_job(
        self, harness: GatewayHarness, client: httpx.AsyncClient
    ) -> None:
        async def send() -> str:
            form: Any = [("job", (None, '{"pipeline_name": "p"}')), ("files", ("Snakefile", b"rule all:\n"))]
            response = await client.post("/jobs", files=form, headers=self.KEY)
            assert response.status_code == 201, response.text
            job_id: str = response.json()["id"]
            assert all(key.startswith(f"jobs/{job_id}/") for key in await keys(harness))
            return job_id

        first = await send()
        await client.post(f"/jobs/{first}/cancel")
        await client.delete(f"/jobs/{first}")
        assert await keys(harness) == []
        assert await send() != first


async def test_no_submitted_data_is_left(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    secrets = {"parameters": {"a": "word1"}, "description": "word2", "labels": {"k": "word3"}}
    job_id = (await submit(client, **secrets, idempotency_key="word4"))["id"]
    await client.post(f"/jobs/{job_id}/cancel", json={"reason": "word5"})
    await client.delete(f"/jobs/{job_id}")
    await harness.project()
    left = harness.gateway.base.index.get(JobId(job_id)), await harness.cluster.jobs.get(JobId(job_id))
    assert "word" not in str(left)


async def test_the_list_stays_right_when_the_view_has_the_deletion(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        job_id = await ended(harness, client)
        kept = (await submit(client))["id"]
        await client.delete(f"/jobs/{job_id}")
        seq = await harness.project()
        assert await listed(client, min_seq=str(seq)) == (1, [kept])
    async with harness.serve(state_dir=harness.settings.state_dir / "new") as client:  # filled again
        assert await listed(client, min_seq=str(seq)) == (1, [kept])
        problem(await client.get(f"/jobs/{job_id}"), 404)


async def test_a_job_that_is_not_over_stays(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    job_id = (await submit(client))["id"]
    body = problem(await client.delete(f"/jobs/{job_id}"), 409)
    assert "cancel it first" in body["detail"]
    assert (await client.get(f"/jobs/{job_id}")).status_code == 200
    assert await keys(harness) == []


async def test_an_unknown_job_cannot_be_deleted(client: httpx.AsyncClient) -> None:
    problem(await client.delete("/jobs/00000000-0000-4000-8000-000000000000"), 404)


class TestInterruption:
    @pytest.fixture
    async def deleted(self, harness: GatewayHarness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> str:
        """A job whose blobs could not be removed when it was deleted."""
        job_id = await ended(harness, client)

        async def fail(key: str) -> None:
            raise Unavailable(f"blob {key}: no answer in time")

        with monkeypatch.context() as broken:
            broken.setattr(harness.blobs, "delete", fail)
            assert (await client.delete(f"/jobs/{job_id}")).status_code == 204
        assert len(await keys(harness)) == 6
        return job_id

    async def test_what_could_not_be_removed_is_removed_later(self, harness: GatewayHarness, deleted: str) -> None:
        await harness.gateway.maintenance.deletions.sweep()
        assert await keys(harness) == []

    async def test_a_deletion_succeeds_when_the_files_cannot_be_listed(
        self, harness: GatewayHarness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job_id = await ended(harness, client)

        async def fail(prefix: str) -> None:
            raise Unavailable(f"blobs {prefix}: no answer in time")

        with monkeypatch.context() as broken:
            broken.setattr(harness.blobs, "list", fail)
            assert (await client.delete(f"/jobs/{job_id}")).status_code == 204
            with pytest.raises(Unavailable, match="deletions/"):
                await harness.gateway.maintenance.deletions.sweep()
        await harness.gateway.maintenance.deletions.sweep()
        assert await keys(harness) == []

    async def test_a_repeated_deletion_removes_it_too(
        self, harness: GatewayHarness, client: httpx.AsyncClient, deleted: str
    ) -> None:
        assert (await client.delete(f"/jobs/{deleted}")).status_code == 204
        assert await keys(harness) == []


class Killed(BaseException):
    """What ends a process between two steps."""


class Steps:
    """Counts the steps of a deletion, each a request to the outside, and is killed at one of them."""

    def __init__(self, last: int) -> None:
        self.left = last

    def counted(self, call: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def one(*args: object, **kwargs: object) -> object:
            if self.left <= 0:
                raise Killed
            self.left -= 1
            return await call(*args, **kwargs)

        return one


async def test_a_deletion_that_is_killed_at_any_step_is_finished_or_never_was(harness: GatewayHarness) -> None:
    kills = 0
    while True:
        async with harness.serve() as client:
            job_id = await ended(harness, client)
            principal = Principal(tenant=DEFAULT_TENANT, name="a", role=Role.ADMIN)
            steps = Steps(kills)
            with pytest.MonkeyPatch.context() as broken:
                for port, names in (
                    (harness.blobs, ("put_bytes", "delete", "list")),
                    (harness.cluster.log, ("append",)),
                    (harness.cluster.tasks, ("forget",)),
                    (harness.cluster.logs, ("forget",)),
                ):
                    for name in names:
                        broken.setattr(port, name, steps.counted(getattr(port, name)))
                try:
                    await harness.gateway.maintenance.deletions.delete(principal, JobId(job_id))
                except* Killed:
                    pass
        async with harness.serve() as client:  # started again
            for _ in range(2):
                await harness.gateway.maintenance.deletions.sweep()
            if (await client.get(f"/jobs/{job_id}")).status_code == 200:
                assert len(await keys(harness)) == 5
                await client.delete(f"/jobs/{job_id}")
            assert await keys(harness) == []
            assert await harness.cluster.logs.read(DEFAULT_TENANT, JobId(job_id)) == ()
            assert await harness.cluster.tasks.counts(DEFAULT_TENANT, JobId(job_id)) is None
        if steps.left:
            break
        kills += 1
    assert kills > 8  # it was killed at every step before


async def test_nothing_is_removed_that_the_log_does_not_call_deleted(
    harness: GatewayHarness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await ended(harness, client)
    before = await keys(harness)

    async def refuse(*args: object, **kwargs: object) -> None:
        raise Unavailable("no answer")

    with monkeypatch.context() as broken:
        broken.setattr(harness.cluster.log, "append", refuse)
        problem(await client.delete(f"/jobs/{job_id}"), 503)
    assert (await client.get(f"/jobs/{job_id}")).status_code == 200
    for _ in range(2):  # the first one leaves the note: the event might be under way
        await harness.gateway.maintenance.deletions.sweep()
    assert await keys(harness) == before


def test_each_way_to_end_has_its_own_cutoff() -> None:
    time = now()
    policy = RetentionPolicy(completed_days=30, failed_days=7)
    assert policy.cutoffs(time) == {
        DetailedStatus.COMPLETED: time - timedelta(days=30),
        DetailedStatus.FAILED_BY_WORKFLOW: time - timedelta(days=7),
        DetailedStatus.FAILED_BY_SYSTEM: time - timedelta(days=7),
        DetailedStatus.PREEMPTED: time - timedelta(days=7),
    }
    assert RetentionPolicy().cutoffs(time) == {}


async def test_old_jobs_go_by_the_policy(harness: GatewayHarness, tmp_path: Path) -> None:
    async with harness.serve() as client:
        completed = await ended(harness, client)
        failed = await ended(harness, client, Failure(cause=FailureCause.WORKFLOW, message="m"))
        running = (await submit(client))["id"]
        await harness.project()
    for days, left in ((6, {completed, failed, running}), (8, {completed, running}), (31, {running})):
        clock = now() + timedelta(days=days)
        settings = {"retention_days": 30, "retention_failed_days": 7, "state_dir": tmp_path / str(days)}
        harness.clock = itertools.repeat(clock).__next__
        async with harness.serve(**settings) as client:
            await harness.gateway.maintenance.retention.sweep()
            assert set((await listed(client))[1]) == left
            assert await harness.gateway.maintenance.retention.sweep() == 0
        await harness.project()
    for job_id in (completed, failed):
        stored = (await harness.cluster.log.load(aggregates.job(DEFAULT_TENANT, JobId(job_id))))[-1]
        assert isinstance(stored.event.data, JobDeleted)
        assert stored.event.actor == "system:retention"
    assert not [key for key in await keys(harness) if key.startswith(f"jobs/{failed}/")]
