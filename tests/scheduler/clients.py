"""What the outside does to a cluster, for tests of the shells: clients that submit, runners that beat and work."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

import anyio

from penstock_domain import aggregates
from penstock_domain.chain import link
from penstock_domain.job.decide import decide
from penstock_domain.job.evolve import fold
from penstock_ports import AppendEntry
from penstock_ports.cluster import ClusterPorts
from penstock_schemas.commands import CancelJob, EndAttempt, JobCommand, OutcomeKind, StartAttempt, SubmitJob
from penstock_schemas.events import AttemptAssigned, EventData, RunnerJoined, RunnerLeft, StopOrdered
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId, RunnerId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.views import EMPTY_HEAD, Head, Job, RunnerHeartbeat

DEADLINE_S = 10.0


def now() -> datetime:
    return datetime.now(UTC)


async def until(condition: Callable[[], bool], what: str, *, deadline_s: float = DEADLINE_S) -> None:
    """Return when `condition` holds; fail when it does not in time."""
    with anyio.move_on_after(deadline_s):
        while not condition():  # noqa: ASYNC110 - a poll of something that sets no event, bounded by the deadline
            await anyio.sleep(0.005)
        return
    raise AssertionError(f"not within {deadline_s} s: {what}")


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, *, deadline_s: float = DEADLINE_S) -> None:
    """Return when an asynchronous condition holds; fail when it does not in time."""
    with anyio.move_on_after(deadline_s):
        while not await condition():  # noqa: ASYNC110 - as above
            await anyio.sleep(0.02)
        return
    raise AssertionError(f"not within {deadline_s} s: {what}")


async def projected(cluster: ClusterPorts) -> bool:
    """Return whether the jobs view has reached the end of the log."""
    return await cluster.jobs.checkpoint() >= await cluster.log.last_seq()


async def add(cluster: ClusterPorts, aggregate: str, data: EventData, head: Head) -> None:
    event = link(head, aggregate, data, event_id=EventId(uuid4().hex), time=now(), actor="test")
    await cluster.log.append([AppendEntry(event, head.seq)])


async def load(cluster: ClusterPorts, job_id: JobId) -> Job | None:
    return fold(await cluster.log.load(aggregates.job(DEFAULT_TENANT, job_id)))


async def execute(cluster: ClusterPorts, job_id: JobId, command: JobCommand) -> None:
    """Decide and append, as a shell does."""
    known = await load(cluster, job_id)
    head = EMPTY_HEAD if known is None else known.head
    for data in decide(known, command):
        await add(cluster, aggregates.job(DEFAULT_TENANT, job_id), data, head)


async def submit(cluster: ClusterPorts, *, owner: str = "ada", engine: str = "mock") -> JobId:
    job_id = JobId(str(uuid4()))
    command = SubmitJob(
        now=now(), job_id=job_id, tenant=DEFAULT_TENANT, spec=JobSpec(owner=owner, pipeline_name="p", engine=engine)
    )
    await execute(cluster, job_id, command)
    return job_id


async def cancel(cluster: ClusterPorts, job_id: JobId) -> None:
    await execute(cluster, job_id, CancelJob(now=now()))


class Runner:
    """A runner as the scheduler sees it."""

    def __init__(self, cluster: ClusterPorts, *, slots: int = 4, name: str = "runner") -> None:
        self.id = RunnerId(f"{name}-{uuid4().hex[:8]}")
        self.attempts: list[tuple[JobId, int]] = []
        """In the order of the assignments."""
        self.stops: list[JobId] = []
        self.ends_at_once = True
        self._cluster, self._slots, self._name = cluster, slots, name

    async def run(self) -> None:
        """Join, beat, and obey orders, until cancelled."""
        joined = RunnerJoined(runner_id=self.id, name=self._name, slots=self._slots, engines={"mock": "1"})
        await add(self._cluster, aggregates.runner(self.id), joined, EMPTY_HEAD)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._beat)
            async for batch in self._cluster.log.read(aggregates=aggregates.assign(self.id)):
                for stored in batch:
                    await self._obey(stored.event.data)

    async def leave(self) -> None:
        head = await self._cluster.log.head(aggregates.runner(self.id))
        await add(self._cluster, aggregates.runner(self.id), RunnerLeft(runner_id=self.id), head)

    async def end(self, job_id: JobId, attempt: int, outcome: OutcomeKind = OutcomeKind.SUCCEEDED) -> None:
        command = EndAttempt(now=now(), attempt=attempt, runner_id=self.id, outcome=outcome)
        await execute(self._cluster, job_id, command)

    async def _obey(self, order: EventData) -> None:
        match order:
            case AttemptAssigned():
                self.attempts.append((order.job_id, order.attempt))
                start = StartAttempt(now=now(), attempt=order.attempt, runner_id=self.id)
                await execute(self._cluster, order.job_id, start)
                if self.ends_at_once:
                    await self.end(order.job_id, order.attempt)
            case StopOrdered():
                self.stops.append(order.job_id)
                await self.end(order.job_id, order.attempt, OutcomeKind.STOPPED)
            case _:
                raise AssertionError(f"no order: {order}")

    async def _beat(self) -> None:
        count = 0
        while True:
            count += 1
            beat = RunnerHeartbeat(
                runner_id=self.id,
                count=count,
                time=now(),
                name=self._name,
                slots=self._slots,
                busy=0,
                engines={"mock": "1"},
            )
            await self._cluster.heartbeats.beat(beat)
            await anyio.sleep(0.2)
