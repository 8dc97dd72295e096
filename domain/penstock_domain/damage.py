"""Damaged events: what replaces a message that cannot be read, and how damage is described.

Every fold decides by these functions, from the log alone. So a replay finds the same damage as the service that read
the events first, and decides the same.
"""

from datetime import UTC, datetime
from typing import Final

from penstock_domain.chain import Stored
from penstock_schemas.events import Event, RecordDamaged
from penstock_schemas.ids import EventId
from penstock_schemas.jobs import Damage
from penstock_schemas.views import Head

UNKNOWN_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of a message that cannot be read."""
NO_ID: Final = EventId("")
"""The id of the event that replaces a message that cannot be read."""


def unreadable(seq: int, aggregate: str, raw: bytes, hash_: str, reason: str) -> Stored:
    """Return the event that replaces a message that cannot be read; `aggregate` is empty without a message."""
    what = f"the event cannot be read: {reason}" if raw else reason
    event = Event(
        id=NO_ID,
        aggregate=aggregate,
        version=0,
        time=UNKNOWN_TIME,
        actor="",
        cause=None,
        previous="",
        schema=RecordDamaged.SCHEMA,
        data=RecordDamaged(damaged_seq=seq, reason=what),
    )
    return Stored(seq=seq, event=event, hash=hash_)


def missing(seq: int) -> Stored:
    """Return the event that replaces a message that the server does not have."""
    return unreadable(seq, "", b"", "", "the event is missing: the server has no message with this sequence")


def record_of_missing(head: Head, tail: int) -> RecordDamaged:
    """Return the record that the last event of an aggregate is missing.

    Args:
        head: the last event that can be read.
        tail: what an append must expect: the missing event, or less, where the server forgot its place.

    """
    seq = max(head.seq, tail)
    what = "this event" if tail > head.seq else "the event that followed this one"
    return RecordDamaged(damaged_seq=seq, reason=f"{what} is missing: the server has no such message")


def is_unreadable(stored: Stored) -> bool:
    """Return whether an event replaces a message that cannot be read, instead of an event that was written."""
    return stored.event.id == NO_ID


def damage_of(stored: Stored, reason: str) -> Damage:
    """Return the damage that an event shows."""
    data = stored.event.data
    seq = data.damaged_seq if isinstance(data, RecordDamaged) else stored.seq
    return Damage(aggregate=stored.event.aggregate, seq=seq, reason=reason)


def damage_message(damage: Damage) -> str:
    """Return what the job's user reads."""
    return f"the event log of this job is damaged at sequence {damage.seq}: {damage.reason}"
