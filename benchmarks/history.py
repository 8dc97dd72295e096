"""A long past, written straight to the log: valid chains of jobs that ran and ended on a runner that has left."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio
from msgspec import Struct

from penstock_domain import aggregates
from penstock_domain.chain import digest, link
from penstock_ports import MAX_APPEND_ENTRIES, AppendEntry, EventLog
from penstock_schemas.events import (
    AttemptAssigned,
    AttemptStarted,
    Event,
    EventData,
    JobAssigned,
    JobCancelled,
    JobCancelRequested,
    JobCompleted,
    JobFailed,
    JobSubmitted,
    RunnerJoined,
    RunnerLeft,
)
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId, RunnerId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import Failure, FailureCause, TaskCounts
from penstock_schemas.views import EMPTY_HEAD, Head
from penstock_schemas.wire import encode

OWNERS: Final = tuple(f"owner-{number}" for number in range(20))
PIPELINES: Final = ("rna-seq", "variant-calling", "assembly", "methylation", "proteomics")
FAILED_EVERY: Final = 50
CANCELLED_EVERY: Final = 100
IN_FLIGHT: Final = 4
"""Batches under way at once."""
EVENTS_A_JOB: Final = 5
JOBS_A_BATCH: Final = MAX_APPEND_ENTRIES // EVENTS_A_JOB
STEP: Final = timedelta(milliseconds=20)
"""The time that passes between two submissions of the history."""


class Filled(Struct, frozen=True, kw_only=True):
    """What was written."""

    jobs: tuple[JobId, ...]
    """In the order of their submission, as far as one order is known: batches overtake each other."""
    last_seq: int


async def fill(log: EventLog, jobs: int, *, now: datetime | None = None) -> Filled:
    """Append the lives of `jobs` jobs: 97 % completed, 2 % failed, 1 % cancelled; two in a hundred of each owner's.

    No scheduler may run meanwhile: it would see a runner that never gave a sign of life.
    """
    runner_id = RunnerId(f"history-{uuid.uuid4().hex[:8]}")
    begin = (now or datetime.now(UTC)) - STEP * jobs
    joined = RunnerJoined(runner_id=runner_id, name="history", slots=64, engines={"mock": "1"})
    head = await _append_one(log, EMPTY_HEAD, aggregates.runner(runner_id), joined, begin)
    ids = tuple(JobId(str(uuid.uuid4())) for _ in range(jobs))
    batches = iter(range(0, jobs, JOBS_A_BATCH))

    async def lane() -> None:
        for first in batches:
            await log.append(_batch(ids[first : first + JOBS_A_BATCH], first, begin, runner_id), deadline_s=60.0)

    async with anyio.create_task_group() as lanes:
        for _ in range(IN_FLIGHT):
            lanes.start_soon(lane)
    left = RunnerLeft(runner_id=runner_id, reason="the history ends here")
    head = await _append_one(log, head, aggregates.runner(runner_id), left, begin + STEP * jobs)
    return Filled(jobs=ids, last_seq=head.seq)


def _batch(ids: Sequence[JobId], first: int, begin: datetime, runner_id: RunnerId) -> list[AppendEntry]:
    # One aggregate of orders a batch, so that batches may be under way at the same time.
    assign = _Chain(aggregates.assign(RunnerId(f"{runner_id}-{first}")))
    return [
        entry
        for number, job_id in enumerate(ids, first)
        for entry in _life(job_id, number, begin + STEP * number, runner_id, assign)
    ]


def _life(job_id: JobId, number: int, at: datetime, runner_id: RunnerId, assign: "_Chain") -> Iterator[AppendEntry]:
    job = _Chain(aggregates.job(DEFAULT_TENANT, job_id))
    submitted = JobSubmitted(
        job_id=job_id,
        request_sha256=digest(job_id.encode()),
        spec=JobSpec(
            pipeline_name=PIPELINES[number % len(PIPELINES)],
            engine="mock",
            owner=OWNERS[number % len(OWNERS)],
            parameters={"sample": f"S{number:06d}", "reads": 1_000_000 + number, "paired": True},
            labels={"batch": str(number // 100)},
        ),
    )
    yield job.add(submitted, at)
    cycle_id = EventId(uuid.uuid4().hex)
    yield job.add(JobAssigned(attempt=1, runner_id=runner_id, cycle_id=cycle_id), at + STEP)
    order = AttemptAssigned(job_id=job_id, tenant=DEFAULT_TENANT, attempt=1, job_version=2)
    yield assign.add(order, at + STEP)
    if number % CANCELLED_EVERY == 1:
        yield job.add(JobCancelRequested(reason="no longer needed"), at + STEP)
    else:
        yield job.add(AttemptStarted(attempt=1, runner_id=runner_id), at + STEP)
    yield job.add(_end(number, runner_id), at + timedelta(seconds=60))


def _end(number: int, runner_id: RunnerId) -> EventData:
    if number % CANCELLED_EVERY == 1:
        return JobCancelled(attempt=1, runner_id=runner_id, reason="no longer needed")
    if number % FAILED_EVERY == 0:
        failure = Failure(cause=FailureCause.WORKFLOW, message="rule align failed", rule="align", exit_code=1)
        return JobFailed(attempt=1, runner_id=runner_id, failure=failure, tasks=TaskCounts(total=5, done=2, failed=1))
    counts = TaskCounts(total=5, done=5)
    return JobCompleted(attempt=1, runner_id=runner_id, tasks=counts, output_files=2, output_bytes=4096)


class _Chain:
    """The events of one new aggregate within one append."""

    def __init__(self, aggregate: str) -> None:
        self._aggregate = aggregate
        self._head: Head = EMPTY_HEAD

    def add(self, data: EventData, at: datetime) -> AppendEntry:
        """Return the entry of the aggregate's next event."""
        first = self._head.version == 0
        event: Event = link(
            self._head, self._aggregate, data, event_id=EventId(uuid.uuid4().hex), time=at, actor="bench"
        )
        self._head = Head(version=event.version, hash=digest(encode(event)))
        return AppendEntry(event, 0 if first else None)


async def _append_one(log: EventLog, head: Head, aggregate: str, data: EventData, at: datetime) -> Head:
    event = link(head, aggregate, data, event_id=EventId(uuid.uuid4().hex), time=at, actor="bench")
    stored = await log.append([AppendEntry(event, head.seq)])
    return stored[0].head
