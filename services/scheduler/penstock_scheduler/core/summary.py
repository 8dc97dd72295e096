"""What a scheduler reports of its queue with every beat, from which a gateway names the reason why a job waits."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from heapq import merge, nsmallest
from itertools import islice
from typing import Final

from penstock_domain.scheduling.demands import engine_of
from penstock_scheduler.core.demands import fitting
from penstock_scheduler.core.records import LiveJob, Owner, RunnerRecord, RunnerStatus
from penstock_scheduler.core.state import GLOBAL_LIMIT, OWNER_LIMIT, SchedulerState
from penstock_schemas.ids import TenantId
from penstock_schemas.views import EngineQueue, OwnerLoad, QueueSummary, SlotHolder

MAX_FIRST: Final = 200
"""Jobs of each engine whose places are reported."""
MAX_ENGINES: Final = 16
MAX_DEMANDS: Final = 64
"""Demands of each engine for which free slots are reported."""
MAX_OWNERS: Final = 500
"""Owners at their limit that are reported."""
MAX_HOLDERS: Final = 20
"""Jobs that hold slots, of each engine and in all, that are reported."""
MAX_HOLDERS_OF_OWNER: Final = 5


def summarize(state: SchedulerState) -> QueueSummary:
    """Return the summary. Its size is bounded, and it costs O(slots + owners with waiting jobs)."""
    active = [runner for runner in state.runners.values() if runner.state is RunnerStatus.ACTIVE]
    offers: defaultdict[str, _Offer] = defaultdict(_Offer)
    for runner in active:
        for engine in runner.engines:
            offers[engine].add(runner, state)
    waiting = state.queue.waiting_by_engine()
    names = sorted(set(offers) | set(waiting), key=lambda name: (name not in offers, name))[:MAX_ENGINES]
    full = sorted(state.queue.suspended_owners())[:MAX_OWNERS]
    held = [job for jobs in state.jobs_by_runner.values() for job in map(state.jobs.__getitem__, jobs)]
    by_owner: dict[Owner, list[LiveJob]] = {owner: [] for owner in full}
    for job in held:
        if job.account in by_owner:
            by_owner[job.account].append(job)
    offering = {name: {runner.id for runner in active if name in runner.engines} for name in names}
    return QueueSummary(
        engines={
            name: EngineQueue(
                slots=offers[name].slots,
                free=offers[name].free,
                waiting=waiting.get(name, 0),
                free_for=_free_for(state, name),
                first=tuple(job.life.id for job in islice(_in_order(state, name), MAX_FIRST)),
                holders=_oldest((job for job in held if job.life.runner_id in offering[name]), MAX_HOLDERS),
                cores=offers[name].cores,
                gpus=offers[name].gpus,
                free_cores=offers[name].free_cores,
                free_gpus=offers[name].free_gpus,
            )
            for name in names
        },
        running=state.slots_used,
        holders=_oldest(held, MAX_HOLDERS),
        max_running=state.limit(GLOBAL_LIMIT),
        max_running_per_owner=state.limit(OWNER_LIMIT),
        full_owners=tuple(
            OwnerLoad(
                tenant=TenantId(tenant),
                owner=owner,
                running=state.slots_used_by.get((tenant, owner), 0),
                holders=_oldest(by_owner.get((tenant, owner), ()), MAX_HOLDERS_OF_OWNER),
            )
            for tenant, owner in full
        ),
    )


class _Offer:
    """What runners offer for an engine: their slots together, and the largest amounts of one of them."""

    def __init__(self) -> None:
        self.slots = self.free = 0
        self.cores = self.gpus = self.free_cores = self.free_gpus = 0

    def add(self, runner: RunnerRecord, state: SchedulerState) -> None:
        """Count a runner."""
        free = max(0, state.free_slots(runner))
        self.slots += runner.slots
        self.free += free
        self.cores = max(self.cores, runner.slots * runner.cores)
        self.gpus = max(self.gpus, len(runner.gpus))
        self.free_cores = max(self.free_cores, free * runner.cores)
        self.free_gpus = max(self.free_gpus, len(state.free_gpus(runner)) if free else 0)


def _free_for(state: SchedulerState, engine: str) -> dict[str, int]:
    """Return the free slots for each demand of an engine that needs more than the engine, at most a few."""
    runners = [runner for runner in state.runners.values() if not runner.state.is_over]
    demands = [demand for demand in state.queue.demands() if demand != engine and engine_of(demand) == engine]
    return {
        demand: sum(
            max(0, state.free_slots(runner))
            for runner in fitting(runners, demand)
            if runner.state is RunnerStatus.ACTIVE
        )
        for demand in demands[:MAX_DEMANDS]
    }


def _oldest(jobs: Iterable[LiveJob], limit: int) -> tuple[SlotHolder, ...]:
    return tuple(
        SlotHolder(job_id=job.life.id, tenant=job.life.tenant, owner=job.owner, runner_id=job.life.runner_id)
        for job in nsmallest(limit, jobs, key=lambda job: job.created_seq)
        if job.life.runner_id is not None
    )


def _in_order(state: SchedulerState, engine: str) -> Iterator[LiveJob]:
    return (state.queue.at(key) for key in merge(*state.queue.lanes_of(engine)))
