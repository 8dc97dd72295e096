"""The leader's side of the protocol, without I/O: what to append next, and what an answer means.

The shell and the simulation drive the same object, so what the simulation proves holds for the shell.

Why no decision is ever doubled: a batch is decided from a strict prefix of the log that contains the leader's own
election and everything that it wrote since. It is stored only while that election is the last one. When the fate of a
batch is not known, the leader has itself elected anew: from then on the old batch either is below the new election,
and will be folded before the next decision, or can never be stored.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from penstock_core import aggregates
from penstock_core.chain import Stored
from penstock_core.ports import Entry, Fence
from penstock_scheduler.core.decision import MAX_ENTRIES, MIN_ENTRIES, Observations, decide
from penstock_scheduler.core.events import NewId, batch, record
from penstock_scheduler.core.state import State
from penstock_schemas.events import CycleDecided
from penstock_schemas.ids import JobId

MAX_SUSPECTS: Final = 16
"""A refused batch with more jobs is not searched for the one that it was refused for: the next one is smaller."""
STRIKES: Final = 3
"""A job is passed over when so many batches were refused for it though all that can be read of it had been read."""
MAX_PASSED_OVER: Final = 1_000


class Batch(Struct, frozen=True):
    """One cycle, ready to be appended."""

    cycle: CycleDecided
    entries: tuple[Entry, ...]


class Leader:
    """A scheduler that was elected by the event at `fence.seq`."""

    def __init__(self, state: State, *, holder: str, elected_at: int, new_id: NewId) -> None:
        self.state = state
        self.holder = holder
        self.fence = Fence(aggregates.SCHEDULER_LEASE, elected_at)
        self.awaited = elected_at
        """Nothing is decided before the log is folded up to here."""
        self.conflicts = 0
        """In a row."""
        self._new_id = new_id
        self._max_entries = MAX_ENTRIES
        self._strikes: dict[str, int] = {}
        self._unreadable: dict[str, int] = {}
        """Where the jobs stand, as far as they can be read, behind which there is something that cannot be read."""

    @property
    def passed_over(self) -> tuple[JobId, ...]:
        """The jobs that nothing is decided on. One of which a later event can be read is none of them any more."""
        jobs = ((self.state.jobs.get(aggregate), seq) for aggregate, seq in self._unreadable.items())
        return tuple(sorted(job.id for job, seq in jobs if job is not None and job.head.seq == seq))

    @property
    def term(self) -> int:
        """The term of the election, once it is folded."""
        return self.state.lease.term

    @property
    def is_deposed(self) -> bool:
        """Say whether somebody was elected later, as far as the log is folded."""
        return self.state.lease.head.seq > self.fence.seq

    @property
    def may_decide(self) -> bool:
        """Say whether the state contains all that this leader knows to be stored."""
        return self.state.seq >= self.awaited and self.state.lease.head.seq == self.fence.seq

    def next_batch(self, now: datetime, observations: Observations) -> Batch | None:
        """Return what to append; `None` when there is nothing to do. Only while `may_decide`."""
        assert self.may_decide
        observations = replace(observations, passed_over=self.passed_over)
        cycle_id = self._new_id()
        decision = decide(self.state, now, observations, cycle_id=cycle_id, max_entries=self._max_entries)
        if not decision:
            return None
        cycle = record(self.state, decision, now, observations, self._max_entries)
        entries = batch(
            self.state,
            decision,
            cycle,
            cycle_id=cycle_id,
            new_id=self._new_id,
            actor=f"scheduler:{self.holder}",
        )
        return Batch(cycle, entries)

    def stored(self, stored: tuple[Stored, ...]) -> None:
        """Take note that the batch is stored: nothing is decided until it comes back through the log."""
        self.awaited = stored[-1].seq
        self.conflicts = 0
        self._strikes.clear()
        self._max_entries = min(MAX_ENTRIES, 2 * self._max_entries)

    def refused(self, *, last_seq: int) -> None:
        """Take note that nothing was stored: fold what came between; a smaller batch is less likely to collide."""
        self.awaited = max(self.awaited, last_seq)
        self.conflicts += 1
        self._max_entries = max(MIN_ENTRIES, self._max_entries // 2)

    def suspects(self, batch: Batch) -> tuple[str, ...]:
        """Return the jobs that a refused batch still expects where they were, though the log was read since."""
        expected = {
            each.event.aggregate: each.expected for each in batch.entries if each.event.aggregate in self.state.jobs
        }
        if len(expected) > MAX_SUSPECTS:
            return ()
        return tuple(each for each, seq in expected.items() if self.state.jobs[each].head.seq == seq)

    def accuse(self, last_seqs: Mapping[str, int], *, read_to: int) -> tuple[str, ...]:
        """Take note where the suspects really end, with everything read up to `read_to` that can be read.

        Return those that are passed over from now on: an event of theirs cannot be read, so no batch with them could
        ever be stored, and nothing behind them would ever start.
        """
        convicted: list[str] = []
        for aggregate, last_seq in last_seqs.items():
            seen = self.state.jobs[aggregate].head.seq
            if not seen < last_seq <= read_to:
                continue
            self._strikes[aggregate] = self._strikes.get(aggregate, 0) + 1
            if self._strikes[aggregate] >= STRIKES and len(self._unreadable) < MAX_PASSED_OVER:
                del self._strikes[aggregate]
                self._unreadable[aggregate] = seen
                convicted.append(aggregate)
        return tuple(convicted)
