"""Who is alive: heartbeats in a bucket that forgets them."""

from collections.abc import Mapping

import structlog

from penstock_core.ports import Unavailable
from penstock_jetstream import names, streams
from penstock_jetstream.connection import Connection, Refusal
from penstock_jetstream.streams import Message
from penstock_schemas.ids import RunnerId
from penstock_schemas.views import RunnerHeartbeat, SchedulerBeat
from penstock_schemas.wire import Undecodable, decode_view, encode

_log: structlog.stdlib.BoundLogger = structlog.get_logger()


class JetStreamHeartbeats:
    """A `Heartbeats`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def beat(self, heartbeat: RunnerHeartbeat, *, deadline_s: float = 2.0) -> None:
        """Say that a runner is alive."""
        message = Message(names.BEATS_RUNNER_PREFIX + heartbeat.runner_id, encode(heartbeat))
        await streams.store_until(self._connection, [message], deadline_s=deadline_s)

    async def runners(self) -> Mapping[RunnerId, RunnerHeartbeat]:
        """Return the last heartbeat of every runner that is alive."""
        alive: dict[RunnerId, RunnerHeartbeat] = {}
        held = await streams.read(
            self._connection, names.BEATS, names.BEATS_RUNNER_PREFIX + "*", deadline_s=names.LIVENESS_READ_S
        )
        for each in held:
            try:
                heartbeat = decode_view(each.payload, RunnerHeartbeat)
            except Undecodable as error:
                _log.error("heartbeat_undecodable", subject=each.subject, error=str(error))
            else:
                alive[heartbeat.runner_id] = heartbeat
        return alive

    async def silence(self, runner_id: RunnerId) -> None:
        """Forget a runner that left."""
        await self._forget(names.BEATS_RUNNER_PREFIX + runner_id)

    async def beat_scheduler(self, beat: SchedulerBeat, *, deadline_s: float = 2.0) -> None:
        """Say that the leading scheduler is alive."""
        await streams.store_until(
            self._connection, [Message(names.BEATS_SCHEDULER, encode(beat))], deadline_s=deadline_s
        )

    async def scheduler(self) -> SchedulerBeat | None:
        """Return the leading scheduler's last beat."""
        held = await streams.get_last(
            self._connection, names.BEATS, names.BEATS_SCHEDULER, deadline_s=names.LIVENESS_READ_S
        )
        return None if held is None else decode_view(held.payload, SchedulerBeat)

    async def silence_scheduler(self) -> None:
        """Forget the leader."""
        await self._forget(names.BEATS_SCHEDULER)

    async def _forget(self, subject: str) -> None:
        try:
            await self._connection.ask(
                names.STREAM_PURGE + names.BEATS, {"filter": subject}, deadline_s=names.LIVENESS_READ_S
            )
        except Refusal as refusal:
            raise Unavailable(str(refusal)) from refusal
