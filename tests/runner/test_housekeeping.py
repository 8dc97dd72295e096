"""What deleted jobs left on a runner's disk."""

from datetime import UTC, datetime
from pathlib import Path

from tests.engine_folders import SNAKEMAKE_FOLDERS

from penstock_execution.local_workspace import LocalWorkspaces
from penstock_runner.housekeeping import Housekeeping
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import JobState
from penstock_schemas.views import EMPTY_HEAD, Job
from penstock_sources.workspace.sources import Sources
from penstock_testing.memory import MemoryBlobs, MemoryCluster

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(job_id: str, deleted_at: datetime | None) -> Job:
    return Job(
        id=JobId(job_id),
        tenant=DEFAULT_TENANT,
        state=JobState.COMPLETED,
        created_at=NOW,
        updated_at=NOW,
        created_seq=1,
        head=EMPTY_HEAD,
        deleted_at=deleted_at,
        spec=JobSpec(owner="ada", pipeline_name="p", engine="snakemake"),
    )


async def test_what_deleted_jobs_left_is_removed_and_nothing_else(
    memory_cluster: MemoryCluster, tmp_path: Path
) -> None:
    workspaces = LocalWorkspaces(tmp_path, Sources(MemoryBlobs(), (), reserved=SNAKEMAKE_FOLDERS))
    gone = workspaces.of_attempt(JobId("gone"), 1)
    for name in ("gone", "kept", "unknown"):
        workspace = workspaces.of_attempt(JobId(name), 1)
        for item in (workspace.work_dir, workspace.log_dir):
            item.mkdir(parents=True)
            (item / "file").write_text("x")
    await memory_cluster.jobs.write([job("gone", NOW), job("kept", None)], previous=0, checkpoint=1)
    housekeeping = Housekeeping(memory_cluster.jobs, (workspaces, workspaces))
    assert await housekeeping.sweep() == 1
    assert await housekeeping.sweep() == 0
    assert await workspaces.job_ids() == ("kept", "unknown")
    assert not gone.work_dir.exists()
    assert not gone.log_dir.parent.exists()
