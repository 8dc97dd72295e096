"""An engine whose attempts run in another place passes the contract, and the runner works with it as with any other."""

from collections.abc import AsyncIterator
from functools import partial

import msgspec
import pytest
from tests.engine_folders import SNAKEMAKE_FOLDERS
from tests.runner.conftest import Stage
from tests.runner.remote.remote_engine import DESCRIPTOR, RemoteEngine
from tests.runner.runner_harness import Desk, eventually

from penstock_execution.engine import ENGINE_LOG
from penstock_execution.local_workspace import LocalWorkspaces
from penstock_execution.workspace import RunnerStorage, Workspaces
from penstock_runner.attempts.uploads import log_key
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import JobState, Source, SourceKind
from penstock_schemas.outputs import OutputManifest
from penstock_sources.workspace.sources import Sources
from penstock_testing.contracts.engine import EngineContract, Workflow

pytestmark = pytest.mark.system


@pytest.fixture
async def engine() -> AsyncIterator[RemoteEngine]:
    async with RemoteEngine() as engine:
        yield engine


class TestRemote(EngineContract):
    descriptor = DESCRIPTOR

    def succeeding(self) -> Workflow:
        text = "mkdir outputs; echo 1 > outputs/one; echo hello\n"
        return Workflow(files={"run.sh": text}, outputs={"outputs/one": b"1\n"})

    def failing(self) -> Workflow:
        return Workflow(files={"run.sh": "exit 3\n"})

    def endless(self) -> Workflow:
        return Workflow(files={"run.sh": "touch running; sleep 3600\n"}, marker="running")


async def is_empty(workspaces: Workspaces) -> bool:
    return not await workspaces.job_ids()


async def submit(stage: Stage, script: str) -> JobId:
    raw = msgspec.json.encode({"files": {"run.sh": {"text": script}}})
    await stage.blobs.put_bytes("bundle", raw)
    source = Source(kind=SourceKind.BUNDLE, location="bundle")
    job_id = await stage.desk.submit(engine="remote", source=source)
    _, joined = await stage.desk.joined()
    await stage.desk.assign(job_id, joined.runner_id)
    return job_id


async def ended(desk: Desk, job_id: JobId, state: JobState) -> None:
    job = await desk.reaches(job_id, JobState.COMPLETED, JobState.FAILED)
    assert job.state is state, job.failure


async def test_the_runner_stores_outputs_and_logs_that_are_in_another_place(stage: Stage) -> None:
    engine = RemoteEngine()
    async with stage.runner(engine):
        job_id = await submit(stage, "mkdir outputs; echo result > outputs/one; echo printed\n")
        await ended(stage.desk, job_id, JobState.COMPLETED)
    manifest = msgspec.json.decode(await stage.blobs.get_bytes(f"jobs/{job_id}/outputs.json"), type=OutputManifest)
    (output,) = manifest.files
    assert output.path == "outputs/one"
    assert await stage.blobs.get_bytes(output.key) == b"result\n"
    assert b"running run.sh" in await stage.blobs.get_bytes(log_key(job_id, 1, ENGINE_LOG))
    local = [path for path in stage.folder.rglob("*") if path.is_file() and path.name != "runner.json"]
    assert [path.name for path in local if path.suffix != ".lock"] == [], "the runner's own disk has none of it"


async def test_nothing_stays_in_the_other_place_after_the_end_of_a_job(stage: Stage) -> None:
    engine = RemoteEngine()
    async with stage.runner(engine):
        job_id = await submit(stage, "exit 3\n")
        await ended(stage.desk, job_id, JobState.FAILED)
        storage = RunnerStorage(
            local=LocalWorkspaces(stage.folder, Sources(stage.blobs, (), reserved=SNAKEMAKE_FOLDERS)), blobs=stage.blobs
        )
        await eventually(partial(is_empty, engine.workspaces(storage)))
