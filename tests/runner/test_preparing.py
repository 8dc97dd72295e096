"""Until its files are there an attempt has not started: the log at that time, and the result."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.runner.conftest import Stage
from tests.runner.faults import SlowBlobs

from penstock_runner.attempts import attempt as attempt_module
from penstock_runner.session import Shutdown
from penstock_schemas.events import JobRequeued
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import FailureCause, JobState, RequeueCause, Source, SourceKind
from penstock_testing.scripted_engine import ScriptedEngine, succeed

PATIENCE_S = 10.0
BUNDLE = Source(kind=SourceKind.BUNDLE, location="sources/b.json")
CONTENT = json.dumps({"files": {"Snakefile": {"text": "rule all:\n"}}}).encode()


@pytest.fixture
async def blobs(stage: Stage) -> SlowBlobs:
    stage.blobs = blobs = SlowBlobs()
    await blobs.put_bytes(BUNDLE.location, CONTENT)
    return blobs


@asynccontextmanager
async def preparing(stage: Stage, blobs: SlowBlobs, engine: ScriptedEngine) -> AsyncGenerator[tuple[JobId, Shutdown]]:
    """A runner that is fetching the files of a job which must not be begun twice."""
    async with stage.runner(engine) as shutdown:
        _, joined = await stage.desk.joined()
        job_id = await stage.desk.submit(source=BUNDLE, requeue=False)
        await stage.desk.assign(job_id, joined.runner_id)
        with anyio.fail_after(PATIENCE_S):
            await blobs.requested.wait()
        yield job_id, shutdown


async def test_an_attempt_starts_when_its_files_are_there(stage: Stage, blobs: SlowBlobs) -> None:
    engine = ScriptedEngine(succeed, needs_files=True)
    async with preparing(stage, blobs, engine) as (job_id, _):
        assert (await stage.desk.job(job_id)).state is JobState.ASSIGNED
        blobs.gate.set()
        await stage.desk.reaches(job_id, JobState.COMPLETED)
    events = [item.event for item in await stage.desk.history(job_id)]
    assert [type(event.data).__name__ for event in events[2:]] == ["AttemptStarted", "JobCompleted"]
    assert events[3].cause == events[2].id


async def test_a_source_that_cannot_be_used_fails_a_job_that_never_started(stage: Stage, blobs: SlowBlobs) -> None:
    await blobs.put_bytes(BUNDLE.location, b"no bundle")
    engine = ScriptedEngine(succeed, needs_files=True)
    async with preparing(stage, blobs, engine) as (job_id, _):
        blobs.gate.set()
        job = await stage.desk.reaches(job_id, JobState.FAILED)
    assert (job.started_at, job.failure is not None) == (None, True)
    assert engine.started == []


async def test_a_cancelled_job_is_not_started_and_leaves_nothing(stage: Stage, blobs: SlowBlobs) -> None:
    engine = ScriptedEngine(succeed, needs_files=True)
    async with preparing(stage, blobs, engine) as (job_id, _):
        await stage.desk.cancel(job_id, order_stop=False)
        blobs.gate.set()
        await stage.desk.reaches(job_id, JobState.CANCELLED)
    assert engine.started == []
    assert not (stage.folder / "work" / job_id).exists()


@pytest.mark.slow
@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "preempted"])
async def test_files_that_do_not_come_keep_nobody_from_ending(
    stage: Stage, blobs: SlowBlobs, monkeypatch: pytest.MonkeyPatch, is_cancelled: bool
) -> None:
    monkeypatch.setattr(attempt_module, "HALT_GRACE_S", 0.05)
    engine = ScriptedEngine(succeed, needs_files=True)
    async with preparing(stage, blobs, engine) as (job_id, shutdown):
        if is_cancelled:
            await stage.desk.cancel(job_id)
            await stage.desk.reaches(job_id, JobState.CANCELLED)
        else:
            shutdown.request()
            shutdown.request()
            await stage.desk.reaches(job_id, JobState.QUEUED)
            requeued = (await stage.desk.history(job_id))[-1].event.data
            assert isinstance(requeued, JobRequeued), "it was not begun, so it may be elsewhere"
            assert requeued.cause is RequeueCause.PREEMPTED
    assert engine.started == []


async def test_what_was_begun_and_must_not_be_twice_fails_with_its_runner(stage: Stage, blobs: SlowBlobs) -> None:
    engine = ScriptedEngine(needs_files=True)
    async with preparing(stage, blobs, engine) as (job_id, shutdown):
        blobs.gate.set()
        await stage.desk.reaches(job_id, JobState.RUNNING)
        shutdown.request()
        shutdown.request()
        job = await stage.desk.reaches(job_id, JobState.FAILED)
    assert job.failure is not None
    assert job.failure.cause is FailureCause.PREEMPTED
    assert not (stage.folder / "work" / job_id).exists()
