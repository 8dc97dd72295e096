"""Reports of running attempts: the live feed, tasks and log lines, in dictionaries."""

from collections.abc import Sequence

import anyio

from penstock_domain.chain import Stored
from penstock_ports import TaskPage
from penstock_runtime.notify import Notifier
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import LogChunk, Task


class MemoryLive:
    """A `LiveFeed` that remembers what it published."""

    def __init__(self) -> None:
        self.published: list[Stored] = []

    async def publish(self, stored: Sequence[Stored]) -> None:
        """Remember each event."""
        self.published.extend(stored)


class MemoryTasks:
    """A `TaskBoard`."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[TenantId, JobId], dict[str, Task]] = {}
        self._counts: dict[tuple[TenantId, JobId], TaskCounts] = {}

    async def put(self, tenant: TenantId, job_id: JobId, tasks: Sequence[Task], counts: TaskCounts) -> None:
        """Store the tasks' views and the job's totals."""
        self._tasks.setdefault((tenant, job_id), {}).update({task.id: task for task in tasks})
        self._counts[tenant, job_id] = counts

    async def tasks(self, tenant: TenantId, job_id: JobId, *, after: int = 0, limit: int | None = None) -> TaskPage:
        """Return the tasks that come after the first `after`, `limit` at most."""
        every = tuple(self._tasks.get((tenant, job_id), {}).values())
        end = len(every) if limit is None else after + limit
        return TaskPage(every[after:end], end if end < len(every) else None)

    async def task(self, tenant: TenantId, job_id: JobId, task_id: str) -> Task | None:
        """Return one task of the job."""
        return self._tasks.get((tenant, job_id), {}).get(task_id)

    async def counts(self, tenant: TenantId, job_id: JobId) -> TaskCounts | None:
        """Return the last totals."""
        return self._counts.get((tenant, job_id))

    async def forget(self, tenant: TenantId, job_id: JobId) -> None:
        """Remove everything about a job."""
        self._tasks.pop((tenant, job_id), None)
        self._counts.pop((tenant, job_id), None)


class MemoryLogTail:
    """A `LogTail`."""

    def __init__(self) -> None:
        self._position = 0
        self._chunks: dict[tuple[TenantId, JobId], list[tuple[int, LogChunk]]] = {}
        self._appended = Notifier()

    async def append(self, tenant: TenantId, chunks: Sequence[LogChunk]) -> None:
        """Publish chunks, in order."""
        for chunk in chunks:
            self._position += 1
            self._chunks.setdefault((tenant, chunk.job_id), []).append((self._position, chunk))
        self._appended.beat()

    async def read(
        self, tenant: TenantId, job_id: JobId, *, after: int = 0, wait_s: float = 0.0, limit: int = 1000
    ) -> tuple[tuple[int, LogChunk], ...]:
        """Return (position, chunk) pairs above `after`."""
        if wait_s and not self._above(tenant, job_id, after):
            with anyio.move_on_after(wait_s):
                while not self._above(tenant, job_id, after):
                    await self._appended.wait()
        return self._above(tenant, job_id, after)[:limit]

    async def forget(self, tenant: TenantId, job_id: JobId) -> None:
        """Remove every chunk of a job."""
        self._chunks.pop((tenant, job_id), None)

    def _above(self, tenant: TenantId, job_id: JobId, after: int) -> tuple[tuple[int, LogChunk], ...]:
        return tuple(pair for pair in self._chunks.get((tenant, job_id), ()) if pair[0] > after)
