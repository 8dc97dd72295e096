"""Take every recorded decision again, from the log alone, and compare: an auditor's check."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from penstock_core.chain import Stored
from penstock_scheduler.core.decision import Observations, decide
from penstock_scheduler.core.events import record
from penstock_scheduler.core.state import State
from penstock_schemas.events import CycleDecided


class Difference(Struct, frozen=True):
    """A recorded decision that does not follow from what had been seen."""

    seq: int
    recorded: CycleDecided
    expected: CycleDecided


def check_decisions(history: Iterable[Stored]) -> Iterator[Difference]:
    """Yield every cycle of `history`, the log from its beginning, that today's rules would have decided otherwise.

    A cycle decides from a prefix that may end before the event that precedes it, so events are held back until the
    cycle that had not seen them was taken again. Memory is bounded by the longest such stretch.
    """
    state = State()
    unseen: list[Stored] = []
    for stored in history:
        data = stored.event.data
        if isinstance(data, CycleDecided):
            rest = [each for each in unseen if each.seq > data.seen]
            state.apply_all(each for each in unseen if each.seq <= data.seen)
            observations = Observations(data.silent_runners, data.passed_over)
            decision = decide(state, data.now, observations, cycle_id=stored.event.id, max_entries=data.max_entries)
            expected = record(state, decision, data.now, observations, data.max_entries)
            unseen = rest
            if expected != data:
                yield Difference(stored.seq, data, expected)
        unseen.append(stored)
