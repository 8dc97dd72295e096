"""The envelope around what happened: version, time, and the hash that ties an event to its predecessor."""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from msgspec import Struct

from penstock_schemas.events import AnyEventData, Event, EventData
from penstock_schemas.ids import EventId
from penstock_schemas.views import EMPTY_HEAD, Head


class Stored(Struct, frozen=True):
    """An event with its place in the log."""

    seq: int
    event: Event
    hash: str
    """SHA-256 of its stored bytes."""

    @property
    def head(self) -> Head:
        """The place that the aggregate's next event is appended to."""
        return Head(seq=self.seq, version=self.event.version, hash=self.hash)


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
