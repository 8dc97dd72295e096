"""The contract of the views of tasks. A test module subclasses it and provides the fixture `store`.

The tests that are marked `three_nodes` are worth running on a cluster as well.
"""

import random

import pytest
from msgspec.structs import replace

from penstock_ports import TaskPage, TaskStore
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import Task, TaskState
from penstock_testing.events import new_job_id


def new_task(job_id: JobId, name: str) -> Task:
    """Return a task that runs."""
    return Task(id=name, job_id=job_id, attempt=1, name=name, state=TaskState.RUNNING)


class TaskStoreContract:
    """What every `TaskStore` does."""

    @pytest.mark.three_nodes
    async def test_tasks_are_in_the_order_of_their_first_appearance(self, store: TaskStore) -> None:
        """Tasks are in the order of their first appearance."""
        job_id = new_job_id()
        first, second, third = (new_task(job_id, name) for name in ("b", "a", "c"))
        await store.put(DEFAULT_TENANT, job_id, [first, second], TaskCounts(total=2, running=2))
        ended = replace(first, state=TaskState.COMPLETED)
        await store.put(DEFAULT_TENANT, job_id, [ended, third], TaskCounts(total=3, running=2, done=1))
        assert (await store.tasks(DEFAULT_TENANT, job_id)).tasks == (ended, second, third)
        assert await store.counts(DEFAULT_TENANT, job_id) == TaskCounts(total=3, running=2, done=1)

    async def test_a_job_that_reported_nothing_has_no_tasks(self, store: TaskStore) -> None:
        """A job that reported nothing has no tasks."""
        assert await store.tasks(DEFAULT_TENANT, new_job_id()) == TaskPage((), None)
        assert await store.task(DEFAULT_TENANT, new_job_id(), "t") is None
        assert await store.counts(DEFAULT_TENANT, new_job_id()) is None

    @pytest.mark.parametrize("seed", range(4))
    async def test_pages_neither_repeat_nor_miss_a_task_while_some_arrive(self, store: TaskStore, seed: int) -> None:
        """Pages neither repeat nor miss a task while some arrive."""
        dice, job_id = random.Random(seed), new_job_id()  # noqa: S311 - a test that a seed repeats
        appeared, listed, after = dict[str, Task](), list[str](), 0
        while after < 60:
            if len(appeared) < 60:
                names = [f"t{dice.randrange(1000)}" for _ in range(dice.randrange(12))]
                names += dice.sample(sorted(appeared), min(3, len(appeared)))
                tasks = {name: replace(new_task(job_id, name), message=str(dice.random())) for name in names}
                appeared |= tasks
                await store.put(DEFAULT_TENANT, job_id, list(tasks.values()), TaskCounts(total=len(appeared)))
            limit = dice.randint(1, 9)
            page = await store.tasks(DEFAULT_TENANT, job_id, after=after, limit=limit)
            assert page.tasks == tuple(appeared.values())[after : after + limit]
            assert page.next_after == (after + limit if after + limit < len(appeared) else None)
            listed += [task.id for task in page.tasks]
            after += len(page.tasks)
        assert listed == list(appeared)[:after]
        assert (await store.tasks(DEFAULT_TENANT, job_id)).tasks == tuple(appeared.values())

    async def test_one_task_is_found_by_its_id(self, store: TaskStore) -> None:
        """One task is found by its id."""
        job_id = new_job_id()
        tasks = [new_task(job_id, name) for name in ("align-1", "align-2")]
        await store.put(DEFAULT_TENANT, job_id, tasks, TaskCounts(total=2))
        assert await store.task(DEFAULT_TENANT, job_id, "align-2") == tasks[1]
        for other in ("align", "*", ">", "align-*", "0", "", "align-1.x", "\0", "a b"):
            assert await store.task(DEFAULT_TENANT, job_id, other) is None

    async def test_more_tasks_than_a_batch_takes_are_kept(self, store: TaskStore) -> None:
        """More tasks than a batch takes are kept."""
        job_id = new_job_id()
        tasks = tuple(new_task(job_id, f"t{number}") for number in range(2100))
        await store.put(DEFAULT_TENANT, job_id, tasks, TaskCounts(total=2100))
        assert (await store.tasks(DEFAULT_TENANT, job_id)).tasks == tasks

    async def test_the_tasks_of_one_job_are_forgotten(self, store: TaskStore) -> None:
        """The tasks of one job are forgotten, also twice; those of another one stay."""
        jobs = [new_job_id() for _ in range(2)]
        for job_id in jobs:
            await store.put(DEFAULT_TENANT, job_id, [new_task(job_id, "t")], TaskCounts(total=1))
        for _ in range(2):
            await store.forget(DEFAULT_TENANT, jobs[0])
        assert (await store.tasks(DEFAULT_TENANT, jobs[0])).tasks == ()
        assert await store.counts(DEFAULT_TENANT, jobs[0]) is None
        assert len((await store.tasks(DEFAULT_TENANT, jobs[1])).tasks) == 1
