"""Take every recorded decision again, from the log alone, and compare: an auditor's check."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from penstock_domain.chain import Stored
from penstock_scheduler.core.decision import Observations, decide
from penstock_scheduler.core.events import record
from penstock_scheduler.core.state import SchedulerState
from penstock_schemas.events import CycleDecided


class Difference(Struct, frozen=True):
    """A recorded decision that does not follow from what had been seen."""

    seq: int
    recorded: CycleDecided
    expected: CycleDecided


class DecisionCheck:
    """Takes the recorded decisions again while it is given the log from its beginning, in order.

    A cycle decides from a prefix that may end before the event that precedes it, so events are held back until the
    cycle that had not seen them was taken again. Memory is bounded by the longest such stretch.
    """

    def __init__(self) -> None:
        self.cycles = 0
        """How many decisions were taken again."""
        self._state = SchedulerState()
        self._unseen: list[Stored] = []

    def take(self, stored: Stored) -> Difference | None:
        """Take the log's next event; return what today's rules would have decided otherwise."""
        data, difference = stored.event.data, None
        if isinstance(data, CycleDecided):
            self.cycles += 1
            rest = [unseen for unseen in self._unseen if unseen.seq > data.seen]
            self._state.apply_all(unseen for unseen in self._unseen if unseen.seq <= data.seen)
            self._unseen = rest
            observations = Observations(data.silent_runners)
            decision = decide(
                self._state, data.now, observations, cycle_id=stored.event.id, max_entries=data.max_entries
            )
            expected = record(self._state, decision, data.now, observations, data.max_entries)
            if expected != data:
                difference = Difference(stored.seq, data, expected)
        self._unseen.append(stored)
        return difference


def check_decisions(history: Iterable[Stored]) -> Iterator[Difference]:
    """Yield every cycle of `history`, the log from its beginning, that today's rules would have decided otherwise."""
    check = DecisionCheck()
    for stored in history:
        difference = check.take(stored)
        if difference is not None:
            yield difference
