"""How the tasks of a job keep their places in JetStream, with any writer."""

import uuid

from tests.conftest import NatsServer

from penstock_jetstream import connect
from penstock_ports import TaskPage
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import Task, TaskState


async def test_a_runner_that_takes_over_leaves_every_task_where_it_stands(nats_server: NatsServer) -> None:
    settings, job_id = nats_server.new_settings(), JobId(str(uuid.uuid4()))
    first, second, third = (
        Task(id=name, job_id=job_id, attempt=1, name="r", state=TaskState.RUNNING) for name in ("b", "c", "a")
    )
    async with connect(settings) as one, connect(settings) as other:
        await one.tasks.put(DEFAULT_TENANT, job_id, [first, second], TaskCounts(total=2))
        assert (await one.tasks.tasks(DEFAULT_TENANT, job_id, limit=2)) == TaskPage((first, second), None)
        await other.tasks.put(DEFAULT_TENANT, job_id, [third, second], TaskCounts(total=3))
        assert await one.tasks.tasks(DEFAULT_TENANT, job_id, after=1) == TaskPage((second, third), None)
