"""What the scheduler does next: a pure function of the folded log, a time and observations of the runners.

Its cost grows with what it decides and with the number of runners, not with the length of the queue.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from msgspec import Struct, field

from penstock_domain.job.decide import decide as decide_job
from penstock_scheduler.core.free_slots import FreeSlots, Place
from penstock_scheduler.core.isolation import isolate
from penstock_scheduler.core.order import Key
from penstock_scheduler.core.records import LiveJob, Owner, RunnerStatus
from penstock_scheduler.core.state import GLOBAL_LIMIT, OWNER_LIMIT, SchedulerState
from penstock_schemas.commands import AbandonAttempt, AssignJob
from penstock_schemas.events import AttemptAssigned, JobAssigned, JobEventData, RunnerLost, StopOrdered
from penstock_schemas.ids import EventId, RunnerId
from penstock_schemas.jobs import RequeueCause

MAX_ENTRIES: Final = 1000
"""A decision makes no more entries of the log: an atomic batch takes no more."""
MIN_ENTRIES: Final = 8
"""A smaller bound would leave too little to decide."""
ENTRIES_AN_ASSIGNMENT: Final = 2


class Abandoned(Struct, frozen=True):
    """The decision about an attempt whose runner is gone."""

    job: LiveJob
    data: JobEventData


class Stop(Struct, frozen=True):
    """An order to stop, for a runner."""

    runner_id: RunnerId
    data: StopOrdered


class Start(Struct, frozen=True):
    """An assignment, and the order that goes with it."""

    job: LiveJob
    data: JobAssigned
    order: AttemptAssigned


class Observations(Struct, frozen=True):
    """What the shell observed, besides the log."""

    silent: Mapping[RunnerId, float] = field(default_factory=dict[RunnerId, float])
    """Runners that must have stopped their own work by now, with the seconds of their silence."""


class Decision(Struct, frozen=True, kw_only=True):
    """What one cycle does."""

    lost: tuple[RunnerLost, ...] = ()
    abandoned: tuple[Abandoned, ...] = ()
    stops: tuple[Stop, ...] = ()
    starts: tuple[Start, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.lost or self.abandoned or self.stops or self.starts)


NO_OBSERVATIONS: Final = Observations()


def decide(
    state: SchedulerState,
    now: datetime,
    observations: Observations = NO_OBSERVATIONS,
    *,
    cycle_id: EventId,
    max_entries: int = MAX_ENTRIES,
) -> Decision:
    """Return what to do now; empty when there is nothing.

    Args:
        state: the fold of the log; it is not changed.
        now: decides whose back-off is over.
        observations: silent runners that the log still takes for alive are declared lost.
        cycle_id: the id of the `CycleDecided` event that this will be recorded as.
        max_entries: how many entries of the log may come of it, that event included.

    """
    budget = max(max_entries, MIN_ENTRIES) - 1
    lost = _lost(state, observations, budget)
    gone = frozenset(runner.runner_id for runner in lost)
    budget -= len(lost)
    abandoned = tuple(_abandon(state, job, now, gone) for job in islice(_abandoned_jobs(state, gone), budget))
    budget -= len(abandoned)
    stops = tuple(_stop(job) for job in islice(_jobs_to_stop(state, gone), budget))
    budget -= len(stops)
    starts = tuple(islice(_starts(state, now, gone, cycle_id), budget // ENTRIES_AN_ASSIGNMENT))
    return Decision(lost=lost, abandoned=abandoned, stops=stops, starts=starts)


def _lost(state: SchedulerState, observations: Observations, budget: int) -> tuple[RunnerLost, ...]:
    return tuple(
        RunnerLost(runner_id=runner_id, silent_s=silent_s)
        for runner_id, silent_s in sorted(observations.silent.items())
        if runner_id in state.runners and not state.runners[runner_id].state.is_over
    )[:budget]


def _abandoned_jobs(state: SchedulerState, gone: frozenset[RunnerId]) -> Iterator[LiveJob]:
    aggregates = set(state.orphaned_jobs)
    for runner_id in gone:
        aggregates |= state.jobs_by_runner.get(runner_id, set())
    jobs = (job for aggregate in aggregates if not (job := state.jobs[aggregate]).life.damage)
    return iter(sorted(jobs, key=lambda job: job.created_seq))


def _abandon(state: SchedulerState, job: LiveJob, now: datetime, gone: frozenset[RunnerId]) -> Abandoned:
    runner_id = job.life.runner_id or RunnerId("")
    is_lost = runner_id in gone or state.runners[runner_id].state is RunnerStatus.LOST
    command = AbandonAttempt(
        now=now,
        attempt=job.life.attempt,
        runner_id=runner_id,
        cause=RequeueCause.LOST,
        reason=f"runner {runner_id} {'fell silent' if is_lost else 'ended without finishing it'}",
        is_runner_gone=runner_id in gone or state.runners[runner_id].is_crash,
    )
    (data,) = decide_job(job.life, command)
    return Abandoned(job, data)


def _jobs_to_stop(state: SchedulerState, gone: frozenset[RunnerId]) -> Iterator[LiveJob]:
    jobs = (state.jobs[aggregate] for aggregate in state.pending_stops)
    return iter(sorted((job for job in jobs if job.life.runner_id not in gone), key=lambda job: job.created_seq))


def _stop(job: LiveJob) -> Stop:
    reason = "the events of the job are damaged" if job.life.damage else job.life.cancel_reason
    order = StopOrdered(job_id=job.life.id, tenant=job.life.tenant, attempt=job.life.attempt, reason=reason)
    return Stop(job.life.runner_id or RunnerId(""), order)


def _starts(state: SchedulerState, now: datetime, gone: frozenset[RunnerId], cycle_id: EventId) -> Iterator[Start]:
    """Yield assignments in the order of the queue, until a limit, the runners or the queue end them."""
    capacity = None if (limit := state.limit(GLOBAL_LIMIT)) is None else limit - state.slots_used
    isolation = isolate(state, now, gone, capacity)
    for alone, place in isolation.starts:
        yield _start(alone, place, now, cycle_id, is_alone=True)
    capacity = None if capacity is None else capacity - len(isolation.starts)
    free = FreeSlots(state, gone, isolation.taken)
    candidates = _Candidates(state, now, free, isolation.taken_of)
    while capacity is None or capacity > 0:
        taken = candidates.take()
        if taken is None:
            return
        yield _start(*taken, now, cycle_id)
        capacity = None if capacity is None else capacity - 1


def _start(job: LiveJob, place: Place, now: datetime, cycle_id: EventId, *, is_alone: bool = False) -> Start:
    command = AssignJob(
        now=now,
        runner_id=place.runner_id,
        cycle_id=cycle_id,
        is_alone=is_alone,
        slots=place.slots,
        gpus=place.gpus,
    )
    (data,) = decide_job(job.life, command)
    assert isinstance(data, JobAssigned)
    order = AttemptAssigned(
        job_id=job.life.id,
        tenant=job.life.tenant,
        attempt=data.attempt,
        job_version=job.life.head.version + 1,
        slots=data.slots,
        gpus=data.gpus,
    )
    return Start(job, data, order)


class _Candidates:
    """The waiting jobs that may start, in order, read from the fronts of the lanes.

    Each source yields keys in order: the heads of a demand's lanes, a lane behind its head, the jobs whose back-off is
    just over. A source is dropped as soon as nothing of it can start.
    """

    def __init__(self, state: SchedulerState, now: datetime, free: FreeSlots, taken_of: Mapping[Owner, int]) -> None:
        self._state, self._free = state, free
        self._most_an_owner = state.limit(OWNER_LIMIT)
        self._taken_of = dict(taken_of)
        self._heads: list[Iterator[Key]] = [
            iter(state.queue.heads(demand)) for demand in state.queue.demands() if free.has(demand)
        ]
        self._sources: list[Iterator[Key]] = [*self._heads, iter(state.queue.due(now))]
        self._due = len(self._heads)
        self._frontier: list[tuple[Key, int]] = []
        for number in range(len(self._sources)):
            self._advance(number)

    def take(self) -> tuple[LiveJob, Place] | None:
        """Return the next job to start, with its place; `None` when there is none.

        A job that cannot get what it requests reserves a runner. The rest of its lane requests the same and is
        not looked at, so others may start meanwhile, and waiting jobs cost nothing.
        """
        while self._frontier:
            key, number = heappop(self._frontier)
            job = self._state.queue.at(key)
            has_slot, is_allowed = self._free.has(job.demand), self._is_allowed(job.account)
            may_start = has_slot and is_allowed
            place = self._place_of(job) if may_start else None
            goes_on = may_start and (place is not None or job.must_run_alone)
            if number == self._due or (has_slot and number < self._due) or goes_on:
                self._advance(number)
            if goes_on and number < self._due:
                self._sources.append(islice(self._state.queue.lane(job), 1, None))
                self._advance(len(self._sources) - 1)
            if place is not None:
                self._taken_of[job.account] = self._taken_of.get(job.account, 0) + 1
                return job, place
        return None

    def _place_of(self, job: LiveJob) -> Place | None:
        """Take what a job requests; reserve a runner where it cannot be had."""
        if job.must_run_alone:
            return None
        place = self._free.take(job.demand)
        if place is None:
            self._free.reserve(job.demand)
        return place

    def _is_allowed(self, owner: Owner) -> bool:
        if self._most_an_owner is None:
            return True
        held = self._state.slots_used_by.get(owner, 0) + self._taken_of.get(owner, 0)
        return held < self._most_an_owner

    def _advance(self, number: int) -> None:
        key = next(self._sources[number], None)
        if key is not None:
            heappush(self._frontier, (key, number))
