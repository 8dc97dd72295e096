"""Single requests to a stream: store a message or an atomic batch, read from its leader or from any replica."""

from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import anyio
import msgspec
from msgspec import Struct
from nats.nuid import NUID

from penstock_jetstream import names
from penstock_jetstream.transport.client import Incoming, header_of, status_of
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.responses import NoAnswer, Refusal, accepted
from penstock_jetstream.transport.retry import Retry
from penstock_ports import LogFull, Unavailable

_nuid = NUID()


class Message(Struct, frozen=True):
    """A message to store."""

    subject: str
    payload: bytes
    headers: dict[str, str] | None = None


class Held(Struct, frozen=True):
    """A message that a stream holds."""

    seq: int
    subject: str
    payload: bytes
    generation: str | None = None
    """The header `names.GENERATION`."""


class Ack(Struct, frozen=True):
    """How the server states that it stored something."""

    seq: int
    """Of the last message of a batch."""
    duplicate: bool = False


class StreamState(Struct, frozen=True):
    """How full a stream is."""

    messages: int
    bytes: int
    first_seq: int
    last_seq: int


class StreamConfig(Struct, frozen=True):
    """What is asked of a stream's configuration after it was made."""

    max_bytes: int
    num_replicas: int


class Replica(Struct, frozen=True):
    """A server that has a copy of a stream and does not lead it."""

    name: str
    offline: bool = False
    current: bool = False


class StreamCluster(Struct, frozen=True):
    """The servers that have a stream; absent from what a single server reports."""

    leader: str = ""
    """Empty while there is none."""
    replicas: tuple[Replica, ...] = ()


class StreamInfo(Struct, frozen=True):
    """The configuration and the state of a stream."""

    config: StreamConfig
    state: StreamState
    cluster: StreamCluster | None = None

    @property
    def is_confirmed(self) -> bool:
        """Whether a leader reported it.

        While a stream has no leader, every replica answers with the state of its own copy. After all servers were
        killed such a copy is shorter than what was acknowledged. A server reports itself as the leader only after it
        applied everything that the former leader had acknowledged.
        """
        return self.config.num_replicas == 1 or (self.cluster is not None and self.cluster.leader != "")


class _LeaderMessage(Struct, frozen=True):
    subject: str
    seq: int
    data: str = ""


class _LeaderReply(Struct, frozen=True):
    message: _LeaderMessage


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


def divided(messages: Iterable[Message], *, most: int = names.MAX_BATCH_MESSAGES) -> Iterator[list[Message]]:
    """Divide messages into batches that the server takes."""
    batch: list[Message] = []
    size_bytes = 0
    for message in messages:
        if batch and (len(batch) == most or size_bytes + len(message.payload) > names.MAX_BATCH_BYTES):
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


async def get_from_leader(
    connection: Connection, stream: str, query: dict[str, object], *, deadline_s: float
) -> Held | None:
    """Return one message as the stream's leader has it; `None` when there is none.

    Raises:
        Unavailable: no answer before the deadline.

    """
    try:
        answer = await connection.query(names.LEADER_GET + stream, query, deadline_s=deadline_s)
    except Refusal as refusal:
        if refusal.err_code == names.NO_MESSAGE:
            return None
        raise
    message = msgspec.json.decode(answer, type=_LeaderReply).message
    return Held(seq=message.seq, subject=message.subject, payload=b64decode(message.data))


async def last_from_leader(connection: Connection, stream: str, subject: str, *, deadline_s: float) -> Held | None:
    """Return the last message on `subject`, which may have wildcards, as the stream's leader has it."""
    return await get_from_leader(connection, stream, {"last_by_subj": subject}, deadline_s=deadline_s)


async def next_from_leader(
    connection: Connection, stream: str, subject: str, *, after: int, deadline_s: float
) -> Held | None:
    """Return the first message on `subject` above `after`, as the stream's leader has it."""
    query: dict[str, object] = {"seq": after + 1, "next_by_subj": subject}
    return await get_from_leader(connection, stream, query, deadline_s=deadline_s)


async def get_last(connection: Connection, stream: str, subject: str, *, deadline_s: float) -> Held | None:
    """Return the last message on a literal subject, as some replica has it.

    Raises:
        Unavailable: no answer before the deadline.

    """
    retry = Retry(deadline_s)
    while True:
        try:
            message = await connection.request(f"{names.DIRECT_GET}{stream}.{subject}", b"", deadline_s=retry.attempt_s)
        except NoAnswer as error:
            await retry.wait(error)
            continue
        return None if status_of(message) == names.STATUS_NOT_FOUND else _held(message)


