"""The ports as one process sees them: the stores in memory behind a network that loses, delays and repeats."""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Final

import anyio
from tests.simulation.world import Machine, World, fits

from penstock_domain.aggregates import EVERYTHING
from penstock_domain.chain import Stored
from penstock_ports import AppendEntry, BlobInfo, BlobStream, Fence, TaskPage, Unavailable, WrittenBlob
from penstock_schemas.ids import JobId, RunnerId, TenantId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import Head, Job, LogChunk, RunnerHeartbeat, SchedulerBeat, Task

MAX_READ_EVENTS: Final = 40
READER_CHECK_S: Final = 1.0
"""A reader that is cut off looks this often whether the network is back."""
LOOK_S: Final = 0.1
"""Between two looks for an event that is not there yet."""


class SimulatedLog:
    """An `EventLog`."""

    def __init__(self, world: World, machine: Machine) -> None:
        self._world, self._machine = world, machine
        self._log = world.cluster.log

    async def append(
        self, entries: Sequence[AppendEntry], *, fence: Fence | None = None, deadline_s: float = 10.0
    ) -> tuple[Stored, ...]:
        world = self._world
        lost_share = 0.0 if fence is None else world.faults.delayed_batch_share
        return await world.request(
            self._machine,
            lambda: world.append(entries, fence),
            writes=True,
            deadline_s=deadline_s,
            lost_share=lost_share,
        )

    async def load(self, aggregate: str, *, min_version: int = 0, deadline_s: float = 10.0) -> tuple[Stored, ...]:
        ends = self._world.loop.time() + deadline_s
        while True:
            history = await self._world.request(self._machine, lambda: self._log.load(aggregate), writes=False)
            if len(history) >= min_version:
                return history
            if self._world.loop.time() > ends:
                raise Unavailable(f"{aggregate} has no version {min_version}")
            await anyio.sleep(LOOK_S)

    async def head(self, aggregate: str, *, deadline_s: float = 10.0) -> Head:
        return await self._world.request(self._machine, lambda: self._log.head(aggregate), writes=False)

    async def tail(self, aggregate: str, *, deadline_s: float = 10.0) -> int:
        return await self._world.request(self._machine, lambda: self._log.tail(aggregate), writes=False)

    async def last_seq(self, *, deadline_s: float = 10.0) -> int:
        return await self._world.request(self._machine, self._log.last_seq, writes=False)

    async def read(self, *, after: int = 0, aggregates: str = EVERYTHING) -> AsyncGenerator[tuple[Stored, ...], None]:
        world, stored = self._world, self._log.stored
        appended = world.appended_to(aggregates)
        while True:
            while (place := self._next_place(after, aggregates)) is None:
                after = len(stored)
                await appended.wait()
            await anyio.sleep(world.delay_s())
            await self._until_readers_work()
            seen = stored[place : place + world.random.randint(1, MAX_READ_EVENTS)]
            after = place + len(seen)
            batch = tuple(item for item in seen if fits(aggregates, item))
            if batch:
                yield batch

    def _next_place(self, after: int, aggregates: str) -> int | None:
        stored = self._log.stored
        return next((place for place in range(after, len(stored)) if fits(aggregates, stored[place])), None)

    async def _until_readers_work(self) -> None:
        world, machine = self._world, self._machine
        while not world.is_calm:
            wait_s = max(world.back_at(machine), machine.readers_stall_until) - world.loop.time()
            if wait_s <= 0:
                return
            await anyio.sleep(min(wait_s, READER_CHECK_S))


