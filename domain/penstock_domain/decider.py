"""A decider: the rules of one kind of aggregate, as the command handler uses them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from penstock_domain.chain import Stored
from penstock_schemas.events import EventData
from penstock_schemas.views import Head


class AggregateState(Protocol):
    """The state of an aggregate that has at least one event."""

    @property
    def head(self) -> Head:
        """The place of the last event; the next one is appended after it."""
        ...


StateT = TypeVar("StateT", bound=AggregateState)
CommandT = TypeVar("CommandT")


class Decider(Struct, Generic[StateT, CommandT], frozen=True, kw_only=True):
    """How one kind of aggregate decides and evolves. The state is `None` before the first event."""

    decide: Callable[[StateT | None, CommandT], Sequence[EventData]]
    """Returns what happens when a command is given, in order; nothing when its effect is there already.

    It raises the aggregate's own refusals.
    """
    evolve: Callable[[StateT | None, Stored], StateT | None]
    """Returns the state after an event. It is total: it never refuses."""

    def fold(self, history: Iterable[Stored]) -> StateT | None:
        """Return the state after `history`, all events of one aggregate in order."""
        state: StateT | None = None
        for stored in history:
            state = self.evolve(state, stored)
        return state
