"""The materialized jobs in a key-value bucket, written exactly once.

The checkpoint is in the same stream as the jobs, and each write is one atomic batch of the checkpoint, with an
expectation, and the jobs. A projector that lost its place to a rival, or that cannot know whether its last batch was
stored, finds the truth in the checkpoint.
"""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing

import anyio
import structlog
from msgspec import Struct

from penstock_jetstream import names
from penstock_jetstream.transport import stream_reads, stream_state, stream_writes
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.messages import Message
from penstock_jetstream.transport.reader import StreamReader
from penstock_jetstream.transport.responses import NoAnswer, Refusal
from penstock_jetstream.transport.retry import Retry
from penstock_ports import Conflict, LogFull, PortError, PositionLost, Unavailable
from penstock_schemas.ids import JobId
from penstock_schemas.views import Job
from penstock_schemas.wire import Undecodable, decode_view, encode

_log: structlog.stdlib.BoundLogger = structlog.get_logger()


class _Checkpoint(Struct, frozen=True):
    seq: int
    """The last sequence of the log that is folded in."""
    write: str
    """Identifies the write, so that its author recognises it."""
    jobs: int
    """The number of jobs that follow the checkpoint in its batch."""
    position_before: int
    """The position of the last job that was written before this batch, 0 for none."""


class _Place(Struct, frozen=True):
    revision: int
    """The checkpoint's own sequence in the bucket, 0 for none."""
    checkpoint: _Checkpoint

    @property
    def position(self) -> int:
        """The position of the last job in the bucket, 0 for none."""
        written = self.checkpoint.jobs
        return self.revision + written if written else self.checkpoint.position_before


