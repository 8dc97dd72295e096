"""The record of a run's remote files: in the job's log, once for each attempt that used any."""

from pathlib import Path

import anyio
from tests.runner.conftest import Stage
from tests.runner.test_run_sources import Notes

from penstock_execution.engine import Attempt, Emit, Outcome
from penstock_execution.provisioning import RemoteFile
from penstock_runner.attempts import remote_sources
from penstock_runner.attempts.remote_sources import record_sources
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.events import RemoteSourcesPinned
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import JobState
from penstock_sources.remote.mirrors import parse_mirrors
from penstock_testing.memory import MemoryBlobs
from penstock_testing.scripted_engine import ScriptedEngine

ADDRESS = "https://example.org/w/f"


async def uses_a_file(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
    (provider,) = attempt.providers
    await provider.provide(RemoteFile(label="f", address=ADDRESS), Notes())
    return Outcome(kind=OutcomeKind.SUCCEEDED)


async def uses_none(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
    return Outcome(kind=OutcomeKind.SUCCEEDED)


def given(stage: Stage, tmp_path: Path) -> None:
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "f").write_bytes(b"content")
    stage.mirrors = parse_mirrors([f"https://example.org/w/={folder}"])


async def ended(stage: Stage) -> JobId:
    _, joined = await stage.desk.joined()
    job_id = await stage.desk.submit()
    await stage.desk.assign(job_id, joined.runner_id)
    await stage.desk.reaches(job_id, JobState.COMPLETED)
    return job_id


async def test_a_run_with_remote_files_records_their_manifest(stage: Stage, tmp_path: Path) -> None:
    given(stage, tmp_path)
    async with stage.runner(ScriptedEngine(uses_a_file)):
        job_id = await ended(stage)
    (pinned,) = [
        item.event.data for item in await stage.desk.history(job_id) if isinstance(item.event.data, RemoteSourcesPinned)
    ]
    assert (pinned.manifest, pinned.files, pinned.size_bytes) == (f"jobs/{job_id}/remote-sources.json", 1, 7)
    assert ADDRESS.encode() in await stage.blobs.get_bytes(pinned.manifest)


async def test_a_run_without_remote_files_records_nothing(stage: Stage) -> None:
    async with stage.runner(ScriptedEngine(uses_none)):
        job_id = await ended(stage)
    assert "RemoteSourcesPinned" not in await stage.desk.types(job_id)
    assert await stage.blobs.list(f"jobs/{job_id}/remote-sources") == ()


async def test_a_store_that_takes_no_manifest_does_not_fail_the_run(stage: Stage, tmp_path: Path) -> None:
    class Full(MemoryBlobs):
        async def put_bytes(self, key: str, content: bytes) -> None:
            if key.startswith("remote-sources/"):
                raise OSError("no space left")
            await super().put_bytes(key, content)

    given(stage, tmp_path)
    stage.blobs = Full()
    async with stage.runner(ScriptedEngine(uses_a_file)):
        await ended(stage)
    assert remote_sources.RECORD_S < 60
    assert record_sources.__doc__
