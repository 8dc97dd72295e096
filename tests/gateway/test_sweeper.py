"""The sweeper: what nothing refers to goes when it is old, and nothing else ever does."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest
from tests.gateway.gateway_harness import GatewayHarness, Json, now, submission, submit

from penstock_domain.policy.pipelines import Pipeline
from penstock_gateway.maintenance.sweeper import belongs_to, is_of_entry
from penstock_schemas.ids import JobId

FILES = {"files": {"Snakefile": "rule all:\n"}}
STRAY = "00000000-0000-4000-8000-000000000000"


def later(harness: GatewayHarness, **time: float) -> None:
    """Let time pass for the gateway and the store."""
    moment = now() + timedelta(**time)
    harness.clock = lambda: moment


@asynccontextmanager
async def days_later(harness: GatewayHarness, days: float = 3) -> AsyncGenerator[httpx.AsyncClient]:
    """The gateway of another day, with everything that was written before."""
    await harness.project()
    later(harness, days=days)
    async with harness.serve() as client:
        yield client


async def begin(harness: GatewayHarness) -> None:
    """Let the log begin; one without an event knows nothing of what is stored."""
    async with harness.serve() as client:
        await submit(client)


async def keys(harness: GatewayHarness) -> list[str]:
    return [item.key for item in await harness.blobs.list("")]


async def upload(client: httpx.AsyncClient, key: str | None = None) -> Json:
    response = await client.post(
        "/jobs",
        files=[("job", (None, json.dumps({"pipeline_name": "p"}))), ("files", ("Snakefile", b"rule all:\n"))],
        headers={} if key is None else {"idempotency-key": key},
    )
    assert response.status_code == 201, response.text
    job: Json = response.json()
    return job


async def test_the_files_of_jobs_stay(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        shared = await submit(client, source=FILES)
        for job in (await upload(client), await upload(client, key="k"), shared):
            for part in ("1/logs/engine.log", "1/logs/tasks/t.stdout", "outputs/a/b", "outputs.json"):
                await harness.blobs.put_bytes(f"jobs/{job['id']}/{part}", b"x")
    before = await keys(harness)
    async with days_later(harness, 400):
        swept = await harness.gateway.maintenance.sweeper.sweep()
    assert (swept.seen, swept.removed) == (len(before), ())
    assert await keys(harness) == before


async def test_a_bundle_goes_when_no_job_that_is_kept_brought_it(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        jobs = [(await submit(client, source=FILES))["id"] for _ in range(2)]
        for job_id in jobs:
            await client.post(f"/jobs/{job_id}/cancel")
        (bundle,) = await keys(harness)
    for job_id, left in zip(jobs, ([bundle], []), strict=True):
        async with days_later(harness) as client:
            assert (await client.delete(f"/jobs/{job_id}")).status_code == 204
            await harness.project()
            await harness.gateway.maintenance.sweeper.sweep()
            assert await keys(harness) == left


async def test_what_is_older_than_the_log_is_another_logs(harness: GatewayHarness) -> None:
    before = [f"jobs/{STRAY}/source/Snakefile", "pipelines/gone/1/source.json", "sources/2026-01-01/x.json"]
    for key in before:
        await harness.blobs.put_bytes(key, b"x")
    async with days_later(harness, 9):
        assert (await harness.gateway.maintenance.sweeper.sweep()).removed == ()
    await begin(harness)
    async with days_later(harness, 20):
        assert (await harness.gateway.maintenance.sweeper.sweep()).removed == ()
    assert await keys(harness) == before


async def test_the_pins_of_a_source_stay_for_a_year_after_its_last_run(harness: GatewayHarness) -> None:
    await begin(harness)
    await harness.blobs.put_bytes("remote-sources/default/x.json", b"x")
    async with days_later(harness, 360):
        assert (await harness.gateway.maintenance.sweeper.sweep()).removed == ()
    async with days_later(harness, 370):
        assert (await harness.gateway.maintenance.sweeper.sweep()).removed == ("remote-sources/default/x.json",)


async def test_a_young_bundle_stays_for_submissions_that_share_it(harness: GatewayHarness) -> None:
    await begin(harness)
    await harness.blobs.put_bytes("sources/2026-01-01/x.json", b"x")
    async with days_later(harness, 1.9):
        assert (await harness.gateway.maintenance.sweeper.sweep()).removed == ()


async def test_submissions_share_a_bundle_for_a_day_and_a_key_means_the_same_ever_after(
    harness: GatewayHarness,
) -> None:
    submitted = {**submission(source=FILES), "idempotency_key": "k"}
    async with harness.serve() as client:
        first = (await client.post("/jobs", json=submitted)).json()
        await submit(client, source=FILES)
        assert len(await keys(harness)) == 1
    async with days_later(harness) as client:
        again = await client.post("/jobs", json=submitted)
        assert (again.status_code, again.json()["id"]) == (200, first["id"])
        await submit(client, source=FILES)
        assert len(await keys(harness)) == 2


async def test_what_a_killed_gateway_left_of_an_upload_goes(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        kept = (await upload(client, key="k"))["id"]
    before = await keys(harness)
    strays = [f"jobs/{STRAY}/source/Snakefile", f"jobs/{kept}/source-0123456789ab/Snakefile", "jobs/odd/name"]
    for key in (*strays, f"jobs/{kept}/source-0123456789ab.json"):
        await harness.blobs.put_bytes(key, b"x")
    async with days_later(harness, 1):
        assert (await harness.gateway.maintenance.sweeper.sweep()).removed == ()
    async with days_later(harness):
        assert len((await harness.gateway.maintenance.sweeper.sweep()).removed) == 4
    assert await keys(harness) == before


async def test_an_upload_that_goes_on_keeps_its_first_files(harness: GatewayHarness) -> None:
    await begin(harness)
    await harness.project()
    await harness.blobs.put_bytes(f"jobs/{STRAY}/source/a", b"x")
    later(harness, days=3)
    await harness.blobs.put_bytes(f"jobs/{STRAY}/source/b", b"x")
    async with harness.serve():
        assert (await harness.gateway.maintenance.sweeper.sweep()).removed == ()


async def test_what_a_lost_runner_stored_for_a_deleted_job_goes(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        job_id = (await submit(client))["id"]
        await client.post(f"/jobs/{job_id}/cancel")
        await client.delete(f"/jobs/{job_id}")
        await harness.blobs.put_bytes(f"jobs/{job_id}/1/logs/engine.log", b"late")
    async with days_later(harness):
        await harness.gateway.maintenance.sweeper.sweep()
    assert await keys(harness) == []


async def test_the_files_of_catalogue_entries_stay_and_those_of_refused_ones_go(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        for snakefile, status in (("rule a:\n", 201), ("rule b:\n", 409)):
            entry = {"name": "p", "version": "1", "source": {"files": {"Snakefile": snakefile}}}
            assert (await client.post("/pipelines", json=entry)).status_code == status
        await client.delete("/pipelines/p/versions/1")
    before = await keys(harness)
    assert len(before) == 2
    strays = ("pipelines/p/1/0.json", "pipelines/p/1/0/Snakefile", "pipelines/q/1/0.json", f"plans/{STRAY}/Snakefile")
    for key in strays:
        await harness.blobs.put_bytes(key, b"x")
    async with days_later(harness, 1):
        assert (await harness.gateway.maintenance.sweeper.sweep()).removed == ()
    async with days_later(harness):
        assert set((await harness.gateway.maintenance.sweeper.sweep()).removed) == set(strays)
    assert await keys(harness) == before


async def test_what_is_left_of_an_upload_is_found_behind_many_outputs(
    harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock_gateway.maintenance.sweeper.MAX_UPLOAD_FILES", 3)
    async with harness.serve() as client:
        job_id = (await upload(client, key="k"))["id"]
    for number in range(5):
        await harness.blobs.put_bytes(f"jobs/{job_id}/outputs/{number}", b"x")
    before = await keys(harness)
    await harness.blobs.put_bytes(f"jobs/{job_id}/source-0123456789ab/Snakefile", b"x")
    async with days_later(harness):
        await harness.gateway.maintenance.sweeper.sweep()
    assert await keys(harness) == before


async def test_it_goes_on_where_it_stopped(harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_gateway.maintenance.sweeper.PAGE", 3)
    monkeypatch.setattr("penstock_gateway.maintenance.sweeper.MAX_PAGES", 1)
    await begin(harness)
    for number in range(10):
        await harness.blobs.put_bytes(f"sources/2026-01-01/{number}.json", b"x")
    async with days_later(harness):
        assert [len((await harness.gateway.maintenance.sweeper.sweep()).removed) for _ in range(5)] == [3, 3, 3, 1, 0]


async def test_nothing_goes_while_the_index_is_behind(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        await submit(client, source=FILES)
    later(harness, days=3)
    async with harness.serve(state_dir=harness.settings.state_dir / "new"):  # nothing was projected: it knows no job
        with pytest.raises(Exception, match="not yet up to"):
            await harness.gateway.maintenance.sweeper.sweep()
    assert len(await keys(harness)) == 1


def test_a_blob_of_no_job_and_of_no_entry_belongs_nowhere() -> None:
    assert not belongs_to(None, f"jobs/{JobId(STRAY)}/source/a")
    assert not is_of_entry(None, "pipelines/p/1/x.json")
    assert not is_of_entry(Pipeline(name="p"), "pipelines/p/1/x.json")
