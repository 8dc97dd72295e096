"""A limit: how many slots the jobs of one owner may use at once.

(none) --- set ---> set --- set to another number ---> set
"""

from msgspec import Struct

from penstock_domain.chain import Stored
from penstock_schemas.events import LimitSet
from penstock_schemas.views import EMPTY_HEAD, Head


class Limit(Struct, frozen=True, array_like=True):
    """A limit as the log has it."""

    slots: int | None = None
    """`None`: not limited."""
    head: Head = EMPTY_HEAD


class SetLimit(Struct, frozen=True, kw_only=True):
    """Set a limit."""

    name: str
    slots: int | None
    """`None` removes the limit."""


def decide(limit: Limit | None, command: SetLimit) -> tuple[LimitSet, ...]:
    """Return what happens when a limit is set; nothing when it has this value already."""
    if limit is not None and limit.slots == command.slots:
        return ()
    return (LimitSet(name=command.name, slots=command.slots),)


def evolve(limit: Limit | None, stored: Stored) -> Limit | None:
    """Return the limit after an event; one of another kind changes only its head."""
    data = stored.event.data
    if isinstance(data, LimitSet):
        return Limit(slots=data.slots, head=stored.head)
    return None if limit is None else Limit(slots=limit.slots, head=stored.head)