class SimulatedJobs:
    """A `JobsView`."""

    def __init__(self, world: World, machine: Machine) -> None:
        self._world, self._machine = world, machine
        self._jobs = world.cluster.jobs

    async def checkpoint(self) -> int:
        return await self._world.request(self._machine, self._jobs.checkpoint, writes=False)

    async def position(self) -> int:
        return await self._world.request(self._machine, self._jobs.position, writes=False)

    async def write(self, jobs: Iterable[Job], *, previous: int, checkpoint: int) -> None:
        jobs = tuple(jobs)
        await self._world.request(
            self._machine, lambda: self._jobs.write(jobs, previous=previous, checkpoint=checkpoint), writes=True
        )

    async def get(self, job_id: JobId) -> Job | None:
        return await self._world.request(self._machine, lambda: self._jobs.get(job_id), writes=False)

    async def get_many(self, job_ids: Sequence[JobId]) -> dict[JobId, Job]:
        return await self._world.request(self._machine, lambda: self._jobs.get_many(job_ids), writes=False)

    async def changes(self, *, after: int = 0) -> AsyncGenerator[tuple[int, tuple[Job, ...]], None]:
        async with aclosing(self._jobs.changes(after=after)) as changes:
            async for position, jobs in changes:
                await anyio.sleep(self._world.delay_s())
                yield position, jobs


class SimulatedLive:
    """A `LiveFeed`: what is published is lost while the network is down."""

    def __init__(self, world: World, machine: Machine) -> None:
        self._world, self._machine = world, machine

    async def publish(self, stored: Sequence[Stored]) -> None:
        await self._world.cluster.live.publish(stored)


class SimulatedHeartbeats:
    """A `Heartbeats`."""

    def __init__(self, world: World, machine: Machine) -> None:
        self._world, self._machine = world, machine

    async def beat(self, heartbeat: RunnerHeartbeat, *, deadline_s: float = 2.0) -> None:
        await self._world.request(
            self._machine,
            lambda: self._world.cluster.heartbeats.beat(heartbeat),
            writes=True,
            deadline_s=deadline_s,
        )

    async def runners(self) -> Mapping[RunnerId, RunnerHeartbeat]:
        return await self._world.request(self._machine, lambda: self._world.cluster.heartbeats.runners(), writes=False)

    async def silence(self, runner_id: RunnerId) -> None:
        await self._world.request(self._machine, lambda: self._world.cluster.heartbeats.silence(runner_id), writes=True)

    async def beat_scheduler(self, beat: SchedulerBeat, *, deadline_s: float = 2.0) -> None:
        await self._world.request(
            self._machine,
            lambda: self._world.cluster.heartbeats.beat_scheduler(beat),
            writes=True,
            deadline_s=deadline_s,
        )

    async def scheduler(self) -> SchedulerBeat | None:
        return await self._world.request(
            self._machine, lambda: self._world.cluster.heartbeats.scheduler(), writes=False
        )

    async def silence_scheduler(self) -> None:
        await self._world.request(
            self._machine, lambda: self._world.cluster.heartbeats.silence_scheduler(), writes=True
        )


class SimulatedSnapshots:
    """A `Snapshots`."""

    def __init__(self, world: World, machine: Machine) -> None:
        self._world, self._machine = world, machine

    async def save(self, name: str, seq: int, state: bytes) -> None:
        await self._world.request(
            self._machine, lambda: self._world.cluster.snapshots.save(name, seq, state), writes=True
        )

    async def load(self, name: str) -> tuple[int, bytes] | None:
        return await self._world.request(self._machine, lambda: self._world.cluster.snapshots.load(name), writes=False)


