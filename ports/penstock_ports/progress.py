"""What a run shows while it goes on: its tasks and the live tail of its logs."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import LogChunk, Task


class TaskPage(Struct, frozen=True):
    """Some of a job's tasks, in the order of their first appearance; a task keeps its place for good."""

    tasks: tuple[Task, ...]
    next_after: int | None
    """The `after` of the next page; `None` when there was no further task."""


class TaskStore(Protocol):
    """The last view of every task of a job, and its totals."""

    async def put(self, tenant: TenantId, job_id: JobId, tasks: Sequence[Task], counts: TaskCounts) -> None:
        """Store the tasks' views and the job's totals; a later view of the same task replaces the earlier."""
        ...

    async def tasks(self, tenant: TenantId, job_id: JobId, *, after: int = 0, limit: int | None = None) -> TaskPage:
        """Return the tasks that come after the first `after`, `limit` at most; `None`: every one.

        New tasks come after all others, so that pages neither repeat nor miss a task while some arrive. What it costs
        depends on the page and not on how many tasks there are.
        """
        ...

    async def task(self, tenant: TenantId, job_id: JobId, task_id: str) -> Task | None:
        """Return one task of the job; `None` when there is no such task."""
        ...

    async def counts(self, tenant: TenantId, job_id: JobId) -> TaskCounts | None:
        """Return the last totals; `None` when nothing was reported."""
        ...

    async def forget(self, tenant: TenantId, job_id: JobId) -> None:
        """Remove everything about a job; nothing happens when there is nothing."""
        ...


class LogTail(Protocol):
    """The live tail of runs' logs; whole logs are blobs."""

    async def append(self, tenant: TenantId, chunks: Sequence[LogChunk]) -> None:
        """Publish chunks, in order; returns when they are stored."""
        ...

    async def read(
        self, tenant: TenantId, job_id: JobId, *, after: int = 0, wait_s: float = 0.0, limit: int = 1000
    ) -> tuple[tuple[int, LogChunk], ...]:
        """Return (position, chunk) pairs above `after`; when there is none, wait up to `wait_s` for the first."""
        ...

    async def forget(self, tenant: TenantId, job_id: JobId) -> None:
        """Remove every chunk of a job; nothing happens when there is none."""
        ...
