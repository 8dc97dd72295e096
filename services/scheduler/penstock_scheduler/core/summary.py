"""What a scheduler reports of its queue with every beat, from which a gateway names the reason why a job waits."""

from collections.abc import Iterator
from heapq import merge
from itertools import islice
from typing import Final

from penstock_scheduler.core.records import LiveJob, RunnerStatus
from penstock_scheduler.core.state import GLOBAL_LIMIT, OWNER_LIMIT, SchedulerState
from penstock_schemas.ids import TenantId
from penstock_schemas.views import EngineQueue, OwnerLoad, QueueSummary

MAX_FIRST: Final = 200
"""Jobs of each engine whose places are reported."""
MAX_ENGINES: Final = 16
MAX_OWNERS: Final = 500
"""Owners at their limit that are reported."""


def summarize(state: SchedulerState) -> QueueSummary:
    """Return the summary. Its size is bounded, and it costs O(owners with waiting jobs)."""
    active = [each for each in state.runners.values() if each.state is RunnerStatus.ACTIVE]
    slots: dict[str, int] = {}
    free: dict[str, int] = {}
    for runner in active:
        for engine in runner.engines:
            slots[engine] = slots.get(engine, 0) + runner.slots
            free[engine] = free.get(engine, 0) + max(0, state.free_slots(runner))
    waiting = state.queue.waiting_by_engine()
    names = sorted(set(slots) | set(waiting), key=lambda name: (name not in slots, name))[:MAX_ENGINES]
    full = sorted(state.queue.shut_owners())[:MAX_OWNERS]
    return QueueSummary(
        engines={
            name: EngineQueue(
                slots=slots.get(name, 0),
                free=free.get(name, 0),
                waiting=waiting.get(name, 0),
                first=tuple(job.id for job in islice(_in_order(state, name), MAX_FIRST)),
            )
            for name in names
        },
        running=state.holders,
        max_running=state.limit(GLOBAL_LIMIT),
        max_running_per_owner=state.limit(OWNER_LIMIT),
        full_owners=tuple(
            OwnerLoad(tenant=TenantId(tenant), owner=owner, running=state.holders_of.get((tenant, owner), 0))
            for tenant, owner in full
        ),
    )


def _in_order(state: SchedulerState, engine: str) -> Iterator[LiveJob]:
    return (state.queue.at(key) for key in merge(*state.queue.lanes_of(engine)))
