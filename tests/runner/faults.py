"""Ports that fail when a test requests it, around the ones that work."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping, Sequence

import anyio

from penstock_domain.chain import Stored
from penstock_ports import AppendEntry, EventLog, Fence, Heartbeats, TaskPage, TaskStore, Unavailable, Unreadable
from penstock_schemas.ids import JobId, RunnerId, TenantId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import Head, LogChunk, RunnerHeartbeat, SchedulerBeat, Task
from penstock_testing.memory import MemoryBlobs

Hook = Callable[[AppendEntry], Awaitable[None]]


async def nothing(entry: AppendEntry) -> None:
    """Do nothing."""


class FaultyLog:
    """Calls `before` and `after` around each append; what they raise is raised."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.before: Hook = nothing
        self.after: Hook = nothing
        self.unreadable: set[str] = set()
        """Aggregates with an event of a later version."""

    async def append(
        self, entries: Sequence[AppendEntry], *, fence: Fence | None = None, deadline_s: float = 10.0
    ) -> tuple[Stored, ...]:
        for entry in entries:
            await self.before(entry)
        stored = await self._log.append(entries, fence=fence, deadline_s=deadline_s)
        for entry in entries:
            await self.after(entry)
        return stored

    async def load(self, aggregate: str, *, min_version: int = 0, deadline_s: float = 10.0) -> tuple[Stored, ...]:
        if aggregate in self.unreadable:
            raise Unreadable(f"{aggregate} is of a later version")
        return await self._log.load(aggregate, min_version=min_version, deadline_s=deadline_s)

    async def head(self, aggregate: str, *, deadline_s: float = 10.0) -> Head:
        return await self._log.head(aggregate, deadline_s=deadline_s)

    async def tail(self, aggregate: str, *, deadline_s: float = 10.0) -> int:
        return await self._log.tail(aggregate, deadline_s=deadline_s)

    async def last_seq(self, *, deadline_s: float = 10.0) -> int:
        return await self._log.last_seq(deadline_s=deadline_s)

    def read(self, *, after: int = 0, aggregates: str = ">") -> AsyncGenerator[tuple[Stored, ...], None]:
        return self._log.read(after=after, aggregates=aggregates)


class DeafHeartbeats:
    """Receives nothing while `is_deaf`."""

    def __init__(self, heartbeats: Heartbeats) -> None:
        self._heartbeats = heartbeats
        self.is_deaf = False

    async def beat(self, heartbeat: RunnerHeartbeat, *, deadline_s: float = 2.0) -> None:
        if self.is_deaf:
            raise Unavailable("nobody listens")
        await self._heartbeats.beat(heartbeat, deadline_s=deadline_s)

    async def runners(self) -> Mapping[RunnerId, RunnerHeartbeat]:
        return await self._heartbeats.runners()

    async def silence(self, runner_id: RunnerId) -> None:
        await self._heartbeats.silence(runner_id)

    async def beat_scheduler(self, beat: SchedulerBeat, *, deadline_s: float = 2.0) -> None:
        await self._heartbeats.beat_scheduler(beat, deadline_s=deadline_s)

    async def scheduler(self) -> SchedulerBeat | None:
        return await self._heartbeats.scheduler()

    async def silence_scheduler(self) -> None:
        await self._heartbeats.silence_scheduler()


class DownBoard:
    """A task board that answers only while it is up."""

    def __init__(self, board: TaskStore) -> None:
        self._board = board
        self.is_down = False

    async def put(self, tenant: TenantId, job_id: JobId, tasks: Sequence[Task], counts: TaskCounts) -> None:
        if self.is_down:
            raise Unavailable("no answer")
        await self._board.put(tenant, job_id, tasks, counts)

    async def tasks(self, tenant: TenantId, job_id: JobId, *, after: int = 0, limit: int | None = None) -> TaskPage:
        return await self._board.tasks(tenant, job_id, after=after, limit=limit)

    async def task(self, tenant: TenantId, job_id: JobId, task_id: str) -> Task | None:
        return await self._board.task(tenant, job_id, task_id)

    async def counts(self, tenant: TenantId, job_id: JobId) -> TaskCounts | None:
        return await self._board.counts(tenant, job_id)

    async def forget(self, tenant: TenantId, job_id: JobId) -> None:
        await self._board.forget(tenant, job_id)


class HangingTail:
    """A log tail that never answers."""

    async def append(self, tenant: TenantId, chunks: Sequence[LogChunk]) -> None:
        await anyio.sleep_forever()

    async def read(
        self, tenant: TenantId, job_id: JobId, *, after: int = 0, wait_s: float = 0.0, limit: int = 1000
    ) -> tuple[tuple[int, LogChunk], ...]:
        return ()

    async def forget(self, tenant: TenantId, job_id: JobId) -> None:
        await anyio.sleep_forever()


class FailingBlobs(MemoryBlobs):
    """Refuses the first `failures` uploads of files."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def put_stream(self, key: str, chunks: AsyncIterable[bytes]) -> tuple[int, str]:
        if self.failures:
            self.failures -= 1
            raise Unavailable("the store is down")
        return await super().put_stream(key, chunks)


class SlowBlobs(MemoryBlobs):
    """Gives nothing until `gate` is set; `asked` is set by each caller."""

    def __init__(self) -> None:
        super().__init__()
        self.requested, self.gate = anyio.Event(), anyio.Event()

    async def get_bytes(self, key: str) -> bytes:
        self.requested.set()
        await self.gate.wait()
        return await super().get_bytes(key)


__all__ = ["DeafHeartbeats", "DownBoard", "FailingBlobs", "FaultyLog", "HangingTail", "SlowBlobs"]


class StutteringBoard(DownBoard):
    """Takes every second portion of tasks, and counts how often it took each task."""

    def __init__(self, board: TaskStore) -> None:
        super().__init__(board)
        self.taken = Counter[str]()

    async def put(self, tenant: TenantId, job_id: JobId, tasks: Sequence[Task], counts: TaskCounts) -> None:
        self.is_down = not self.is_down
        await super().put(tenant, job_id, tasks, counts)
        self.taken.update(task.id for task in tasks)
