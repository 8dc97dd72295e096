"""The envelope around what happened: version, time, and the hash that ties an event to its predecessor."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import cast

from msgspec import Struct

from penstock_schemas.events import AnyEventData, Event, EventData, RecordDamaged
from penstock_schemas.ids import EventId
from penstock_schemas.views import EMPTY_HEAD, Head


class Stored(Struct, frozen=True, gc=False):
    """An event with its place in the log."""

    seq: int
    event: Event
    hash: str
    """SHA-256 of its stored bytes."""

    @property
    def head(self) -> Head:
        """The place that the aggregate's next event is appended to."""
        return Head(seq=self.seq, version=self.event.version, hash=self.hash)


def digest(raw: bytes) -> str:
    """Return the SHA-256 of an encoded event, hexadecimal: the link to it in the next event of the aggregate."""
    return hashlib.sha256(raw).hexdigest()


def link(
    head: Head,
    aggregate: str,
    data: EventData,
    *,
    event_id: EventId,
    time: datetime,
    actor: str,
    cause: str | None = None,
) -> Event:
    """Return the event that follows `head` on `aggregate`."""
    return Event(
        id=event_id,
        aggregate=aggregate,
        version=head.version + 1,
        time=time,
        actor=actor,
        cause=cause,
        previous=head.hash,
        schema=type(data).SCHEMA,
        data=cast("AnyEventData", data),  # the union of every EventData subclass
    )


class BrokenChain(Exception):
    """The events of an aggregate are not the ones that were written, or not all of them."""


def verify(history: Sequence[Stored], *, after: Head = EMPTY_HEAD) -> None:
    """Check that `history`, events of one aggregate, follows `after` without a gap or a change.

    Raises:
        BrokenChain: naming the first event that does not fit.

    """
    version, previous = after.version, after.hash
    for stored in history:
        event = stored.event
        if event.version != version + 1:
            raise BrokenChain(f"{event.aggregate}: version {event.version} follows version {version}")
        if event.previous != previous:
            raise BrokenChain(f"{event.aggregate}: version {event.version} does not follow what is stored before it")
        version, previous = event.version, stored.hash


def following(head: Head, stored: Stored) -> Head:
    """Return the head of an aggregate after an event that may not fit it: the next event follows this one."""
    return Head(seq=stored.seq, version=head.version + 1, hash=stored.hash)


def misfit(head: Head, stored: Stored) -> str | None:
    """Return why an event does not follow `head` in its aggregate's chain; `None` when it does."""
    event = stored.event
    if isinstance(event.data, RecordDamaged):
        return event.data.reason
    if event.version != head.version + 1:
        return f"version {event.version} follows version {head.version}: an event is missing, or one was inserted"
    if event.previous != head.hash:
        return f"version {event.version} does not follow what is stored before it: an event was changed"
    return None
