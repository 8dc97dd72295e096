"""What the runner's tests play: the scheduler that gives orders."""

import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import anyio

from penstock_domain import aggregates
from penstock_domain.chain import Stored, link
from penstock_domain.job.decide import decide
from penstock_domain.job.evolve import fold
from penstock_ports import AppendEntry, Conflict, EventLog
from penstock_schemas.commands import AbandonAttempt, AssignJob, CancelJob, JobCommand, SubmitJob
from penstock_schemas.events import AttemptAssigned, EventData, RunnerJoined, RunnerLost, StopOrdered
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId, RunnerId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import JobState, Lineage, RequeueCause, Source
from penstock_schemas.views import EMPTY_HEAD, Job

T = TypeVar("T")

PATIENCE_S = 10.0
LOOK_S = 0.005


async def eventually(condition: Callable[[], Awaitable[T | None]], *, within_s: float = PATIENCE_S) -> T:
    """Return the first true answer of `condition`; fail when there is none in time."""
    with anyio.fail_after(within_s):
        while True:
            answer = await condition()
            if answer:
                return answer
            await anyio.sleep(LOOK_S)


def new_id() -> EventId:
    return EventId(uuid.uuid4().hex)


class Desk:
    """Submits jobs, assigns them and orders stops, one at a time."""

    def __init__(self, log: EventLog) -> None:
        self.log = log

    async def submit(
        self,
        *,
        engine: str = "scripted",
        source: Source | None = None,
        requeue: bool = True,
        lineage: Lineage | None = None,
        **parameters: object,
    ) -> JobId:
        job_id = JobId(str(uuid.uuid4()))
        command = SubmitJob(
            now=datetime.now(UTC),
            job_id=job_id,
            tenant=DEFAULT_TENANT,
            spec=JobSpec(
                owner="test",
                pipeline_name="test",
                engine=engine,
                parameters=dict(parameters),
                source=source,
                requeue=requeue,
                lineage=lineage,
            ),
        )
        await self._perform(job_id, command)
        return job_id

    async def assign(self, job_id: JobId, runner_id: RunnerId) -> int:
        """Assign the job; return the attempt."""
        command = AssignJob(now=datetime.now(UTC), runner_id=runner_id, cycle_id=new_id())
        await self._perform(job_id, command)
        job = await self.job(job_id)
        order = AttemptAssigned(job_id=job_id, tenant=DEFAULT_TENANT, attempt=job.attempt, job_version=job.head.version)
        await self.append(aggregates.assign(runner_id), order)
        return job.attempt

    async def cancel(self, job_id: JobId, *, order_stop: bool = True) -> None:
        await self._perform(job_id, CancelJob(now=datetime.now(UTC), reason="enough"))
        job = await self.job(job_id)
        if order_stop and job.runner_id is not None and not job.state.is_terminal:
            await self.stop(job_id, job.runner_id, job.attempt)

    async def stop(self, job_id: JobId, runner_id: RunnerId, attempt: int) -> None:
        order = StopOrdered(job_id=job_id, tenant=DEFAULT_TENANT, attempt=attempt, reason="enough")
        await self.append(aggregates.assign(runner_id), order)

    async def abandon(self, job_id: JobId, runner_id: RunnerId) -> None:
        """Take the job from a runner that is gone."""
        attempt = (await self.job(job_id)).attempt
        command = AbandonAttempt(
            now=datetime.now(UTC), attempt=attempt, runner_id=runner_id, cause=RequeueCause.LOST, reason="it left"
        )
        await self._perform(job_id, command)

    async def declare_lost(self, runner_id: RunnerId) -> None:
        await self.append(aggregates.runner(runner_id), RunnerLost(runner_id=runner_id, silent_s=11))

    async def job(self, job_id: JobId) -> Job:
        job = fold(await self.history(job_id))
        assert job is not None
        return job

    async def history(self, job_id: JobId) -> tuple[Stored, ...]:
        return await self.log.load(aggregates.job(DEFAULT_TENANT, job_id))

    async def types(self, job_id: JobId) -> list[str]:
        return [type(stored.event.data).__name__ for stored in await self.history(job_id)]

    async def reaches(self, job_id: JobId, *states: JobState) -> Job:
        """Wait for the job to be in one of these states."""

        async def look() -> Job | None:
            job = await self.job(job_id)
            return job if job.state in states else None

        return await eventually(look)

    async def joined(self, *, after: int = 0) -> tuple[int, RunnerJoined]:
        """Wait for a runner to join after that sequence; return its sequence and its event."""
        async for batch in self.log.read(after=after, aggregates="runner.*"):
            for stored in batch:
                if isinstance(stored.event.data, RunnerJoined):
                    return stored.seq, stored.event.data
        raise AssertionError("a reader never ends")

    async def event_types(self, runner_id: RunnerId) -> list[str]:
        """Return the types of the events of a runner, in order."""
        history = await self.log.load(aggregates.runner(runner_id))
        return [type(stored.event.data).__name__ for stored in history]

    async def append(self, aggregate: str, data: EventData) -> None:
        head = await self.log.head(aggregate)
        event = link(head, aggregate, data, event_id=new_id(), time=datetime.now(UTC), actor="scheduler:test")
        await self.log.append([AppendEntry(event, head.seq)])

    async def _perform(self, job_id: JobId, command: JobCommand) -> None:
        aggregate = aggregates.job(DEFAULT_TENANT, job_id)
        while True:
            job = fold(await self.log.load(aggregate))
            [data] = decide(job, command)
            head = EMPTY_HEAD if job is None else job.head
            event = link(head, aggregate, data, event_id=new_id(), time=command.now, actor="scheduler:test")
            try:
                await self.log.append([AppendEntry(event, head.seq)])
            except Conflict:
                continue
            return