class JetStreamJobs:
    """A `JobsView`.

    Args:
        connection: to the servers.
        has_replicas: read jobs from the leader, because a replica may lag, and a projector that folds on what is old
            loses what came after.

    """

    def __init__(self, connection: Connection, *, has_replicas: bool) -> None:
        self._connection = connection
        self._has_replicas = has_replicas
        self._place: _Place | None = None

    async def checkpoint(self) -> int:
        """Return the last sequence that is folded in."""
        self._place = await self._read_place(names.VIEW_READ_S)
        return self._place.checkpoint.seq

    async def position(self) -> int:
        """Return the position of the last change.

        The checkpoint records it. To request the last message of all jobs' subjects costs the server a walk over every
        subject of the bucket, seconds of its processor time with a million jobs.
        """
        return (await self._read_place(names.VIEW_READ_S)).position

    async def write(self, jobs: Iterable[Job], *, previous: int, checkpoint: int) -> None:
        """Store `jobs` and move the checkpoint."""
        retry = Retry(names.VIEW_WRITE_S)
        place, self._place = self._place, None
        if place is None or place.checkpoint.seq != previous:
            place = await self._read_place(retry.remaining_s)
        if place.checkpoint.seq != previous:
            raise Conflict(f"the checkpoint is at {place.checkpoint.seq}, not at {previous}")
        puts = (Message(names.JOBS_KEY_PREFIX + job.id, encode(job)) for job in jobs)
        batches = list(stream_writes.divided(puts, limit=names.MAX_BATCH_MESSAGES - 1)) or [[]]
        for batch in batches[:-1]:
            place = await self._write_portion(place, batch, previous, retry)
        self._place = await self._write_portion(place, batches[-1], checkpoint, retry)

    async def get(self, job_id: JobId) -> Job | None:
        """Return a job as last projected."""
        subject = names.JOBS_KEY_PREFIX + job_id
        get = stream_reads.last_from_leader if self._has_replicas else stream_reads.get_last
        held = await get(self._connection, names.JOBS, subject, deadline_s=names.VIEW_READ_S)
        return None if held is None else _job(held.payload, held.seq)

    async def get_many(self, job_ids: Sequence[JobId]) -> dict[JobId, Job]:
        """Return those that exist."""
        if self._has_replicas:
            return await self._get_many_from_leader(job_ids)
        subjects = [names.JOBS_KEY_PREFIX + job_id for job_id in job_ids]
        held = await stream_reads.get_last_of_each(self._connection, names.JOBS, subjects, deadline_s=names.VIEW_READ_S)
        jobs = (_job(item.payload, item.seq) for item in held)
        return {job.id: job for job in jobs if job is not None}

    async def _get_many_from_leader(self, job_ids: Sequence[JobId]) -> dict[JobId, Job]:
        found: dict[JobId, Job] = {}
        waiting = iter(job_ids)

        async def get() -> None:
            for job_id in waiting:
                job = await self.get(job_id)
                if job is not None:
                    found[job_id] = job

        try:
            async with anyio.create_task_group() as tasks:
                for _ in range(min(names.LEADER_READS, len(job_ids))):
                    tasks.start_soon(get)
        except* PortError as errors:
            raise Unavailable(str(errors.exceptions[0])) from errors
        return found

    async def changes(self, *, after: int = 0) -> AsyncGenerator[tuple[int, tuple[Job, ...]], None]:
        """Yield (position, jobs) for ever."""
        last_seq = await stream_state.last_seq(self._connection, names.JOBS, deadline_s=names.VIEW_READ_S)
        if after > last_seq:
            raise PositionLost(f"the view ends at {last_seq}, before {after}")
        reader = StreamReader(self._connection, names.JOBS, names.JOBS_KEY_PREFIX + ">", after=after)
        async with aclosing(reader.batches()) as batches:
            async for batch in batches:
                if not batch:
                    continue
                jobs = (_job(item.payload, item.seq) for item in batch)
                yield batch[-1].seq, tuple(job for job in jobs if job is not None)

    async def _write_portion(self, place: _Place, puts: Sequence[Message], seq: int, retry: Retry) -> _Place:
        """Store one batch; return the checkpoint that it wrote.

        Raises:
            Conflict: the checkpoint moved on.
            LogFull, TooLarge: nothing was stored.
            Unavailable: no answer before the deadline.

        """
        checkpoint = _Checkpoint(seq=seq, write=stream_writes.new_id(), jobs=len(puts), position_before=place.position)
        headers = {names.EXPECTED_SEQ: str(place.revision)}
        messages = [Message(names.JOBS_CHECKPOINT, encode(checkpoint), headers), *puts]
        while True:
            try:
                ack = await stream_writes.store(self._connection, messages, deadline_s=retry.attempt_s)
            except NoAnswer as error:
                reason: NoAnswer | Refusal = error
            except Refusal as refusal:
                if refusal.err_code == names.STORE_FAILED or refusal.err_code in names.STORAGE_EXCEEDED:
                    raise LogFull(f"the server takes no more jobs: {refusal}") from refusal
                if refusal.err_code not in names.WRONG_LAST_SEQUENCE and not refusal.is_passing:
                    raise Unavailable(str(refusal)) from refusal
                reason = refusal
            else:
                return _Place(revision=ack.seq - len(messages) + 1, checkpoint=checkpoint)
            now = await self._read_place(retry.remaining_s)
            if now.checkpoint.write == checkpoint.write:
                return now
            if now.revision != place.revision:
                raise Conflict(f"the checkpoint moved on to {now.checkpoint.seq}")
            await retry.wait(reason)

    async def _read_place(self, deadline_s: float) -> _Place:
        held = await stream_reads.last_from_leader(
            self._connection, names.JOBS, names.JOBS_CHECKPOINT, deadline_s=deadline_s
        )
        if held is None:
            return _Place(revision=0, checkpoint=_Checkpoint(seq=0, write="", jobs=0, position_before=0))
        try:
            return _Place(revision=held.seq, checkpoint=decode_view(held.payload, _Checkpoint))
        except Undecodable as error:
            raise Unavailable(f"the checkpoint of the jobs view cannot be read: {error}") from error


def _job(payload: bytes, seq: int) -> Job | None:
    try:
        return decode_view(payload, Job)
    except Undecodable as error:
        _log.error("job_undecodable", position=seq, error=str(error))
        return None