class SimulatedTasks:
    """A `TaskStore`."""

    def __init__(self, world: World, machine: Machine) -> None:
        self._world, self._machine = world, machine
        self._tasks = world.cluster.tasks

    async def put(self, tenant: TenantId, job_id: JobId, tasks: Sequence[Task], counts: TaskCounts) -> None:
        await self._world.request(self._machine, lambda: self._tasks.put(tenant, job_id, tasks, counts), writes=True)

    async def tasks(self, tenant: TenantId, job_id: JobId, *, after: int = 0, limit: int | None = None) -> TaskPage:
        return await self._world.request(
            self._machine, lambda: self._tasks.tasks(tenant, job_id, after=after, limit=limit), writes=False
        )

    async def task(self, tenant: TenantId, job_id: JobId, task_id: str) -> Task | None:
        return await self._world.request(self._machine, lambda: self._tasks.task(tenant, job_id, task_id), writes=False)

    async def counts(self, tenant: TenantId, job_id: JobId) -> TaskCounts | None:
        return await self._world.request(self._machine, lambda: self._tasks.counts(tenant, job_id), writes=False)

    async def forget(self, tenant: TenantId, job_id: JobId) -> None:
        await self._world.request(self._machine, lambda: self._tasks.forget(tenant, job_id), writes=True)


class SimulatedLogTail:
    """A `LogTail`; nothing here waits for a chunk."""

    def __init__(self, world: World, machine: Machine) -> None:
        self._world, self._machine = world, machine
        self._logs = world.cluster.logs

    async def append(self, tenant: TenantId, chunks: Sequence[LogChunk]) -> None:
        await self._world.request(self._machine, lambda: self._logs.append(tenant, chunks), writes=True)

    async def read(
        self, tenant: TenantId, job_id: JobId, *, after: int = 0, wait_s: float = 0.0, limit: int = 1000
    ) -> tuple[tuple[int, LogChunk], ...]:
        return await self._world.request(
            self._machine, lambda: self._logs.read(tenant, job_id, after=after, limit=limit), writes=False
        )

    async def forget(self, tenant: TenantId, job_id: JobId) -> None:
        await self._world.request(self._machine, lambda: self._logs.forget(tenant, job_id), writes=True)


class SimulatedBlobs:
    """A `Blobs`."""

    def __init__(self, world: World, machine: Machine) -> None:
        self._world, self._machine = world, machine
        self._blobs = world.blobs

    async def put_bytes(self, key: str, content: bytes) -> None:
        await self._world.request(self._machine, lambda: self._blobs.put_bytes(key, content), writes=True)

    async def put_file(self, key: str, path: Path) -> tuple[int, str]:
        raise NotImplementedError("no simulated process has files")

    async def put_stream(self, key: str, chunks: AsyncIterable[bytes]) -> tuple[int, str]:
        raise NotImplementedError("no simulated process has streams")

    async def get_bytes(self, key: str) -> bytes:
        return await self._world.request(self._machine, lambda: self._blobs.get_bytes(key), writes=False)

    def open(self, key: str, *, start: int = 0, length: int | None = None) -> AbstractAsyncContextManager[BlobStream]:
        raise NotImplementedError("no simulated process has streams")

    async def info(self, key: str) -> BlobInfo | None:
        return await self._world.request(self._machine, lambda: self._blobs.info(key), writes=False)

    async def list(self, prefix: str) -> tuple[BlobInfo, ...]:
        return await self._world.request(self._machine, lambda: self._blobs.list(prefix), writes=False)

    async def page(self, folder: str, *, after: str = "", limit: int) -> tuple[WrittenBlob, ...]:
        return await self._world.request(
            self._machine, lambda: self._blobs.page(folder, after=after, limit=limit), writes=False
        )

    async def delete(self, key: str) -> None:
        await self._world.request(self._machine, lambda: self._blobs.delete(key), writes=True)

    async def presign(self, key: str, *, valid_s: int) -> str | None:
        return None


class SimulatedCluster:
    """All ports of one machine."""

    def __init__(self, world: World, machine: Machine) -> None:
        self.log = SimulatedLog(world, machine)
        self.jobs = SimulatedJobs(world, machine)
        self.live = SimulatedLive(world, machine)
        self.heartbeats = SimulatedHeartbeats(world, machine)
        self.snapshots = SimulatedSnapshots(world, machine)
        self.tasks = SimulatedTasks(world, machine)
        self.logs = SimulatedLogTail(world, machine)
        self.blobs = SimulatedBlobs(world, machine)
