"""Results that the blob store does not take: kept, offered again for a bounded time, and shown meanwhile."""

import subprocess
from collections.abc import AsyncIterable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runner.conftest import TERMS, Stage
from tests.runner.faults import FailingBlobs
from tests.runner.runner_harness import eventually
from tests.s3 import BUCKET, running_s3

from penstock_execution.engine import Attempt, Emit, LogWritten, Outcome
from penstock_execution.files.produced import Declared
from penstock_execution.files.produced_files import collect
from penstock_execution.local_workspace import local_folders
from penstock_jetstream.adapters.blobs import open_blobs
from penstock_ports import Unavailable
from penstock_runner.attempts.upload_retries import UploadFailed, UploadRetries
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.events import ResultsDelayed
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import Failure, FailureCause, JobState
from penstock_schemas.views import Job, LogStream
from penstock_testing.scripted_engine import Script, ScriptedEngine, succeed

BLOCK_BYTES = 1 << 20
DISK_BYTES = 8 << 20


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_runner.attempts.upload_retries.PAUSES_S", (0.01, 0.02, 0.05))
    monkeypatch.setattr("penstock_runner.attempts.upload_retries.QUICK_S", 0.05)


def writes(size_bytes: int = 1, *, failure: Failure | None = None) -> Script:
    """Write one output."""

    async def script(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
        await anyio.Path(local_folders(attempt.workspace).work_dir / "result").write_bytes(b"x" * size_bytes)
        emit(LogWritten(stream=LogStream.ENGINE, text="done\n"))
        produced = collect(
            local_folders(attempt.workspace).work_dir,
            Declared(outputs=("result",)),
            source=local_folders(attempt.workspace).source_files,
        )
        kind = OutcomeKind.SUCCEEDED if failure is None else OutcomeKind.FAILED
        return Outcome(kind=kind, produced=produced, failure=failure)

    return script


async def started(stage: Stage, *, requeue: bool = True, within_s: float = 30.0) -> JobId:
    """Have a runner work on a job; return when it could not store the results."""
    _, joined = await stage.desk.joined()
    job_id = await stage.desk.submit(requeue=requeue)
    await stage.desk.assign(job_id, joined.runner_id)
    await eventually(lambda: delays(stage, job_id), within_s=within_s)
    return job_id


async def delays(stage: Stage, job_id: JobId) -> list[ResultsDelayed]:
    return [item.event.data for item in await stage.desk.history(job_id) if isinstance(item.event.data, ResultsDelayed)]


class DownBlobs(FailingBlobs):
    """Takes nothing until the test permits it."""

    def __init__(self) -> None:
        super().__init__(0)
        self.is_down = True

    async def put_stream(self, key: str, chunks: AsyncIterable[bytes]) -> tuple[int, str]:
        self.failures = int(self.is_down)
        return await super().put_stream(key, chunks)

    async def put_bytes(self, key: str, content: bytes) -> None:
        if self.is_down:
            raise Unavailable("the store is down")
        await super().put_bytes(key, content)


async def test_an_outage_costs_no_results_and_is_shown(stage: Stage) -> None:
    stage.blobs = blobs = DownBlobs()
    stage.upload_retry_s = 3600.0
    engine = ScriptedEngine(writes(), needs_files=True)
    async with stage.runner(engine):
        job_id = await started(stage)
        job = await stage.desk.job(job_id)
        assert (job.state, job.results_delay) == (JobState.RUNNING, "the store is down")
        assert job.results_tries >= 4
        await eventually(lambda: is_delay_shown(stage, job_id))
        blobs.is_down = False
        job = await stage.desk.reaches(job_id, JobState.COMPLETED)
        assert job.output_files == 1
    assert len(engine.started) == 1


async def is_delay_shown(stage: Stage, job_id: JobId) -> bool:
    chunks = await stage.logs.read(DEFAULT_TENANT, job_id)
    return any("penstock: uploading results, attempt 4: the store is down" in chunk.text for _, chunk in chunks)


async def test_delays_are_few_events_however_long_they_last(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_runner.attempts.upload_retries.PAUSES_S", (0.0001,))
    stage.blobs = blobs = DownBlobs()
    stage.upload_retry_s = 3600.0
    engine = ScriptedEngine(writes(), needs_files=True)
    async with stage.runner(engine):
        job_id = await started(stage)

        async def has_tried_often() -> bool:
            return (await stage.desk.job(job_id)).results_tries >= 64

        await eventually(has_tried_often)
        blobs.is_down = False
        await stage.desk.reaches(job_id, JobState.COMPLETED)
    tries = [delay.tries for delay in await delays(stage, job_id)]
    assert tries == [4 << shift for shift in range(len(tries))]


async def test_the_slot_is_taken_until_the_end(stage: Stage) -> None:
    stage.blobs = blobs = DownBlobs()
    stage.upload_retry_s = 3600.0
    engine = ScriptedEngine(writes(), needs_files=True)
    async with stage.runner(engine):
        first, second = await started(stage), await started(stage)
        _, joined = await stage.desk.joined()
        third = await stage.desk.submit()
        await stage.desk.assign(third, joined.runner_id)
        await eventually(lambda: delays(stage, second))
        assert len(engine.started) == TERMS.slots
        blobs.is_down = False
        for job_id in (first, second, third):
            await stage.desk.reaches(job_id, JobState.COMPLETED)


async def test_after_the_bound_the_run_fails_and_its_files_are_kept(stage: Stage) -> None:
    stage.blobs = DownBlobs()
    stage.upload_retry_s = 0.3
    engine = ScriptedEngine(writes(), needs_files=True)
    async with stage.runner(engine):
        job_id = await started(stage)
        job = await stage.desk.reaches(job_id, JobState.FAILED)
    assert job.failure is not None
    assert job.failure.cause is FailureCause.SYSTEM
    kept = stage.folder / "work" / job_id
    assert "did not take" in job.failure.message
    assert "the store is down" in job.failure.message
    assert f"kept in {kept} on this runner" in job.failure.message
    assert (kept / "result").read_bytes() == b"x"


async def test_a_failed_run_keeps_its_reason_and_its_files(stage: Stage) -> None:
    stage.blobs = DownBlobs()
    stage.upload_retry_s = 0.3
    failure = Failure(cause=FailureCause.WORKFLOW, message="rule a failed")
    engine = ScriptedEngine(writes(failure=failure), needs_files=True)
    async with stage.runner(engine):
        job_id = await started(stage)
        job = await stage.desk.reaches(job_id, JobState.FAILED)
    assert job.failure is not None
    assert job.failure.cause is FailureCause.WORKFLOW
    assert job.failure.message.startswith("rule a failed; its files are not stored: ")
    assert (stage.folder / "work" / job_id / "result").exists()


async def test_a_cancel_ends_the_wait_and_keeps_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_runner.attempts.attempt.HALT_GRACE_S", 0.1)
    stage.blobs = DownBlobs()
    stage.upload_retry_s = 3600.0
    engine = ScriptedEngine(writes(), needs_files=True)
    async with stage.runner(engine):
        job_id = await started(stage)
        await stage.desk.cancel(job_id)
        await stage.desk.reaches(job_id, JobState.CANCELLED)
        await eventually(lambda: is_gone(stage.folder / "work" / job_id))


async def is_gone(path: Path) -> bool:
    return not await anyio.Path(path).exists()


@pytest.mark.parametrize(("requeue", "state"), [(True, JobState.QUEUED), (False, JobState.FAILED)])
async def test_a_runner_that_stops_keeps_what_is_not_stored(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, requeue: bool, state: JobState
) -> None:
    monkeypatch.setattr("penstock_runner.attempts.attempt.HALT_GRACE_S", 0.1)
    stage.blobs = DownBlobs()
    stage.upload_retry_s = 3600.0
    engine = ScriptedEngine(writes(), needs_files=True)
    async with stage.runner(engine) as shutdown:
        job_id = await started(stage, requeue=requeue)
        shutdown.request()
        shutdown.request()
        await stage.desk.reaches(job_id, state)
    assert (stage.folder / "work" / job_id / "result").read_bytes() == b"x"


async def test_an_engine_without_files_waits_too(stage: Stage) -> None:
    stage.blobs = blobs = DownBlobs()
    stage.upload_retry_s = 3600.0

    async def script(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
        emit(LogWritten(stream=LogStream.ENGINE, text="done\n"))
        return await succeed(attempt, emit, stop)

    engine = ScriptedEngine(script)
    async with stage.runner(engine):
        job_id = await started(stage)
        blobs.is_down = False
        await stage.desk.reaches(job_id, JobState.COMPLETED)


# Real stores


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A file system that is soon full."""
    place = tmp_path / "disk"
    place.mkdir()
    options = f"size={DISK_BYTES}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"this user may not mount: {mounted.stderr.decode()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.system
async def test_a_full_disk_of_blobs_that_gets_room_takes_the_results(stage: Stage, small_disk: Path) -> None:
    stage.blobs = open_blobs(small_disk / "blobs")
    stage.upload_retry_s = 3600.0
    filler = small_disk / "filler"
    filler.write_bytes(bytes(DISK_BYTES - 2 * BLOCK_BYTES))
    engine = ScriptedEngine(writes(4 * BLOCK_BYTES), needs_files=True)
    async with stage.runner(engine):
        job_id = await started(stage)
        assert "space" in str((await stage.desk.job(job_id)).results_delay)
        filler.unlink()
        await completed(stage, job_id, 4 * BLOCK_BYTES)


async def completed(stage: Stage, job_id: JobId, size_bytes: int) -> None:
    async def look() -> Job | None:
        job = await stage.desk.job(job_id)
        return job if job.state.is_terminal else None

    job = await eventually(look, within_s=60.0)
    assert (job.state, job.output_bytes) == (JobState.COMPLETED, size_bytes), job.failure
    assert len(await stage.blobs.get_bytes(f"jobs/{job_id}/outputs/result")) == size_bytes


@pytest.mark.system
async def test_an_object_store_that_comes_back_takes_the_results(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.upload_retry_s = 3600.0
    with running_s3(tmp_path) as first:
        for name, value in first.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_MAX_RETRIES", "0")
        stage.blobs = open_blobs(f"s3://{BUCKET}")
        first.kill()
        engine = ScriptedEngine(writes(), needs_files=True)
        async with stage.runner(engine):
            job_id = await started(stage, within_s=120.0)
            with running_s3(tmp_path, port=first.port):
                await completed(stage, job_id, 1)


# The retries by themselves


@settings(max_examples=50, deadline=None)
@given(outages=st.lists(st.integers(0, 30), max_size=6), workers=st.integers(1, 4))
def test_retries_end_with_success_or_at_the_bound(outages: list[int], workers: int) -> None:
    """An upload ends, and a success ends the outage, for every sequence of failures and number of parallel uploads."""
    reports: list[int] = []

    async def report(tries: int, reason: str) -> None:
        reports.append(tries)

    async def upload(retries: UploadRetries, failures: int) -> bool:
        for _ in range(failures):
            try:
                await retries.pause("key", Unavailable("down"))
            except UploadFailed:
                return False
        retries.succeeded()
        return True

    async def main() -> None:
        retries = UploadRetries(0.05, report)
        for failures in outages:
            async with anyio.create_task_group() as group:
                for _ in range(workers):
                    group.start_soon(upload, retries, failures)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("penstock_runner.attempts.upload_retries.PAUSES_S", (0.0, 0.001))
        # In a separate thread: tests that ran before may have left an event loop in this one.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(anyio.run, main).result()
    assert all(tries >= 4 and tries & (tries - 1) == 0 for tries in reports)
