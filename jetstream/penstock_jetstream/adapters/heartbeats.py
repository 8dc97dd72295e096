"""Who is alive: heartbeats in a bucket that forgets them."""

from collections.abc import Mapping

import structlog

from penstock_jetstream import names
from penstock_jetstream.transport import stream_reads, stream_state, stream_writes
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.messages import Held, Message
from penstock_jetstream.transport.retry import Retry
from penstock_ports import Unavailable
from penstock_schemas.ids import RunnerId
from penstock_schemas.views import RunnerHeartbeat, SchedulerBeat
from penstock_schemas.wire import Undecodable, decode_view, encode

_log: structlog.stdlib.BoundLogger = structlog.get_logger()


class JetStreamHeartbeats:
    """A `Heartbeats`.

    Args:
        connection: to the servers.
        has_replicas: distrust what is older than what the leader has: a replica that fell behind would make every
            runner look dead.

    """

    def __init__(self, connection: Connection, *, has_replicas: bool) -> None:
        self._connection = connection
        self._has_replicas = has_replicas

    async def beat(self, heartbeat: RunnerHeartbeat, *, deadline_s: float = 2.0) -> None:
        """Publish a heartbeat of a runner."""
        message = Message(names.BEATS_RUNNER_PREFIX + heartbeat.runner_id, encode(heartbeat))
        await stream_writes.store_until(self._connection, [message], deadline_s=deadline_s)

    async def runners(self) -> Mapping[RunnerId, RunnerHeartbeat]:
        """Return the last heartbeat of every runner that is alive."""
        alive: dict[RunnerId, RunnerHeartbeat] = {}
        for item in await self._read():
            if not item.payload or not item.subject.startswith(names.BEATS_RUNNER_PREFIX):
                continue
            try:
                heartbeat = decode_view(item.payload, RunnerHeartbeat)
            except Undecodable as error:
                _log.error("heartbeat_undecodable", subject=item.subject, error=str(error))
            else:
                alive[heartbeat.runner_id] = heartbeat
        return alive

    async def silence(self, runner_id: RunnerId) -> None:
        """Forget a runner that left."""
        await self._forget(names.BEATS_RUNNER_PREFIX + runner_id)

    async def beat_scheduler(self, beat: SchedulerBeat, *, deadline_s: float = 2.0) -> None:
        """Publish a heartbeat of the leading scheduler."""
        await stream_writes.store_until(
            self._connection, [Message(names.BEATS_SCHEDULER, encode(beat))], deadline_s=deadline_s
        )

    async def scheduler(self) -> SchedulerBeat | None:
        """Return the leading scheduler's last beat.

        Raises:
            Unavailable: no answer, or there is a beat that cannot be read.

        """
        get = stream_reads.last_from_leader if self._has_replicas else stream_reads.get_last
        held = await get(self._connection, names.BEATS, names.BEATS_SCHEDULER, deadline_s=names.LIVENESS_READ_S)
        if held is None or not held.payload:
            return None
        try:
            return decode_view(held.payload, SchedulerBeat)
        except Undecodable as error:
            # A sender of heartbeats is alive: to report it as silent would depose a leader of a later version.
            _log.error("scheduler_beat_undecodable", error=str(error))
            raise Unavailable(f"the scheduler's beat cannot be read: {error}") from error

    async def silence_scheduler(self) -> None:
        """Forget the leader."""
        await self._forget(names.BEATS_SCHEDULER)

    async def _read(self) -> list[Held]:
        """Return every beat, the scheduler's too."""
        retry = Retry(names.LIVENESS_READ_S)
        subjects = names.BEATS_PREFIX + ">"
        while True:
            leader = None
            if self._has_replicas:
                leader = await stream_state.info(self._connection, names.BEATS, deadline_s=retry.remaining_s)
            held = await stream_reads.read(self._connection, names.BEATS, subjects, deadline_s=retry.remaining_s)
            if leader is None or leader.state.messages == 0 or (held and held[-1].seq >= leader.state.last_seq):
                return held
            await retry.wait(Unavailable("a replica of the heartbeats lags"))

    async def _forget(self, subject: str) -> None:
        """Put an empty message in place of the beat; it is forgotten as a beat would be."""
        await stream_writes.store_until(self._connection, [Message(subject, b"")], deadline_s=names.LIVENESS_READ_S)
