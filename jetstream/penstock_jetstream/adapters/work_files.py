"""Files of work directories by request and reply over plain NATS: each runner answers on the subject of its name."""

from penstock_jetstream import names
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.services import serve
from penstock_ports import Unavailable
from penstock_ports.work_files import WorkFileAnswer
from penstock_schemas.wire import Undecodable, decode_view, encode
from penstock_schemas.work_files import WorkFileReply, WorkFileRequest


class NatsWorkFiles:
    """A `WorkFiles`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def request(self, runner: str, request: WorkFileRequest, *, deadline_s: float) -> WorkFileReply:
        """Request files of a runner."""
        subject = names.FILES_PREFIX + runner
        message = await self._connection.request(subject, encode(request), deadline_s=deadline_s)
        try:
            return decode_view(message.data, WorkFileReply)
        except Undecodable as error:
            raise Unavailable(f"the runner answered {subject} with what cannot be read: {error}") from None

    async def serve(self, runner: str, answer: WorkFileAnswer) -> None:
        """Answer requests."""

        async def reply(raw: bytes) -> bytes:
            return encode(await answer(decode_view(raw, WorkFileRequest)))

        await serve(self._connection, [names.FILES_PREFIX + runner], reply)