async def get_last_of_each(
    connection: Connection, stream: str, subjects: Sequence[str], *, deadline_s: float
) -> list[Held]:
    """Return the last message of each of the literal `subjects` that has one."""
    found: list[Held] = []
    for start in range(0, len(subjects), names.DIRECT_MULTI_SUBJECTS):
        query = {"multi_last": subjects[start : start + names.DIRECT_MULTI_SUBJECTS]}
        held, _ = await _read_direct(connection, stream, query, deadline_s=deadline_s)
        found += held
    return found


async def read(
    connection: Connection,
    stream: str,
    subject: str,
    *,
    after: int = 0,
    limit: int | None = None,
    deadline_s: float,
) -> list[Held]:
    """Return the messages on `subject` (wildcards allowed) above `after` in order, as some replica has them.

    Raises:
        Unavailable: not all of them came before the deadline.

    """
    found: list[Held] = []
    while limit is None or len(found) < limit:
        wanted = names.DIRECT_BATCH_MESSAGES if limit is None else min(names.DIRECT_BATCH_MESSAGES, limit - len(found))
        query = {"next_by_subj": subject, "seq": after + 1, "batch": wanted}
        held, pending = await _read_direct(connection, stream, query, deadline_s=deadline_s)
        found += held
        if not held or pending == 0:
            break
        after = held[-1].seq
    return found


async def read_to_end(
    connection: Connection, stream: str, subject: str, *, after: int = 0, deadline_s: float
) -> list[Held]:
    """Return every message on `subject` above `after` that the leader has, read from wherever it is quickest.

    Raises:
        Unavailable: not all of them came before the deadline.

    """
    retry = Retry(deadline_s)
    held = await read(connection, stream, subject, after=after, deadline_s=deadline_s)
    last = await last_from_leader(connection, stream, subject, deadline_s=retry.remaining_s)
    while last is not None and last.seq > after and (not held or held[-1].seq < last.seq):
        seen = held[-1].seq if held else after
        following = await next_from_leader(connection, stream, subject, after=seen, deadline_s=retry.remaining_s)
        if following is None:
            break
        held.append(following)
    return held


async def info(connection: Connection, stream: str, *, deadline_s: float) -> StreamInfo:
    """Return the configuration and the state of a stream, as its leader has them.

    Raises:
        Unavailable: no leader answered before the deadline.

    """
    retry = Retry(deadline_s)
    while True:
        answer = await connection.query(names.STREAM_INFO + stream, deadline_s=retry.remaining_s)
        found = msgspec.json.decode(answer, type=StreamInfo)
        if found.is_confirmed:
            return found
        await retry.wait(Unavailable(f"stream {stream} has no leader"))


async def last_seq(connection: Connection, stream: str, *, deadline_s: float) -> int:
    """Return the last sequence of a stream, no lower than what was acknowledged before this call.

    Raises:
        Unavailable: no leader confirmed it before the deadline.

    """
    retry = Retry(deadline_s)
    found = await info(connection, stream, deadline_s=retry.remaining_s)
    if found.config.num_replicas == 1:
        return found.state.last_seq
    # A replica that began to answer just before a leader was elected may name that leader with its own, shorter state.
    # It does so in one moment of an election, so a second answer settles it.
    again = await info(connection, stream, deadline_s=retry.remaining_s)
    return max(found.state.last_seq, again.state.last_seq)


async def _read_direct(
    connection: Connection, stream: str, query: dict[str, Any], *, deadline_s: float
) -> tuple[list[Held], int]:
    """Return messages and how many more there are."""
    retry = Retry(deadline_s)
    payload = msgspec.json.encode(query)
    while True:
        try:
            return await _try_read_direct(connection, stream, payload, deadline_s=retry.attempt_s)
        except NoAnswer as error:
            await retry.wait(error)


async def _try_read_direct(
    connection: Connection, stream: str, payload: bytes, *, deadline_s: float
) -> tuple[list[Held], int]:
    found: list[Held] = []
    async with connection.answers() as answers:
        try:
            with anyio.fail_after(deadline_s):
                await connection.wait_connected()
                await connection.send(names.DIRECT_GET + stream, payload, reply=answers.subject)
                while True:
                    message = await answers.next()
                    if message.data:
                        found.append(_held(message))
                        continue
                    match status_of(message):
                        case names.STATUS_END:
                            return found, int(header_of(message, names.NUM_PENDING) or 0)
                        case names.STATUS_NOT_FOUND:
                            return found, 0
                        case None:
                            found.append(_held(message))  # an empty message
                        case status:
                            raise NoAnswer(f"{stream} answers a read with {status}")
        except TimeoutError:
            raise NoAnswer(f"{stream} did not answer a read within {deadline_s:.1f} s") from None


def _held(message: Incoming) -> Held:
    seq, subject = header_of(message, names.SEQUENCE), header_of(message, names.SUBJECT)
    if seq is None or subject is None:
        raise NoAnswer(f"an answer without a sequence: {status_of(message)}")
    return Held(seq=int(seq), subject=subject, payload=message.data, generation=header_of(message, names.GENERATION))
