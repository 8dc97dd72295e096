"""Plans by request and reply over plain NATS: of an engine's queue group, one runner answers each request."""

from collections.abc import Sequence

import anyio
import structlog

from penstock_jetstream import names
from penstock_jetstream.transport.client import Incoming
from penstock_jetstream.transport.connection import Connection
from penstock_ports import PlanAnswer, PortError, Unavailable
from penstock_schemas.plans import PlanReply, PlanRequest
from penstock_schemas.wire import Undecodable, decode_view, encode

_log: structlog.stdlib.BoundLogger = structlog.get_logger()


class NatsPlans:
    """A `Plans`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def request(self, request: PlanRequest, *, deadline_s: float) -> PlanReply:
        """Have a plan made."""
        subject = names.PLANS_PREFIX + request.engine
        message = await self._connection.request(subject, encode(request), deadline_s=deadline_s)
        try:
            return decode_view(message.data, PlanReply)
        except Undecodable as error:
            raise Unavailable(f"a runner answered {subject} with what cannot be read: {error}") from None

    async def serve(self, engines: Sequence[str], answer: PlanAnswer) -> None:
        """Answer requests; they are subscribed to again whenever a server is reached."""
        async with anyio.create_task_group() as group:

            def receive(message: Incoming) -> None:
                group.start_soon(self._answer, message, answer)

            while True:
                await self._connection.wait_connected()
                generation = self._connection.generation
                subscriptions = [
                    await self._connection.subscribe(names.PLANS_PREFIX + engine, receive, queue=names.PLANS_QUEUE)
                    for engine in engines
                ]
                await self._connection.wait_generation(after=generation)
                for subscription in subscriptions:
                    await self._connection.unsubscribe(subscription)

    async def _answer(self, message: Incoming, answer: PlanAnswer) -> None:
        try:
            request = decode_view(message.data, PlanRequest)
        except Undecodable as error:
            _log.warning("plan_request_undecodable", error=str(error))
            return
        try:
            reply = await answer(request)
            await self._connection.publish(message.reply, encode(reply))
        except (PortError, ValueError) as error:
            _log.warning("plan_not_answered", engine=request.engine, error=str(error))
        except Exception as error:  # noqa: BLE001  # the boundary of one request: the runner goes on
            _log.error("plan_failed", engine=request.engine, exc_info=error)
