"""What every view of the jobs promises."""

from contextlib import aclosing

import anyio
import pytest
from msgspec.structs import replace
from tests.jetstream.conftest import Ports
from tests.jetstream.events import new_job

from penstock_ports import Conflict, JobsView, PositionLost
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import JobState
from penstock_schemas.views import Job

DEADLINE_S = 20.0


@pytest.fixture
def jobs(ports: Ports) -> JobsView:
    return ports.jobs


async def follow(jobs: JobsView, *, after: int = 0, until: int) -> dict[JobId, Job]:
    """Return the last form of every job that changed, once the position is reached."""
    seen: dict[JobId, Job] = {}
    with anyio.fail_after(DEADLINE_S):
        async with aclosing(jobs.changes(after=after)) as changes:
            async for position, changed in changes:
                seen |= {job.id: job for job in changed}
                if position >= until:
                    break
    return seen


async def test_a_new_view_is_empty(jobs: JobsView) -> None:
    assert await jobs.checkpoint() == 0
    assert await jobs.position() == 0
    assert await jobs.get(JobId("unknown")) is None
    assert await jobs.get_many([JobId("unknown")]) == {}


@pytest.mark.three_nodes
async def test_jobs_are_found_as_they_were_written(jobs: JobsView) -> None:
    first, second = new_job(), new_job(2)
    await jobs.write([first, second], previous=0, checkpoint=2)
    assert await jobs.checkpoint() == 2
    assert await jobs.get(first.id) == first
    assert await jobs.get_many([first.id, second.id, JobId("unknown")]) == {first.id: first, second.id: second}
    changed = replace(first, state=JobState.RUNNING)
    await jobs.write([changed], previous=2, checkpoint=5)
    assert await jobs.get(first.id) == changed


async def test_a_checkpoint_may_move_without_jobs(jobs: JobsView) -> None:
    job = new_job()
    await jobs.write([job], previous=0, checkpoint=1)
    position = await jobs.position()
    await jobs.write([], previous=1, checkpoint=9)
    assert await jobs.checkpoint() == 9
    assert await jobs.position() == position
    assert await follow(jobs, until=position) == {job.id: job}


@pytest.mark.three_nodes
async def test_a_projector_that_was_overtaken_is_refused(jobs: JobsView) -> None:
    mine, rivals = new_job(), new_job()
    await jobs.write([rivals], previous=0, checkpoint=3)
    with pytest.raises(Conflict):
        await jobs.write([mine], previous=0, checkpoint=2)
    assert await jobs.get(mine.id) is None
    assert await jobs.checkpoint() == 3


@pytest.mark.three_nodes
async def test_more_jobs_than_a_batch_takes_are_written(jobs: JobsView) -> None:
    many = [new_job(seq) for seq in range(1, 2501)]
    await jobs.write(many, previous=0, checkpoint=2500)
    found = await jobs.get_many([job.id for job in many])
    assert found == {job.id: job for job in many}
    assert await jobs.checkpoint() == 2500


@pytest.mark.three_nodes
async def test_changes_can_be_followed_from_any_position(jobs: JobsView) -> None:
    first, second = new_job(), new_job(2)
    await jobs.write([first], previous=0, checkpoint=1)
    middle = await jobs.position()
    await jobs.write([second], previous=1, checkpoint=2)
    end = await jobs.position()
    assert await follow(jobs, until=end) == {first.id: first, second.id: second}
    assert await follow(jobs, after=middle, until=end) == {second.id: second}


async def test_a_follower_gets_changes_as_they_happen(jobs: JobsView) -> None:
    job = new_job()
    received: list[Job] = []
    async with anyio.create_task_group() as tasks:

        async def receive() -> None:
            received.extend((await follow(jobs, until=1)).values())

        tasks.start_soon(receive)
        await jobs.write([job], previous=0, checkpoint=1)
    assert received == [job]


async def test_a_position_of_another_view_is_refused(jobs: JobsView) -> None:
    with pytest.raises(PositionLost):
        await follow(jobs, after=100, until=101)
