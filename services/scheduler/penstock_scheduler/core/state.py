"""The scheduler's state: the fold of the whole log, no more and no less.

Who holds a slot is computed from the log alone, so a slot cannot leak. Jobs that ended and runners that are gone are
dropped, so memory is bounded by what is alive. The state changes in place, for speed; a replay equals it always.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from penstock_domain import aggregates
from penstock_domain.chain import Stored, following, misfit
from penstock_domain.damage import damage_of
from penstock_domain.job.lifecycle import advanced, begun
from penstock_domain.policy import limits
from penstock_domain.policy.limits import Limit
from penstock_domain.scheduling.capacity import Request
from penstock_domain.scheduling.demands import demand_of
from penstock_scheduler.core.queue import Queue
from penstock_scheduler.core.records import LeadershipLease, LiveJob, Owner, RunnerRecord, RunnerStatus, Snapshot
from penstock_schemas import events as e
from penstock_schemas.ids import EventId, RunnerId
from penstock_schemas.jobs import Damage, JobState, directives_of
from penstock_schemas.views import EMPTY_HEAD

GLOBAL_LIMIT: Final = "global"
OWNER_LIMIT: Final = "owner"
MAX_DAMAGES: Final = 1_000
"""So many damaged events are remembered for the operator; the oldest are kept."""
STATE_VERSION: Final = 3
"""Of the fold and of its encoding: a snapshot of another version is not used."""

_NO_LIMIT: Final = Limit()
_LIMIT: Final = aggregates.limit("")


class SchedulerState:
    """What is true after the event at `seq`. Read it freely; only `apply` changes it."""

    def __init__(self) -> None:
        self.seq = 0
        self.lease = LeadershipLease()
        self.cycle_head = EMPTY_HEAD
        self.cycle_id: EventId | None = None
        """The last cycle."""
        self.limits: dict[str, Limit] = {}
        self.runners: dict[RunnerId, RunnerRecord] = {}
        self.jobs: dict[str, LiveJob] = {}
        """Every job that has not ended, by the name of its events."""
        self.queue = Queue()
        self.slots_used = 0
        """How many jobs have a slot."""
        self.slots_used_by: dict[Owner, int] = {}
        self.jobs_by_runner: dict[RunnerId, set[str]] = {}
        """The jobs that each runner holds."""
        self.orphaned_jobs: set[str] = set()
        """The jobs that hold a slot on a runner that is gone."""
        self.damages: dict[int, Damage] = {}
        """What is damaged and was not closed, by the sequence of the damaged event."""
        self.gaps: list[int] = []
        """The missing sequences of which it is not known to which aggregate they belong."""
        self.pending_stops: set[str] = set()
        """The jobs that their runner must stop and was not ordered to yet."""
        self.isolation_candidates: set[str] = set()
        """The jobs that wait and must run alone."""

    def apply(self, stored: Stored) -> None:
        """Fold one event in. It never refuses; it ignores what it does not know."""
        data, aggregate = stored.event.data, stored.event.aggregate
        fold = _FOLDS.get(type(data))
        if fold is not None:
            fold(self, stored, data)
        elif (job := self.jobs.get(aggregate)) is not None:
            self._advance(job, stored)
        elif isinstance(data, e.RecordDamaged):
            self._note_damage(stored, data)
        elif isinstance(data, e.JobClosed):
            self._forget_damage(aggregate)
        self.seq = stored.seq

    def apply_all(self, batch: Iterable[Stored]) -> None:
        """Fold events in, in order."""
        for stored in batch:
            self.apply(stored)

    def limit(self, name: str) -> int | None:
        """Return a limit's slots; `None` when there is no bound."""
        return self.limits.get(name, _NO_LIMIT).slots

    def free_slots(self, runner: RunnerRecord) -> int:
        """Return how many more attempts `runner` can hold."""
        held = self.jobs_by_runner.get(runner.id, set())
        if len(held) == 1 and self.jobs[next(iter(held))].life.is_alone:
            return 0
        return runner.slots - sum(self.jobs[name].life.slots for name in held)

    def free_gpus(self, runner: RunnerRecord) -> tuple[str, ...]:
        """Return the GPUs of `runner` that no job has."""
        held = {gpu for name in self.jobs_by_runner.get(runner.id, ()) for gpu in self.jobs[name].life.gpus}
        return tuple(gpu for gpu in runner.gpus if gpu not in held)

    def snapshot(self) -> Snapshot:
        """Return all that the state is made of."""
        return Snapshot(
            version=STATE_VERSION,
            seq=self.seq,
            lease=self.lease,
            cycle_id=self.cycle_id,
            cycle_head=self.cycle_head,
            limits=dict(sorted(self.limits.items())),
            runners=[self.runners[runner_id] for runner_id in sorted(self.runners)],
            jobs=sorted(self.jobs.values(), key=lambda job: job.created_seq),
            damages=[self.damages[seq] for seq in sorted(self.damages)],
            gaps=list(self.gaps),
        )

    @classmethod
    def restore(cls, snapshot: Snapshot) -> "SchedulerState":
        """Return the state that `snapshot` was taken of."""
        state = cls()
        state.seq, state.lease = snapshot.seq, snapshot.lease
        state.cycle_head, state.cycle_id = snapshot.cycle_head, snapshot.cycle_id
        state.limits = dict(snapshot.limits)
        state.runners = {runner.id: runner for runner in snapshot.runners}
        state.damages = {damage.seq: damage for damage in snapshot.damages}
        state.gaps = list(snapshot.gaps)
        for job in snapshot.jobs:
            state.jobs[job.aggregate] = job
            state._enter(job.aggregate, job)
        return state

    # Damage.

    def _note(self, damage: Damage) -> None:
        if len(self.damages) < MAX_DAMAGES:
            self.damages[damage.seq] = damage
        if damage.aggregate and damage.seq in self.gaps:
            self.gaps.remove(damage.seq)

    def _forget_damage(self, aggregate: str) -> None:
        self.damages = {seq: damage for seq, damage in self.damages.items() if damage.aggregate != aggregate}

    def _note_damage(self, stored: Stored, data: e.RecordDamaged) -> None:
        """Take note of a damaged event that is no live job's. What follows it in its aggregate follows its place."""
        aggregate = stored.event.aggregate
        if not aggregate:
            if len(self.gaps) < MAX_DAMAGES:
                self.gaps.append(stored.seq)
            self._note(damage_of(stored, data.reason))
            return
        self._note(damage_of(stored, data.reason))
        kind, _, name = aggregate.partition(".")
        if aggregate == aggregates.SCHEDULER_LEASE:
            # The winner of the election is unknown; the term counts.
            self.lease = LeadershipLease(holder="", term=self.lease.term + 1, head=following(self.lease.head, stored))
        elif aggregate == aggregates.SCHEDULER_CYCLE:
            self.cycle_head = following(self.cycle_head, stored)
        elif kind == "runner" and (runner := self.runners.get(RunnerId(name))) is not None:
            runner.head = following(runner.head, stored)
        elif kind == "assign" and (runner := self.runners.get(RunnerId(name))) is not None:
            runner.assign_head = following(runner.assign_head, stored)
        elif aggregate.startswith(_LIMIT):
            limit = self.limits.get(aggregate.removeprefix(_LIMIT), _NO_LIMIT)
            head = following(limit.head, stored)
            self.limits[aggregate.removeprefix(_LIMIT)] = Limit(slots=limit.slots, head=head)

    # The life of a job.

    def _advance(self, job: LiveJob, stored: Stored) -> None:
        """Fold the next event of a live job."""
        before, after = job.life, advanced(job.life, stored)
        if before.damage is not None and isinstance(stored.event.data, e.RecordDamaged):
            self._note(damage_of(stored, stored.event.data.reason))
        if after.damage == before.damage and (after.state is before.state or after.state is JobState.RUNNING):
            job.life = after  # it keeps its place in the queue, or its slot
            return
        self._leave(job.aggregate, job)
        job.life = after
        if isinstance(stored.event.data, e.JobClosed):
            self._forget_damage(job.aggregate)
        if after.damage is None and after.state.is_terminal:
            del self.jobs[job.aggregate]
            return
        if after.damage is not None and before.damage is None:
            self._note(after.damage)
        if after.attempt != before.attempt:
            job.is_stop_ordered = False
        if after.not_before != before.not_before:
            job.not_before = after.not_before
        self._enter(job.aggregate, job)

    def _submit(self, stored: Stored, data: e.JobSubmitted) -> None:
        aggregate = stored.event.aggregate
        known = self.jobs.get(aggregate)
        if known is not None:
            self._advance(known, stored)
            return
        if misfit(EMPTY_HEAD, stored) is not None:
            return  # it follows a job that has ended, or events that cannot be read
        spec = data.spec
        job = LiveJob(
            life=begun(data, stored),
            owner=spec.owner,
            demand=demand_of(spec.engine, directives_of(spec.source), Request(cores=spec.cores, gpus=spec.gpus)),
            priority=spec.priority,
            created_seq=stored.seq,
        )
        self.jobs[aggregate] = job
        self._enter(aggregate, job)

    def _enter(self, aggregate: str, job: LiveJob) -> None:
        """Take up a job that just came into its state."""
        if _is_apart(job):
            return  # it is nowhere but in `jobs` until it is released, and then where it was in the queue
        if not job.life.state.holds_slot:
            self.queue.add(job)
            if job.must_run_alone:
                self.isolation_candidates.add(aggregate)
            return
        owner, runner_id = job.account, job.life.runner_id or RunnerId("")
        self.slots_used += 1
        self.slots_used_by[owner] = self.slots_used_by.get(owner, 0) + 1
        self._suspend_or_resume(owner)
        # A runner may have left after the scheduler looked and before its decision was stored.
        runner = self.runners.setdefault(runner_id, RunnerRecord(id=runner_id))
        self.jobs_by_runner.setdefault(runner_id, set()).add(aggregate)
        if runner.state.is_over:
            if not job.life.damage:
                self.orphaned_jobs.add(aggregate)
        elif (job.life.damage or job.life.state is JobState.CANCELLING) and not job.is_stop_ordered:
            self.pending_stops.add(aggregate)

    def _leave(self, aggregate: str, job: LiveJob) -> None:
        """Take back what `_enter` did."""
        if _is_apart(job):
            return
        if not job.life.state.holds_slot:
            self.queue.remove(job)
            self.isolation_candidates.discard(aggregate)
            return
        owner, runner_id = job.account, job.life.runner_id or RunnerId("")
        self.slots_used -= 1
        self.slots_used_by[owner] -= 1
        if not self.slots_used_by[owner]:
            del self.slots_used_by[owner]
        self._suspend_or_resume(owner)
        self.jobs_by_runner[runner_id].discard(aggregate)
        self.orphaned_jobs.discard(aggregate)
        self.pending_stops.discard(aggregate)
        self._forget_if_over(runner_id)

    def _suspend_or_resume(self, owner: Owner) -> None:
        limit = self.limit(OWNER_LIMIT)
        if limit is not None and self.slots_used_by.get(owner, 0) >= limit:
            self.queue.suspend(owner)
        else:
            self.queue.resume(owner)

    # Orders and runners.

    def _order(self, stored: Stored, data: e.AttemptAssigned | e.StopOrdered) -> None:
        runner = self.runners.get(RunnerId(stored.event.aggregate.removeprefix("assign.")))
        if runner is not None:
            runner.assign_head = stored.head
        if isinstance(data, e.StopOrdered):
            aggregate = aggregates.job(data.tenant, data.job_id)
            job = self.jobs.get(aggregate)
            if job is not None and job.life.attempt == data.attempt:
                job.is_stop_ordered = True
                self.pending_stops.discard(aggregate)

    def _join(self, stored: Stored, data: e.RunnerJoined) -> None:
        self.runners[data.runner_id] = RunnerRecord(
            id=data.runner_id,
            slots=data.slots,
            engines=tuple(sorted(data.engines)),
            state=RunnerStatus.ACTIVE,
            head=stored.head,
            provides=tuple(sorted(data.provides)),
            cores=data.cores,
            gpus=data.gpus,
        )

    def _drain(self, stored: Stored, data: e.RunnerDraining) -> None:
        runner = self.runners.get(data.runner_id)
        if runner is not None:
            runner.head = stored.head
            if runner.state is RunnerStatus.ACTIVE:
                runner.state = RunnerStatus.DRAINING

    def _end(self, stored: Stored, data: e.RunnerLeft | e.RunnerLost) -> None:
        runner = self.runners.get(data.runner_id)
        if runner is None:
            return
        runner.head = stored.head
        if not runner.state.is_over:
            runner.state = RunnerStatus.LOST if isinstance(data, e.RunnerLost) else RunnerStatus.LEFT
            runner.is_crash = isinstance(data, e.RunnerLost) or data.is_crash
        held = self.jobs_by_runner.get(runner.id, set())
        self.orphaned_jobs |= {name for name in held if not self.jobs[name].life.damage}
        self.pending_stops -= held
        self._forget_if_over(runner.id)

    def _forget_if_over(self, runner_id: RunnerId) -> None:
        if not self.jobs_by_runner.get(runner_id):
            self.jobs_by_runner.pop(runner_id, None)
            if self.runners[runner_id].state.is_over:
                del self.runners[runner_id]

    # The scheduler itself, and policy.

    def _elect(self, stored: Stored, data: e.LeaseAcquired) -> None:
        self.lease = LeadershipLease(holder=data.holder, term=data.term, head=stored.head)

    def _cycle(self, stored: Stored, data: e.CycleDecided) -> None:
        self.cycle_head, self.cycle_id = stored.head, stored.event.id
        self.queue.release(data.now)

    def _set_limit(self, stored: Stored, data: e.LimitSet) -> None:
        limit = limits.evolve(self.limits.get(data.name), stored)
        if limit is not None:
            self.limits[data.name] = limit
        if data.name == OWNER_LIMIT:
            for owner in self.queue.suspended_owners() | self.slots_used_by.keys():
                self._suspend_or_resume(owner)


