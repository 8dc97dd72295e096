"""A decision as the entries of one append: each tied to its aggregate's last event."""

from collections.abc import Callable, Sequence
from datetime import datetime

from penstock_domain import aggregates
from penstock_domain.chain import digest, link
from penstock_ports import AppendEntry
from penstock_scheduler.core.decision import Decision, Observations
from penstock_scheduler.core.state import SchedulerState
from penstock_schemas.events import (
    Assignment,
    CycleDecided,
    EventData,
    JobCancelled,
    JobFailed,
    JobRequeued,
    LeaseAcquired,
    RecordDamaged,
)
from penstock_schemas.ids import EventId, JobId
from penstock_schemas.views import Head
from penstock_schemas.wire import encode

NewId = Callable[[], EventId]
"""Makes ids: the core has no randomness."""


def record(
    state: SchedulerState, decision: Decision, now: datetime, observations: Observations, max_entries: int
) -> CycleDecided:
    """Return the record of `decision`, with all that is needed to take it again."""
    ended = [(abandoned.job.life.id, abandoned.data) for abandoned in decision.abandoned]
    return CycleDecided(
        term=state.lease.term,
        seen=state.seq,
        now=now,
        silent_runners=dict(observations.silent),
        assigned=tuple(
            Assignment(job_id=start.job.life.id, attempt=start.data.attempt, runner_id=start.data.runner_id)
            for start in decision.starts
        ),
        requeued=_ids(ended, JobRequeued),
        stopped=tuple(stop.data.job_id for stop in decision.stops),
        failed=_ids(ended, JobFailed),
        cancelled=_ids(ended, JobCancelled),
        max_entries=max_entries,
    )


def batch(
    state: SchedulerState, decision: Decision, cycle: CycleDecided, *, cycle_id: EventId, new_id: NewId, actor: str
) -> tuple[AppendEntry, ...]:
    """Return the entries that make `decision` true, to be appended under the fence of the lease, all or none."""
    writer = _Writer(cycle.now, actor, new_id, cause=cycle_id)
    cycle_event = link(
        state.cycle_head, aggregates.SCHEDULER_CYCLE, cycle, event_id=cycle_id, time=cycle.now, actor=actor
    )
    writer.entries.append(AppendEntry(cycle_event, None))
    for lost in decision.lost:
        writer.add(aggregates.runner(lost.runner_id), state.runners[lost.runner_id].head, lost)
    for abandoned in decision.abandoned:
        writer.add(abandoned.job.aggregate, abandoned.job.life.head, abandoned.data)
    for stop in decision.stops:
        writer.add(aggregates.assign(stop.runner_id), state.runners[stop.runner_id].assign_head, stop.data)
    for start in decision.starts:
        writer.add(start.job.aggregate, start.job.life.head, start.data)
        runner_id = start.data.runner_id
        writer.add(aggregates.assign(runner_id), state.runners[runner_id].assign_head, start.order)
    return tuple(writer.entries)


def election(
    state: SchedulerState, holder: str, *, expected: int, event_id: EventId, now: datetime, actor: str
) -> AppendEntry:
    """Return the entry that makes `holder` the leader, unless the elections end at another sequence than `expected`."""
    data = LeaseAcquired(holder=holder, term=state.lease.term + 1)
    event = link(state.lease.head, aggregates.SCHEDULER_LEASE, data, event_id=event_id, time=now, actor=actor)
    return AppendEntry(event, expected)


def damage_report(
    head: Head, aggregate: str, damaged_seq: int, *, tail: int, event_id: EventId, now: datetime, actor: str
) -> AppendEntry:
    """Return the entry that records that the last event of an aggregate, at `damaged_seq`, is missing."""
    reason = "the event is missing: the server has no message with this sequence"
    data = RecordDamaged(damaged_seq=damaged_seq, reason=reason)
    return AppendEntry(link(head, aggregate, data, event_id=event_id, time=now, actor=actor), tail)


def _ids(ended: Sequence[tuple[JobId, EventData]], kind: type[EventData]) -> tuple[JobId, ...]:
    return tuple(job_id for job_id, data in ended if isinstance(data, kind))


class _Writer:
    """Collects entries; a later one of the same aggregate follows the earlier one."""

    def __init__(self, now: datetime, actor: str, new_id: NewId, *, cause: EventId) -> None:
        self.entries: list[AppendEntry] = []
        self._now, self._actor, self._new_id, self._cause = now, actor, new_id, cause
        self._heads: dict[str, Head] = {}

    def add(self, aggregate: str, stored_head: Head, data: EventData) -> None:
        pending = self._heads.get(aggregate)
        head = stored_head if pending is None else pending
        event = link(
            head,
            aggregate,
            data,
            event_id=self._new_id(),
            time=self._now,
            actor=self._actor,
            cause=self._cause,
        )
        self.entries.append(AppendEntry(event, stored_head.seq if pending is None else None))
        self._heads[aggregate] = Head(version=event.version, hash=digest(encode(event)))
