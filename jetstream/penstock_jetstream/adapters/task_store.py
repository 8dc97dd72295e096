"""The last view of every task of a job, one message a task."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

import structlog
from msgspec import Struct
from msgspec.structs import asdict

from penstock_jetstream import names
from penstock_jetstream.transport import stream_reads, stream_writes
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.messages import Held, Message
from penstock_ports import TaskPage
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import Task
from penstock_schemas.wire import Undecodable, decode_view, encode

_PORTION: Final = names.DIRECT_MULTI_SUBJECTS - 1
"""Places that are read at once, together with the counts."""
_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
"""A token of a subject, and no wildcard."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger()


class _Counts(TaskCounts, frozen=True, kw_only=True):
    """The job's totals, and how many of its tasks have a place.

    It is stored after the tasks: what has a place below `placed` is there.
    """

    placed: int = 0


class _Places(Struct):
    """The places of a job's tasks, for its writer."""

    of: dict[str, int]
    following: int
    """The place of the next new task."""


class JetStreamTasks:
    """A `TaskBoard`. One process at a time writes the tasks of a job: the runner that holds its attempt."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._places: OrderedDict[str, _Places] = OrderedDict()
        """By job; the jobs written last are remembered."""

    async def put(self, tenant: TenantId, job_id: JobId, tasks: Sequence[Task], counts: TaskCounts) -> None:
        """Store the tasks' views and the job's totals."""
        prefix = _prefix(tenant, job_id)
        places = await self._places_of(prefix)
        messages = [_message(prefix, places, task) for task in {task.id: task for task in tasks}.values()]
        counted = _Counts(**asdict(counts), placed=places.following)
        messages.append(Message(prefix + "counts", encode(counted)))
        try:
            for batch in stream_writes.divided(messages):
                await stream_writes.store_until(self._connection, batch, deadline_s=names.VIEW_WRITE_S)
        except BaseException:
            self._places.pop(prefix, None)  # what was stored is requested before more is: no place may stay empty
            raise

    async def tasks(self, tenant: TenantId, job_id: JobId, *, after: int = 0, limit: int | None = None) -> TaskPage:
        """Return the tasks that come after the first `after`, `limit` at most."""
        prefix = _prefix(tenant, job_id)
        found: list[Task] = []
        reached, placed = after, 0
        while limit is None or reached < after + limit:
            end = reached + _PORTION if limit is None else min(reached + _PORTION, after + limit)
            places = [f"{prefix}task.{place}.*" for place in range(reached, end)]
            held = await self._last([prefix + "counts", *places])
            known = _placed(held)  # by the replica that answered; what it lacks is left to the next page
            placed = max(placed, known)
            found += (task for place, task in _tasks(held) if place < known)
            reached = max(reached, min(end, known))
            if known <= end:
                break
        return TaskPage(tuple(found), reached if reached < placed else None)

    async def task(self, tenant: TenantId, job_id: JobId, task_id: str) -> Task | None:
        """Return one task of the job."""
        if _ID.fullmatch(task_id) is None:
            return None
        held = await self._last([f"{_prefix(tenant, job_id)}task.*.{task_id}"])
        return next((task for _, task in _tasks(held)), None)

    async def counts(self, tenant: TenantId, job_id: JobId) -> TaskCounts | None:
        """Return the last totals."""
        held = await stream_reads.get_last(
            self._connection, names.TASKS, _prefix(tenant, job_id) + "counts", deadline_s=names.VIEW_READ_S
        )
        return None if held is None else decode_view(held.payload, TaskCounts)

    async def forget(self, tenant: TenantId, job_id: JobId) -> None:
        """Remove everything about a job."""
        self._places.pop(_prefix(tenant, job_id), None)
        await stream_writes.purge(self._connection, names.TASKS, _prefix(tenant, job_id) + ">")

    async def _last(self, subjects: Sequence[str]) -> list[Held]:
        return await stream_reads.get_last_of_each(
            self._connection, names.TASKS, subjects, deadline_s=names.VIEW_READ_S
        )

    async def _places_of(self, prefix: str) -> _Places:
        places = self._places.get(prefix)
        if places is None:
            # A replica that lags would give a place to two tasks.
            held = await stream_reads.read_to_end(
                self._connection, names.TASKS, prefix + ">", deadline_s=names.VIEW_READ_S
            )
            stands = (stand for item in held if (stand := _place_and_id(item)) is not None)
            found = {task_id: place for place, task_id in stands}
            places = _Places(found, max((_placed(held), *(place + 1 for place in found.values()))))
            self._places[prefix] = places
            while len(self._places) > names.REMEMBERED_JOBS:
                self._places.popitem(last=False)
        self._places.move_to_end(prefix)
        return places


def _message(prefix: str, places: _Places, task: Task) -> Message:
    place = places.of.get(task.id)
    if place is None:
        place = places.of[task.id] = places.following
        places.following += 1
    return Message(f"{prefix}task.{place}.{task.id}", encode(task))


def _tasks(held: Iterable[Held]) -> list[tuple[int, Task]]:
    """Return tasks with their places, in that order; what cannot be read is left out."""
    tasks: list[tuple[int, Task]] = []
    for item in held:
        stand = _place_and_id(item)
        if stand is None:
            continue
        try:
            tasks.append((stand[0], decode_view(item.payload, Task)))
        except Undecodable as error:
            _log.error("task_undecodable", subject=item.subject, error=str(error))
    return sorted(tasks, key=lambda task: task[0])


def _place_and_id(held: Held) -> tuple[int, str] | None:
    """Return the place and the id of the task that a message holds; `None` when it holds none."""
    *_, kind, place, task_id = held.subject.split(".")
    return (int(place), task_id) if kind == "task" and place.isdigit() else None


def _placed(held: Iterable[Held]) -> int:
    """Return how many tasks have a placeaccording to the counts among these messages."""
    counts = (item for item in held if item.subject.endswith(".counts"))
    return max((decode_view(count.payload, _Counts).placed for count in counts), default=0)


def _prefix(tenant: TenantId, job_id: JobId) -> str:
    return f"{names.TASKS_PREFIX}{tenant}.{job_id}."
