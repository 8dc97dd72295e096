"""The live tail of runs' logs, one message a chunk."""

from collections.abc import Sequence

import anyio
import structlog

from penstock_jetstream import names
from penstock_jetstream.transport import stream_reads, stream_writes
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.messages import Message
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.views import LogChunk
from penstock_schemas.wire import Undecodable, decode_view, encode

_log: structlog.stdlib.BoundLogger = structlog.get_logger()


class JetStreamLogTail:
    """A `LogTail`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def append(self, tenant: TenantId, chunks: Sequence[LogChunk]) -> None:
        """Publish chunks, in order."""
        messages = (Message(_subject(tenant, chunk.job_id), encode(chunk)) for chunk in chunks)
        for batch in stream_writes.divided(messages):
            first = batch[0]
            # A second try of a batch that was stored is refused, so that no line comes twice.
            batch[0] = Message(first.subject, first.payload, {names.MESSAGE_ID: stream_writes.new_id()})
            await stream_writes.store_until(self._connection, batch, deadline_s=names.VIEW_WRITE_S)

    async def read(
        self, tenant: TenantId, job_id: JobId, *, after: int = 0, wait_s: float = 0.0, limit: int = 1000
    ) -> tuple[tuple[int, LogChunk], ...]:
        """Return (position, chunk) pairs above `after`."""
        subject = _subject(tenant, job_id)
        found = await self._read(subject, after, limit)
        if found or wait_s <= 0:
            return found
        end = anyio.current_time() + wait_s
        arrived = anyio.Event()
        subscription = await self._connection.subscribe(subject, lambda _: arrived.set())
        try:
            # A message that a subscriber receives may never be stored: it only shows when to look.
            while not (found := await self._read(subject, after, limit)) and anyio.current_time() < end:
                with anyio.move_on_after(min(names.LOG_POLL_S, end - anyio.current_time())):
                    await arrived.wait()
                    arrived = anyio.Event()
        finally:
            await self._connection.unsubscribe(subscription)
        return found

    async def forget(self, tenant: TenantId, job_id: JobId) -> None:
        """Remove every chunk of a job."""
        await stream_writes.purge(self._connection, names.LOGS, _subject(tenant, job_id))

    async def _read(self, subject: str, after: int, limit: int) -> tuple[tuple[int, LogChunk], ...]:
        held = await stream_reads.read(
            self._connection, names.LOGS, subject, after=after, limit=limit, deadline_s=names.VIEW_READ_S
        )
        found: list[tuple[int, LogChunk]] = []
        for item in held:
            try:
                found.append((item.seq, decode_view(item.payload, LogChunk)))
            except Undecodable as error:
                _log.error("log_chunk_undecodable", subject=item.subject, seq=item.seq, error=str(error))
        return tuple(found)


def _subject(tenant: TenantId, job_id: JobId) -> str:
    return f"{names.LOGS_PREFIX}{tenant}.{job_id}"
