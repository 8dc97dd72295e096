"""Jobs that had runners which crashed: each runs on a runner where nothing else does.

When a runner crashes while it has several jobs, any of them may be the cause, and all of them lose their attempt. A job
that was there twice runs alone from then on, where it cannot harm another job. When it ends, it was not the cause; when
its runners go on crashing, it is quarantined (`penstock_domain.job`). So no job fails for what another one did.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from msgspec import Struct

from penstock_domain.scheduling.demands import request_of
from penstock_scheduler.core.demands import fitting
from penstock_scheduler.core.free_slots import Place
from penstock_scheduler.core.records import LiveJob, Owner, RunnerRecord, RunnerStatus
from penstock_scheduler.core.state import OWNER_LIMIT, SchedulerState
from penstock_schemas.ids import RunnerId


class Isolation(Struct, frozen=True):
    """Which jobs start alone, and which runners take no other jobs."""

    starts: tuple[tuple[LiveJob, Place], ...]
    taken: frozenset[RunnerId]
    """Runners that get a job alone now, and the one that takes no other job until it is empty."""
    taken_of: Mapping[Owner, int]
    """The slots that the starts take, by owner."""


_NOTHING = Isolation((), frozenset(), {})


def isolate(state: SchedulerState, now: datetime, gone: frozenset[RunnerId], capacity: int | None) -> Isolation:
    """Return which waiting jobs that must run alone start, in the order of the queue.

    At most half of the runners that offer an engine, and at least one, run a single job at a time. When none of them is
    empty, the one with the fewest jobs gets no other job until it is. `capacity` is how many jobs may start at all.
    """
    if not state.isolation_candidates:
        return _NOTHING
    runners = [runner for runner in state.runners.values() if not runner.state.is_over and runner.id not in gone]
    starts: list[tuple[LiveJob, Place]] = []
    taken: set[RunnerId] = set()
    taken_of: dict[Owner, int] = {}
    for job in _due_candidates(state, now):
        owner = job.account
        if (capacity is not None and len(starts) >= capacity) or not _is_allowed(state, owner, taken_of):
            continue
        fits = fitting(runners, job.demand)
        suitable = [runner for runner in fits if runner.state is RunnerStatus.ACTIVE and runner.slots > 0]
        alone = sum(runner.id in taken or _is_alone(state, runner) for runner in suitable)
        free = [runner for runner in suitable if runner.id not in taken and not _is_alone(state, runner)]
        if not free or alone >= max(1, len(suitable) // 2):
            continue
        best = min(free, key=lambda runner: (len(state.jobs_by_runner.get(runner.id, ())), runner.id))
        taken.add(best.id)
        if state.jobs_by_runner.get(best.id):
            break  # it is being emptied, one at a time
        request = request_of(job.demand)
        slots = best.capacity.slots_for(request) or 1
        starts.append((job, Place(best.id, slots, best.gpus[: request.gpus])))
        taken_of[owner] = taken_of.get(owner, 0) + 1
    return Isolation(tuple(starts), frozenset(taken), taken_of)


def _due_candidates(state: SchedulerState, now: datetime) -> Iterator[LiveJob]:
    jobs = [state.jobs[aggregate] for aggregate in state.isolation_candidates]
    due = [job for job in jobs if job.not_before is None or job.not_before <= now]
    return iter(sorted(due, key=lambda job: job.key))


def _is_allowed(state: SchedulerState, owner: Owner, taken_of: Mapping[Owner, int]) -> bool:
    limit = state.limit(OWNER_LIMIT)
    return limit is None or state.slots_used_by.get(owner, 0) + taken_of.get(owner, 0) < limit


def _is_alone(state: SchedulerState, runner: RunnerRecord) -> bool:
    return any(state.jobs[name].life.is_alone for name in state.jobs_by_runner.get(runner.id, ()))
