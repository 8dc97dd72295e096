"""Services by request and reply over plain NATS: nothing is stored, and nobody answers where no service listens."""

from collections.abc import Awaitable, Callable, Sequence

import anyio
import structlog

from penstock_jetstream.transport.client import Incoming
from penstock_jetstream.transport.connection import Connection
from penstock_ports import PortError
from penstock_schemas.wire import Undecodable

_log: structlog.stdlib.BoundLogger = structlog.get_logger()


async def serve(
    connection: Connection, subjects: Sequence[str], answer: Callable[[bytes], Awaitable[bytes]], *, queue: str = ""
) -> None:
    """Answer requests, several at a time, for ever; they are subscribed to again whenever a server is reached.

    Args:
        connection: to the server.
        subjects: of the requests.
        answer: returns the reply to a request; raises `Undecodable` for what is none.
        queue: the queue group; of its members one gets each request. Empty: every service gets it.

    """
    async with anyio.create_task_group() as group:

        def receive(message: Incoming) -> None:
            group.start_soon(_answer, connection, message, answer)

        while True:
            await connection.wait_connected()
            generation = connection.generation
            subscriptions = [await connection.subscribe(subject, receive, queue=queue) for subject in subjects]
            await connection.wait_generation(after=generation)
            for subscription in subscriptions:
                await connection.unsubscribe(subscription)


async def _answer(connection: Connection, message: Incoming, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
    try:
        await connection.publish(message.reply, await answer(message.data))
    except Undecodable as error:
        _log.warning("request_undecodable", subject=message.subject, error=str(error))
    except (PortError, ValueError) as error:
        _log.warning("request_not_answered", subject=message.subject, error=str(error))
    except Exception as error:  # noqa: BLE001  # the boundary of one request: the service goes on
        _log.error("request_failed", subject=message.subject, exc_info=error)
