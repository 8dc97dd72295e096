"""The sweeper: what nothing refers to goes when it is old, and nothing else ever does."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest
from tests.gateway.gateway_harness import Json, Stage, now, submission, submit

from penstock_domain.policy.pipelines import Pipeline
from penstock_gateway.maintenance.sweeper import belongs_to, is_of_entry
from penstock_schemas.ids import JobId

FILES = {"files": {"Snakefile": "rule all:\n"}}
STRAY = "00000000-0000-4000-8000-000000000000"


def later(stage: Stage, **time: float) -> None:
    """Let time pass for the gateway and the store."""
    moment = now() + timedelta(**time)
    stage.clock = lambda: moment


@asynccontextmanager
async def days_later(stage: Stage, days: float = 3) -> AsyncGenerator[httpx.AsyncClient]:
    """The gateway of another day, with everything that was written before."""
    await stage.project()
    later(stage, days=days)
    async with stage.serve() as client:
        yield client


async def begin(stage: Stage) -> None:
    """Let the log begin; one without an event knows nothing of what is stored."""
    async with stage.serve() as client:
        await submit(client)


async def keys(stage: Stage) -> list[str]:
    return [item.key for item in await stage.blobs.list("")]


async def upload(client: httpx.AsyncClient, key: str | None = None) -> Json:
    response = await client.post(
        "/jobs",
        files=[("job", (None, json.dumps({"pipeline_name": "p"}))), ("files", ("Snakefile", b"rule all:\n"))],
        headers={} if key is None else {"idempotency-key": key},
    )
    assert response.status_code == 201, response.text
    job: Json = response.json()
    return job


async def test_the_files_of_jobs_stay(stage: Stage) -> None:
    async with stage.serve() as client:
        shared = await submit(client, source=FILES)
        for job in (await upload(client), await upload(client, key="k"), shared):
            for part in ("1/logs/engine.log", "1/logs/tasks/t.stdout", "outputs/a/b", "outputs.json"):
                await stage.blobs.put_bytes(f"jobs/{job['id']}/{part}", b"x")
    before = await keys(stage)
    async with days_later(stage, 400):
        swept = await stage.gateway.maintenance.sweeper.sweep()
    assert (swept.seen, swept.removed) == (len(before), ())
    assert await keys(stage) == before


async def test_a_bundle_goes_when_no_job_that_is_kept_brought_it(stage: Stage) -> None:
    async with stage.serve() as client:
        jobs = [(await submit(client, source=FILES))["id"] for _ in range(2)]
        for job_id in jobs:
            await client.post(f"/jobs/{job_id}/cancel")
        (bundle,) = await keys(stage)
    for job_id, left in zip(jobs, ([bundle], []), strict=True):
        async with days_later(stage) as client:
            assert (await client.delete(f"/jobs/{job_id}")).status_code == 204
            await stage.project()
            await stage.gateway.maintenance.sweeper.sweep()
            assert await keys(stage) == left


async def test_what_is_older_than_the_log_is_another_logs(stage: Stage) -> None:
    before = [f"jobs/{STRAY}/source/Snakefile", "pipelines/gone/1/source.json", "sources/2026-01-01/x.json"]
    for key in before:
        await stage.blobs.put_bytes(key, b"x")
    async with days_later(stage, 9):
        assert (await stage.gateway.maintenance.sweeper.sweep()).removed == ()
    await begin(stage)
    async with days_later(stage, 20):
        assert (await stage.gateway.maintenance.sweeper.sweep()).removed == ()
    assert await keys(stage) == before


async def test_the_pins_of_a_source_stay_for_a_year_after_its_last_run(stage: Stage) -> None:
    await begin(stage)
    await stage.blobs.put_bytes("remote-sources/default/x.json", b"x")
    async with days_later(stage, 360):
        assert (await stage.gateway.maintenance.sweeper.sweep()).removed == ()
    async with days_later(stage, 370):
        assert (await stage.gateway.maintenance.sweeper.sweep()).removed == ("remote-sources/default/x.json",)


async def test_a_young_bundle_stays_for_submissions_that_share_it(stage: Stage) -> None:
    await begin(stage)
    await stage.blobs.put_bytes("sources/2026-01-01/x.json", b"x")
    async with days_later(stage, 1.9):
        assert (await stage.gateway.maintenance.sweeper.sweep()).removed == ()


async def test_submissions_share_a_bundle_for_a_day_and_a_key_means_the_same_ever_after(stage: Stage) -> None:
    submitted = {**submission(source=FILES), "idempotency_key": "k"}
    async with stage.serve() as client:
        first = (await client.post("/jobs", json=submitted)).json()
        await submit(client, source=FILES)
        assert len(await keys(stage)) == 1
    async with days_later(stage) as client:
        again = await client.post("/jobs", json=submitted)
        assert (again.status_code, again.json()["id"]) == (200, first["id"])
        await submit(client, source=FILES)
        assert len(await keys(stage)) == 2


async def test_what_a_killed_gateway_left_of_an_upload_goes(stage: Stage) -> None:
    async with stage.serve() as client:
        kept = (await upload(client, key="k"))["id"]
    before = await keys(stage)
    strays = [f"jobs/{STRAY}/source/Snakefile", f"jobs/{kept}/source-0123456789ab/Snakefile", "jobs/odd/name"]
    for key in (*strays, f"jobs/{kept}/source-0123456789ab.json"):
        await stage.blobs.put_bytes(key, b"x")
    async with days_later(stage, 1):
        assert (await stage.gateway.maintenance.sweeper.sweep()).removed == ()
    async with days_later(stage):
        assert len((await stage.gateway.maintenance.sweeper.sweep()).removed) == 4
    assert await keys(stage) == before


async def test_an_upload_that_goes_on_keeps_its_first_files(stage: Stage) -> None:
    await begin(stage)
    await stage.project()
    await stage.blobs.put_bytes(f"jobs/{STRAY}/source/a", b"x")
    later(stage, days=3)
    await stage.blobs.put_bytes(f"jobs/{STRAY}/source/b", b"x")
    async with stage.serve():
        assert (await stage.gateway.maintenance.sweeper.sweep()).removed == ()


async def test_what_a_lost_runner_stored_for_a_deleted_job_goes(stage: Stage) -> None:
    async with stage.serve() as client:
        job_id = (await submit(client))["id"]
        await client.post(f"/jobs/{job_id}/cancel")
        await client.delete(f"/jobs/{job_id}")
        await stage.blobs.put_bytes(f"jobs/{job_id}/1/logs/engine.log", b"late")
    async with days_later(stage):
        await stage.gateway.maintenance.sweeper.sweep()
    assert await keys(stage) == []


async def test_the_files_of_catalogue_entries_stay_and_those_of_refused_ones_go(stage: Stage) -> None:
    async with stage.serve() as client:
        for snakefile, status in (("rule a:\n", 201), ("rule b:\n", 409)):
            entry = {"name": "p", "version": "1", "source": {"files": {"Snakefile": snakefile}}}
            assert (await client.post("/pipelines", json=entry)).status_code == status
        await client.delete("/pipelines/p/versions/1")
    before = await keys(stage)
    assert len(before) == 2
    strays = ("pipelines/p/1/0.json", "pipelines/p/1/0/Snakefile", "pipelines/q/1/0.json", f"plans/{STRAY}/Snakefile")
    for key in strays:
        await stage.blobs.put_bytes(key, b"x")
    async with days_later(stage, 1):
        assert (await stage.gateway.maintenance.sweeper.sweep()).removed == ()
    async with days_later(stage):
        assert set((await stage.gateway.maintenance.sweeper.sweep()).removed) == set(strays)
    assert await keys(stage) == before


async def test_what_is_left_of_an_upload_is_found_behind_many_outputs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock_gateway.maintenance.sweeper.MAX_UPLOAD_FILES", 3)
    async with stage.serve() as client:
        job_id = (await upload(client, key="k"))["id"]
    for number in range(5):
        await stage.blobs.put_bytes(f"jobs/{job_id}/outputs/{number}", b"x")
    before = await keys(stage)
    await stage.blobs.put_bytes(f"jobs/{job_id}/source-0123456789ab/Snakefile", b"x")
    async with days_later(stage):
        await stage.gateway.maintenance.sweeper.sweep()
    assert await keys(stage) == before


async def test_it_goes_on_where_it_stopped(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_gateway.maintenance.sweeper.PAGE", 3)
    monkeypatch.setattr("penstock_gateway.maintenance.sweeper.MAX_PAGES", 1)
    await begin(stage)
    for number in range(10):
        await stage.blobs.put_bytes(f"sources/2026-01-01/{number}.json", b"x")
    async with days_later(stage):
        assert [len((await stage.gateway.maintenance.sweeper.sweep()).removed) for _ in range(5)] == [3, 3, 3, 1, 0]


async def test_nothing_goes_while_the_index_is_behind(stage: Stage) -> None:
    async with stage.serve() as client:
        await submit(client, source=FILES)
    later(stage, days=3)
    async with stage.serve(state_dir=stage.settings.state_dir / "new"):  # nothing was projected: it knows no job
        with pytest.raises(Exception, match="not yet up to"):
            await stage.gateway.maintenance.sweeper.sweep()
    assert len(await keys(stage)) == 1


def test_a_blob_of_no_job_and_of_no_entry_belongs_nowhere() -> None:
    assert not belongs_to(None, f"jobs/{JobId(STRAY)}/source/a")
    assert not is_of_entry(None, "pipelines/p/1/x.json")
    assert not is_of_entry(Pipeline(name="p"), "pipelines/p/1/x.json")
