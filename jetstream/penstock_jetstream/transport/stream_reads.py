"""Single reads of a stream, from its leader or from any replica."""

from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import anyio
import msgspec
from msgspec import Struct

from penstock_jetstream import names
from penstock_jetstream.transport.client import Incoming, header_of, status_of
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.messages import Held
from penstock_jetstream.transport.responses import NoAnswer, Refusal
from penstock_jetstream.transport.retry import Retry


class _LeaderMessage(Struct, frozen=True):
    subject: str
    seq: int
    data: str = ""


class _LeaderReply(Struct, frozen=True):
    message: _LeaderMessage


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
