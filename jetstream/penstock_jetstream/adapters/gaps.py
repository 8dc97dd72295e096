"""A reader of the whole log accounts for every sequence: what it did not get is searched for, or is missing."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import anyio
import structlog

from penstock_domain.aggregates import belongs
from penstock_domain.chain import Stored, digest
from penstock_domain.damage import missing, unreadable
from penstock_jetstream import names
from penstock_jetstream.replicas import search_copies
from penstock_jetstream.transport import stream_reads, stream_state
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.messages import Held
from penstock_ports import LogTruncated, PortError
from penstock_schemas.wire import Undecodable, decode_event

T = TypeVar("T")
_log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Gaps:
    """Finds the sequences that a reader of the whole log did not get, and fills them."""

    def __init__(self, connection: Connection, *, after: int) -> None:
        self._connection = connection
        self._reached = after

    async def filled(self, events: list[Stored]) -> list[Stored]:
        """Return `events` with something for each sequence; without events, with what is missing up to the log's end.

        It waits for the log for as long as it takes.

        Raises:
            LogTruncated: the log ends before what was read.

        """
        if not events:
            last_seq = await _retry_until_answered(
                lambda: stream_state.last_seq(self._connection, names.EVENTS, deadline_s=names.VIEW_READ_S)
            )
            if last_seq < self._reached:
                raise LogTruncated(
                    f"the event log ends at sequence {last_seq}, and {self._reached} was read before: acknowledged "
                    "events are gone. Restore a backup"
                )
            return await self._search(last_seq)
        found: list[Stored] = []
        for stored in events:
            if stored.seq <= self._reached:
                continue  # it was searched for while the copy that the reader reads was behind
            if stored.seq > self._reached + 1:
                found += await self._search(stored.seq - 1)
            found.append(stored)
            self._reached = stored.seq
        return found

    async def _search(self, end: int) -> list[Stored]:
        """Return what the log has between what was read and `end`, and `missing` for each sequence that it has not."""
        found: list[Stored] = []
        for seq in range(self._reached + 1, end + 1):
            held = await _retry_until_answered(partial(self._get, seq))
            if held is None:
                _log.error("event_missing", seq=seq, hint="see 'penstock verify' and docs/how-to/repair-damage.md")
                found.append(missing(seq))
            else:
                found.append(decoded(held.seq, held.subject, held.payload))
            self._reached = seq
        return found

    async def _get(self, seq: int) -> Held | None:
        """Return a message from the leader, or from any other copy when the leader's is damaged."""
        held = await stream_reads.get_from_leader(
            self._connection, names.EVENTS, {"seq": seq}, deadline_s=names.VIEW_READ_S
        )
        if held is not None:
            return held
        found = await search_copies(self._connection, names.EVENTS, seq)
        return None if found is None else Held(seq=found.seq, subject=found.subject, payload=found.payload)


async def _retry_until_answered(request: Callable[[], Awaitable[T]]) -> T:
    """Repeat the request until it is answered."""
    while True:
        try:
            return await request()
        except PortError as error:
            _log.warning("log_does_not_answer", reason=str(error))
            await anyio.sleep(names.RETRY_WAIT_S[-1])


def decoded(seq: int, subject: str, payload: bytes) -> Stored:
    """Return the event in a message, or what represents one that cannot be read."""
    aggregate, hash_ = subject.removeprefix(names.EVENTS_PREFIX), digest(payload)
    try:
        event = decode_event(payload)
    except Undecodable as error:
        reason = str(error)
    else:
        if event.aggregate != aggregate:
            reason = f"it is an event of {event.aggregate}"
        elif not belongs(event):
            reason = f"this {type(event.data).__name__} has an id of another form, or belongs to another aggregate"
        else:
            return Stored(seq, event, hash_)
    _log.error("event_unreadable", seq=seq, subject=subject, error=reason)
    return unreadable(seq, aggregate, payload or b"?", hash_, reason)
