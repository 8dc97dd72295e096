"""The last view of every task of a job, one message a task."""

from collections import OrderedDict
from collections.abc import Sequence

import structlog
from msgspec import Struct

from penstock_jetstream import names, streams
from penstock_jetstream.connection import Connection
from penstock_jetstream.streams import Message
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import Task
from penstock_schemas.wire import Undecodable, decode_view, encode

_log: structlog.stdlib.BoundLogger = structlog.get_logger()


class _Placed(Struct, frozen=True):
    place: int
    """Counts the job's tasks in the order of their first appearance; the stream keeps the order of the last change."""
    task: Task


class JetStreamTasks:
    """A `TaskBoard`. One process at a time writes the tasks of a job: the runner that holds its attempt."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._places: OrderedDict[str, dict[str, int]] = OrderedDict()
        """By job, the places of its tasks; the jobs written last are remembered."""

    async def put(self, tenant: TenantId, job_id: JobId, tasks: Sequence[Task], counts: TaskCounts) -> None:
        """Store the tasks' views and the job's totals."""
        prefix = _prefix(tenant, job_id)
        places = await self._places_of(prefix)
        latest = {task.id: task for task in tasks}
        messages = [
            Message(f"{prefix}task.{task.id}", encode(_Placed(places.setdefault(task.id, len(places)), task)))
            for task in latest.values()
        ]
        messages.append(Message(prefix + "counts", encode(counts)))
        for portion in streams.portions(messages):
            await streams.store_until(self._connection, portion, deadline_s=names.VIEW_WRITE_S)

    async def tasks(self, tenant: TenantId, job_id: JobId) -> tuple[Task, ...]:
        """Return every task of the job."""
        placed = await self._read(_prefix(tenant, job_id))
        return tuple(each.task for each in sorted(placed, key=lambda each: each.place))

    async def counts(self, tenant: TenantId, job_id: JobId) -> TaskCounts | None:
        """Return the last totals."""
        held = await streams.get_last(
            self._connection, names.TASKS, _prefix(tenant, job_id) + "counts", deadline_s=names.VIEW_READ_S
        )
        return None if held is None else decode_view(held.payload, TaskCounts)

    async def forget(self, tenant: TenantId, job_id: JobId) -> None:
        """Remove everything about a job."""
        self._places.pop(_prefix(tenant, job_id), None)
        await streams.purge(self._connection, names.TASKS, _prefix(tenant, job_id) + ">")

    async def _places_of(self, prefix: str) -> dict[str, int]:
        places = self._places.get(prefix)
        if places is None:
            places = {each.task.id: each.place for each in await self._read(prefix)}
            self._places[prefix] = places
            while len(self._places) > names.REMEMBERED_JOBS:
                self._places.popitem(last=False)
        self._places.move_to_end(prefix)
        return places

    async def _read(self, prefix: str) -> list[_Placed]:
        placed: list[_Placed] = []
        held = await streams.read(self._connection, names.TASKS, prefix + "task.*", deadline_s=names.VIEW_READ_S)
        for each in held:
            try:
                placed.append(decode_view(each.payload, _Placed))
            except Undecodable as error:
                _log.error("task_undecodable", subject=each.subject, error=str(error))
        return placed


def _prefix(tenant: TenantId, job_id: JobId) -> str:
    return f"{names.TASKS_PREFIX}{tenant}.{job_id}."
