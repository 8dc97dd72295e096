"""Jobs that had runners which crashed: each runs on a runner where nothing else does.

When a runner crashes while it has several jobs, any of them may be the cause, and all of them lose their attempt. A job
that was there twice is a suspect. Alone, a suspect takes no other job down with it: when it ends, it was innocent, and
when its runners go on crashing, it is quarantined (`penstock_domain.job`). So no job fails for what another one did.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from msgspec import Struct

from penstock_scheduler.core.records import LiveJob, Owner, RunnerRecord, RunnerStatus
from penstock_scheduler.core.state import OWNER_LIMIT, SchedulerState
from penstock_schemas.ids import RunnerId


class Isolation(Struct, frozen=True):
    """Which suspects start, and which runners are not for other jobs."""

    starts: tuple[tuple[LiveJob, RunnerId], ...]
    taken: frozenset[RunnerId]
    """Runners that a suspect gets now, and the one that is being emptied for the next suspect."""
    taken_of: Mapping[Owner, int]
    """The slots that the starts take, by owner."""


_NOTHING = Isolation((), frozenset(), {})


def isolate(state: SchedulerState, now: datetime, gone: frozenset[RunnerId], room: int | None) -> Isolation:
    """Return what to do for the suspects that wait, in the order of the queue.

    At most half of the runners that offer an engine, and at least one, are for suspects at a time. When none of them is
    empty, the one with the fewest jobs gets no other job until it is. `room` is how many jobs may start at all.
    """
    if not state.suspects:
        return _NOTHING
    runners = [each for each in state.runners.values() if each.state is RunnerStatus.ACTIVE and each.id not in gone]
    starts: list[tuple[LiveJob, RunnerId]] = []
    taken: set[RunnerId] = set()
    taken_of: dict[Owner, int] = {}
    for job in _suspects(state, now):
        owner = job.account
        if (room is not None and len(starts) >= room) or not _is_allowed(state, owner, taken_of):
            continue
        fitting = [each for each in runners if job.engine in each.engines and each.slots > 0]
        alone = sum(each.id in taken or _is_alone(state, each) for each in fitting)
        free = [each for each in fitting if each.id not in taken and not _is_alone(state, each)]
        if not free or alone >= max(1, len(fitting) // 2):
            continue
        best = min(free, key=lambda each: (len(state.holding.get(each.id, ())), each.id))
        taken.add(best.id)
        if state.holding.get(best.id):
            break  # it is being emptied, one at a time
        starts.append((job, best.id))
        taken_of[owner] = taken_of.get(owner, 0) + 1
    return Isolation(tuple(starts), frozenset(taken), taken_of)


def _suspects(state: SchedulerState, now: datetime) -> Iterator[LiveJob]:
    jobs = [state.jobs[aggregate] for aggregate in state.suspects]
    due = [job for job in jobs if job.not_before is None or job.not_before <= now]
    return iter(sorted(due, key=lambda job: job.key))


def _is_allowed(state: SchedulerState, owner: Owner, taken_of: Mapping[Owner, int]) -> bool:
    most = state.limit(OWNER_LIMIT)
    return most is None or state.holders_of.get(owner, 0) + taken_of.get(owner, 0) < most


def _is_alone(state: SchedulerState, runner: RunnerRecord) -> bool:
    return any(state.jobs[each].life.is_alone for each in state.holding.get(runner.id, ()))
