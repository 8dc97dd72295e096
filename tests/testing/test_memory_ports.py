"""The fakes: what tests rely on beyond the contracts that they share with the real adapters."""

from datetime import UTC, datetime

import anyio
import pytest

from penstock_ports import Unavailable
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.plans import PlanReply, PlanRequest
from penstock_schemas.views import LogChunk, LogStream, Task, TaskState
from penstock_testing.memory.plans import MemoryPlans
from penstock_testing.memory.progress import MemoryLogTail, MemoryTasks
from penstock_testing.memory.snapshots import MemorySnapshots

JOB = JobId("0b9c1f4e-0000-4000-8000-000000000001")
OTHER = JobId("0b9c1f4e-0000-4000-8000-000000000002")


def task(number: int) -> Task:
    return Task(id=f"t{number}", job_id=JOB, attempt=1, name="t", state=TaskState.WAITING)


def chunk(job_id: JobId, text: str) -> LogChunk:
    return LogChunk(job_id=job_id, attempt=1, stream=LogStream.ENGINE, text=text, time=datetime.now(UTC))


async def test_pages_of_tasks_end_where_there_are_no_more() -> None:
    tasks = MemoryTasks()
    await tasks.put(DEFAULT_TENANT, JOB, [task(number) for number in range(3)], TaskCounts(total=3))
    first = await tasks.tasks(DEFAULT_TENANT, JOB, limit=2)
    assert ([item.id for item in first.tasks], first.next_after) == (["t0", "t1"], 2)
    rest = await tasks.tasks(DEFAULT_TENANT, JOB, after=2, limit=2)
    assert ([item.id for item in rest.tasks], rest.next_after) == (["t2"], None)
    await tasks.forget(DEFAULT_TENANT, JOB)
    assert await tasks.counts(DEFAULT_TENANT, JOB) is None


async def test_a_reader_of_a_log_waits_for_its_own_job() -> None:
    logs = MemoryLogTail()
    await logs.append(DEFAULT_TENANT, [chunk(OTHER, "other")])
    found: list[str] = []

    async def read() -> None:
        found.extend(item.text for _, item in await logs.read(DEFAULT_TENANT, JOB, wait_s=20))

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await anyio.lowlevel.checkpoint()
        await logs.append(DEFAULT_TENANT, [chunk(OTHER, "other"), chunk(JOB, "mine")])
    assert found == ["mine"]
    assert await logs.read(DEFAULT_TENANT, JOB, wait_s=0.0, after=99) == ()


async def test_a_snapshot_replaces_the_one_before() -> None:
    snapshots = MemorySnapshots()
    assert await snapshots.load("a") is None
    await snapshots.save("a", 1, b"1")
    await snapshots.save("a", 2, b"2")
    assert await snapshots.load("a") == (2, b"2")


@pytest.mark.parametrize(
    ("error", "message"),
    [(None, "no runner makes plans of mock"), (RuntimeError("broken"), "no plan was made: .*broken")],
)
async def test_a_plan_that_is_not_made_is_unavailable(error: Exception | None, message: str) -> None:
    plans = MemoryPlans()

    async def answer(_request: PlanRequest) -> PlanReply:
        assert error is not None
        raise error

    async with anyio.create_task_group() as group:
        if error is not None:
            group.start_soon(plans.serve, ["mock"], answer)
            await anyio.lowlevel.checkpoint()
        with pytest.raises(Unavailable, match=message):
            await plans.request(PlanRequest(pipeline_name="p", engine="mock"), deadline_s=5)
        group.cancel_scope.cancel()
