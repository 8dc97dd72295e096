"""The leader's side of the protocol, without I/O: what to append next, and what an answer means.

The shell and the simulation drive the same object, so what the simulation proves holds for the shell.

Why no decision is ever doubled: a batch is decided from a strict prefix of the log that contains the leader's own
election and everything that it wrote since. It is stored only while that election is the last one. When the outcome of
an append is not known, the leader starts another election: from then on the old batch either is below the new election,
and will be folded before the next decision, or can never be stored.
"""

from datetime import datetime

from msgspec import Struct

from penstock_domain import aggregates
from penstock_domain.chain import Stored
from penstock_ports import AppendEntry, Fence
from penstock_scheduler.core.decision import MAX_ENTRIES, MIN_ENTRIES, Observations, decide
from penstock_scheduler.core.events import NewId, batch, record
from penstock_scheduler.core.state import SchedulerState
from penstock_schemas.events import CycleDecided
from penstock_schemas.ids import RunnerId
from penstock_schemas.jobs import JobState
from penstock_schemas.views import Head


class Batch(Struct, frozen=True):
    """One cycle, ready to be appended."""

    cycle: CycleDecided
    entries: tuple[AppendEntry, ...]


class Leader:
    """A scheduler that was elected by the event at `fence.seq`."""

    def __init__(self, state: SchedulerState, *, holder: str, elected_at: int, new_id: NewId) -> None:
        self.state = state
        self.holder = holder
        self.fence = Fence(aggregates.SCHEDULER_LEASE, elected_at)
        self.awaited = elected_at
        """Nothing is decided before the log is folded up to here."""
        self.conflicts = 0
        """In a row."""
        self._new_id = new_id
        self._max_entries = MAX_ENTRIES

    @property
    def term(self) -> int:
        """The term of the election, once it is folded."""
        return self.state.lease.term

    @property
    def is_elected(self) -> bool:
        """Return whether the last election, as far as the log is folded, is this leader's; it may be missing."""
        return self.state.lease.head.seq == self.fence.seq

    @property
    def is_deposed(self) -> bool:
        """Return whether another scheduler was elected later, as far as the log is folded."""
        return self.state.lease.head.seq > self.fence.seq

    @property
    def may_decide(self) -> bool:
        """Return whether the state contains all that this leader knows to be stored."""
        return self.state.seq >= self.awaited and self.is_elected

    def next_batch(self, now: datetime, observations: Observations) -> Batch | None:
        """Return what to append; `None` when there is nothing to do. Only while `may_decide`."""
        assert self.may_decide
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

    def next_due(self, now: datetime) -> datetime | None:
        """Return when `next_batch` may have something to do although nothing happened since `now`, if ever.

        Args:
            now: the time that `next_batch` was called with, not a later one: a back-off that ended in between would be
                missed, and its job would wait until something else happens.

        """
        return self.state.queue.next_due(now)

    def stored(self, stored: tuple[Stored, ...]) -> None:
        """Take note that the batch is stored: nothing is decided until it comes back through the log."""
        self.awaited = stored[-1].seq
        self.conflicts = 0
        self._max_entries = min(MAX_ENTRIES, 2 * self._max_entries)

    def refused(self, *, last_seq: int) -> None:
        """Take note that nothing was stored: fold what came between; a smaller batch is less likely to collide."""
        self.awaited = max(self.awaited, last_seq)
        self.conflicts += 1
        self._max_entries = max(MIN_ENTRIES, self._max_entries // 2)

    def tracked(self) -> tuple[str, ...]:
        """Return every aggregate of a job or a runner whose last event may be missing; a job may be damaged already."""
        runners = (
            name(runner_id) for runner_id in self.state.runners for name in (aggregates.runner, aggregates.assign)
        )
        return (*self.state.jobs, *runners)

    def expected(self, batch: Batch) -> tuple[str, ...]:
        """Return the aggregates that a batch appends to, without the leader's own."""
        names = dict.fromkeys(entry.event.aggregate for entry in batch.entries if entry.expected is not None)
        return tuple(names)

    def lacks(self, aggregate: str, tail: int) -> tuple[Head, int] | None:
        """Return where an aggregate ends and the sequence of its missing last event; `None` when it lacks none.

        Args:
            aggregate: one of `tracked`.
            tail: what an append to it must expect. It is the missing event's sequence, or lower than the last one that
                was read: nats-server forgets the place of an event that it cannot read.

        """
        head = self._head(aggregate)
        if head is None:
            return None
        if head.seq == tail:
            order = None if tail else self._missing_first_order(aggregate)
            return None if order is None else (head, order)
        if tail > head.seq:
            return (head, tail) if tail <= self.state.seq else None
        gap = next((seq for seq in self.state.gaps if seq > head.seq), None)
        return None if gap is None else (head, gap)

    def _missing_first_order(self, aggregate: str) -> int | None:
        """Return the sequence of the first order to a runner when it is missing.

        The server then has no message with the subject, as if there had been no order. But an order directly follows
        the assignment that it belongs to.
        """
        kind, _, name = aggregate.partition(".")
        if kind != "assign":
            return None
        jobs = (self.state.jobs[job].life for job in self.state.jobs_by_runner.get(RunnerId(name), ()))
        orders = (job.head.seq + 1 for job in jobs if job.state is JobState.ASSIGNED)
        return next((seq for seq in orders if seq in self.state.gaps), None)

    def _head(self, aggregate: str) -> Head | None:
        kind, _, name = aggregate.partition(".")
        if kind == "job":
            job = self.state.jobs.get(aggregate)
            return None if job is None else job.life.head
        runner = self.state.runners.get(RunnerId(name))
        if runner is None or not runner.head.seq:
            return None  # it left before a job was assigned to it, and what was read of it is forgotten
        return runner.head if kind == "runner" else runner.assign_head
