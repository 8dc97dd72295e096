"""The contract of views of the jobs. A test module subclasses it and provides the fixture `jobs`, an empty view.

The tests that are marked `three_nodes` are worth running on a cluster as well.
"""

from contextlib import aclosing
from typing import Final

import anyio
import pytest
from msgspec.structs import replace

from penstock_ports import Conflict, JobsView, PositionLost
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import JobState
from penstock_schemas.views import Job
from penstock_testing.events import new_job

DEADLINE_S: Final = 20.0


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


class JobsViewContract:
    """What every `JobsView` does."""

    async def test_a_new_view_is_empty(self, jobs: JobsView) -> None:
        """A new view is empty."""
        assert await jobs.checkpoint() == 0
        assert await jobs.position() == 0
        assert await jobs.get(JobId("unknown")) is None
        assert await jobs.get_many([JobId("unknown")]) == {}

    @pytest.mark.three_nodes
    async def test_jobs_are_found_as_they_were_written(self, jobs: JobsView) -> None:
        """Jobs are found as they were written."""
        first, second = new_job(), new_job(2)
        await jobs.write([first, second], previous=0, checkpoint=2)
        assert await jobs.checkpoint() == 2
        assert await jobs.get(first.id) == first
        assert await jobs.get_many([first.id, second.id, JobId("unknown")]) == {first.id: first, second.id: second}
        changed = replace(first, state=JobState.RUNNING)
        await jobs.write([changed], previous=2, checkpoint=5)
        assert await jobs.get(first.id) == changed

    async def test_a_checkpoint_may_move_without_jobs(self, jobs: JobsView) -> None:
        """A checkpoint may move without jobs."""
        job = new_job()
        await jobs.write([job], previous=0, checkpoint=1)
        position = await jobs.position()
        await jobs.write([], previous=1, checkpoint=9)
        assert await jobs.checkpoint() == 9
        assert await jobs.position() == position
        assert await follow(jobs, until=position) == {job.id: job}

    @pytest.mark.three_nodes
    async def test_a_projector_that_was_overtaken_is_refused(self, jobs: JobsView) -> None:
        """A projector that was overtaken is refused."""
        mine, rivals = new_job(), new_job()
        await jobs.write([rivals], previous=0, checkpoint=3)
        with pytest.raises(Conflict):
            await jobs.write([mine], previous=0, checkpoint=2)
        assert await jobs.get(mine.id) is None
        assert await jobs.checkpoint() == 3

    @pytest.mark.three_nodes
    async def test_more_jobs_than_a_batch_takes_are_written(self, jobs: JobsView) -> None:
        """More jobs than a batch takes are written."""
        many = [new_job(seq) for seq in range(1, 2501)]
        await jobs.write(many, previous=0, checkpoint=2500)
        found = await jobs.get_many([job.id for job in many])
        assert found == {job.id: job for job in many}
        assert await jobs.checkpoint() == 2500

    @pytest.mark.three_nodes
    async def test_changes_can_be_followed_from_any_position(self, jobs: JobsView) -> None:
        """Changes can be followed from any position."""
        first, second = new_job(), new_job(2)
        await jobs.write([first], previous=0, checkpoint=1)
        middle = await jobs.position()
        await jobs.write([second], previous=1, checkpoint=2)
        end = await jobs.position()
        assert await follow(jobs, until=end) == {first.id: first, second.id: second}
        assert await follow(jobs, after=middle, until=end) == {second.id: second}

    async def test_a_follower_gets_changes_as_they_happen(self, jobs: JobsView) -> None:
        """A follower gets changes as they happen."""
        job = new_job()
        received: list[Job] = []
        async with anyio.create_task_group() as tasks:

            async def receive() -> None:
                received.extend((await follow(jobs, until=1)).values())

            tasks.start_soon(receive)
            await jobs.write([job], previous=0, checkpoint=1)
        assert received == [job]

    async def test_a_position_of_another_view_is_refused(self, jobs: JobsView) -> None:
        """A position of another view is refused."""
        with pytest.raises(PositionLost):
            await follow(jobs, after=100, until=101)