def _is_apart(job: LiveJob) -> bool:
    """Return whether a job is neither in the queue nor on a runner."""
    return job.life.state is JobState.HELD or (job.life.damage is not None and not job.life.state.holds_slot)


_FOLDS: Final[Mapping[type[Any], Any]] = {  # Any: each function takes the type that is its key
    e.JobSubmitted: SchedulerState._submit,  # pyright: ignore[reportPrivateUsage] - the table belongs to the class
    e.AttemptAssigned: SchedulerState._order,  # pyright: ignore[reportPrivateUsage]
    e.StopOrdered: SchedulerState._order,  # pyright: ignore[reportPrivateUsage]
    e.RunnerJoined: SchedulerState._join,  # pyright: ignore[reportPrivateUsage]
    e.RunnerDraining: SchedulerState._drain,  # pyright: ignore[reportPrivateUsage]
    e.RunnerLeft: SchedulerState._end,  # pyright: ignore[reportPrivateUsage]
    e.RunnerLost: SchedulerState._end,  # pyright: ignore[reportPrivateUsage]
    e.LeaseAcquired: SchedulerState._elect,  # pyright: ignore[reportPrivateUsage]
    e.CycleDecided: SchedulerState._cycle,  # pyright: ignore[reportPrivateUsage]
    e.LimitSet: SchedulerState._set_limit,  # pyright: ignore[reportPrivateUsage]
}


def fold(history: Iterable[Stored]) -> SchedulerState:
    """Return the state that `history`, the log from its beginning, makes."""
    state = SchedulerState()
    state.apply_all(history)
    return state
