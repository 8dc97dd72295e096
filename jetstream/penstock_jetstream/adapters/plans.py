"""Plans by request and reply over plain NATS: of an engine's queue group, one runner answers each request."""

from collections.abc import Sequence

from penstock_jetstream import names
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.services import serve
from penstock_ports import PlanAnswer, Unavailable
from penstock_schemas.plans import PlanReply, PlanRequest
from penstock_schemas.wire import Undecodable, decode_view, encode


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
        """Answer requests."""

        async def reply(raw: bytes) -> bytes:
            return encode(await answer(decode_view(raw, PlanRequest)))

        subjects = [names.PLANS_PREFIX + engine for engine in engines]
        await serve(self._connection, subjects, reply, queue=names.PLANS_QUEUE)
