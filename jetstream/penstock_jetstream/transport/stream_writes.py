"""Single writes to a stream: one message or an atomic batch."""

from collections.abc import Iterable, Iterator, Sequence

import anyio
import msgspec
from msgspec import Struct
from nats.nuid import NUID

from penstock_jetstream import names
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.messages import Message
from penstock_jetstream.transport.responses import NoAnswer, Refusal, accepted
from penstock_jetstream.transport.retry import Retry
from penstock_ports import LogFull, Unavailable

_nuid = NUID()


class Ack(Struct, frozen=True):
    """How the server states that it stored something."""

    seq: int
    """Of the last message of a batch."""
    duplicate: bool = False


async def store(connection: Connection, messages: Sequence[Message], *, deadline_s: float) -> Ack:
    """Store one message, or several as an atomic batch; one try.

    Raises:
        NoAnswer: whether they were stored is not known.
        Refusal: nothing was stored.

    """
    if len(messages) == 1:
        only = messages[0]
        answer = await connection.request(only.subject, only.payload, headers=only.headers, deadline_s=deadline_s)
        return msgspec.json.decode(accepted(answer.data), type=Ack)
    async with connection.answers() as answers:
        try:
            with anyio.fail_after(deadline_s):
                await connection.wait_connected()
                await _send_batch(connection, messages, reply=answers.subject)
                answer = await answers.next()
        except TimeoutError:
            raise NoAnswer(f"no answer to a batch of {len(messages)} within {deadline_s:.1f} s") from None
    if not answer.data:
        raise NoAnswer("nobody listens for a batch")
    return msgspec.json.decode(accepted(answer.data), type=Ack)


async def purge(connection: Connection, stream: str, subjects: str) -> None:
    """Remove every message of `subjects` from a stream that allows it.

    Raises:
        Unavailable: it could not be done.

    """
    try:
        await connection.query(names.STREAM_PURGE + stream, {"filter": subjects}, deadline_s=names.VIEW_READ_S)
    except Refusal as refusal:
        raise Unavailable(str(refusal)) from refusal


async def store_until(connection: Connection, messages: Sequence[Message], *, deadline_s: float) -> Ack | None:
    """Store messages without expectations as one atomic batch, trying until the deadline.

    When the first one carries a message id, they are stored once; the answer is `None` when they were stored before.

    Raises:
        LogFull, TooLarge: nothing was stored.
        Unavailable: whether they were stored is not known.

    """
    retry = Retry(deadline_s)
    while True:
        try:
            return await store(connection, messages, deadline_s=retry.attempt_s)
        except NoAnswer as error:
            await retry.wait(error)
        except Refusal as refusal:
            if refusal.err_code == names.DUPLICATE_IN_BATCH:
                return None
            if refusal.err_code == names.STORE_FAILED or refusal.err_code in names.STORAGE_EXCEEDED:
                raise LogFull(f"the server takes no more: {refusal}") from refusal
            if not refusal.is_passing:
                raise Unavailable(str(refusal)) from refusal
            await retry.wait(refusal)


def divided(messages: Iterable[Message], *, limit: int = names.MAX_BATCH_MESSAGES) -> Iterator[list[Message]]:
    """Divide messages into batches that the server takes."""
    batch: list[Message] = []
    size_bytes = 0
    for message in messages:
        if batch and (len(batch) == limit or size_bytes + len(message.payload) > names.MAX_BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(message)
        size_bytes += len(message.payload)
    if batch:
        yield batch


def new_id() -> str:
    """Return an id that nobody else has."""
    return _nuid.next().decode()


async def _send_batch(connection: Connection, messages: Sequence[Message], *, reply: str) -> None:
    batch_id = new_id()
    encoded: list[bytes] = []
    for number, message in enumerate(messages, 1):
        headers = {names.BATCH_ID: batch_id, names.BATCH_SEQUENCE: str(number)}
        if message.headers is not None:
            headers |= message.headers
        if number < len(messages):
            encoded.append(connection.encode(message.subject, message.payload, headers=headers))
        else:
            headers[names.BATCH_COMMIT] = "1"
            encoded.append(connection.encode(message.subject, message.payload, reply=reply, headers=headers))
    await connection.write(encoded)
