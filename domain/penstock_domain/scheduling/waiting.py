"""Why a job waits, for the person who waits for it: from the job and from what the leading scheduler reports."""

from collections.abc import Set as AbstractSet

from penstock_domain.job.attempts import needs_isolation
from penstock_domain.quantities import counted
from penstock_domain.scheduling.capacity import Request
from penstock_domain.scheduling.demands import demand_of
from penstock_schemas.api import Waiting, WaitReason
from penstock_schemas.jobs import JobState, directives_of
from penstock_schemas.views import Job, OwnerLoad, QueueSummary, SlotHolder


def why(
    job: Job, queue: QueueSummary | None, offered: AbstractSet[str] | None, delay_s: float, *, is_led: bool | None
) -> Waiting | None:
    """Return why a job waits; `None` when it does not, or when the reason is not known.

    Args:
        job: the job.
        queue: what the leading scheduler reported last; `None` when it is not known.
        offered: the engines that connected runners offer; `None` when it is not known.
        delay_s: the time until its next attempt may start, in seconds; 0 and less: it may start now.
        is_led: whether a scheduler leads; `None` when it is not known.

    """
    if job.state is JobState.HELD:
        reason = f": {job.hold_reason}" if job.hold_reason else ""
        return Waiting(reason=WaitReason.HELD, text=f"held{reason}; it waits until somebody releases it")
    if job.state is not JobState.QUEUED:
        return None
    if delay_s > 0:
        return Waiting(reason=WaitReason.BACK_OFF, text=f"the next attempt may start in {delay_s:.0f} s")
    if offered is not None and job.spec.engine not in offered:
        return Waiting(reason=WaitReason.NO_RUNNER, text=f"no runner offers the engine {job.spec.engine}")
    if queue is not None:
        return _in_queue(job, queue)
    if is_led is False:
        return Waiting(reason=WaitReason.NO_SCHEDULER, text="no scheduler is running; nothing starts until one is")
    return None


def held_by(waiting: Waiting, job: Job, queue: QueueSummary | None) -> tuple[tuple[SlotHolder, ...], int]:
    """Return jobs that hold what a job waits for, and how many there are in all, from the scheduler's last report."""
    if queue is None:
        return (), 0
    match waiting.reason:
        case WaitReason.OWNER_LIMIT:
            load = _load(job, queue)
            return ((), 0) if load is None else (load.holders, load.running)
        case WaitReason.GLOBAL_LIMIT:
            return queue.holders, queue.running
        case WaitReason.NO_SLOT | WaitReason.ISOLATION:
            of_engine = queue.engines[job.spec.engine]
            return of_engine.holders, max(of_engine.slots - of_engine.free, len(of_engine.holders))
        case _:
            return (), 0


def _load(job: Job, queue: QueueSummary) -> OwnerLoad | None:
    return next((load for load in queue.full_owners if (load.tenant, load.owner) == (job.tenant, job.spec.owner)), None)


def _in_queue(job: Job, queue: QueueSummary) -> Waiting | None:
    of_engine = queue.engines.get(job.spec.engine)
    if of_engine is None or not of_engine.slots:
        return Waiting(
            reason=WaitReason.NO_RUNNER, text=f"no runner that offers the engine {job.spec.engine} takes new work"
        )
    request = Request(cores=job.spec.cores, gpus=job.spec.gpus)
    maximum = Request(cores=of_engine.cores, gpus=of_engine.gpus)
    if (maximum.cores and request.cores > maximum.cores) or request.gpus > maximum.gpus:
        text = f"it requests {request} of one runner, and the largest runner has {maximum or 'no GPU'}"
        return Waiting(reason=WaitReason.NO_RUNNER, text=text)
    place = of_engine.first.index(job.id) if job.id in of_engine.first else None
    if place is None and of_engine.waiting <= len(of_engine.first):
        return None  # submitted, or started, after the report
    position = None if place is None else place + 1
    ahead = f"more than {len(of_engine.first)} runs go before it" if place is None else _ahead(place)
    reason, text = _reason(job, queue)
    return Waiting(reason=reason, position=position, text=f"{text}; {ahead}" if ahead else text)


def _reason(job: Job, queue: QueueSummary) -> tuple[WaitReason, str]:
    load = _load(job, queue)
    if load is not None:
        progress = f"{counted(load.running, 'run')} in progress"
        return WaitReason.OWNER_LIMIT, f"{job.spec.owner} has {progress}; the limit is {queue.max_running_per_owner}"
    if queue.max_running is not None and queue.running >= queue.max_running:
        running_now = f"{counted(queue.running, 'run')} {'is' if queue.running == 1 else 'are'} in progress"
        return WaitReason.GLOBAL_LIMIT, f"{running_now}; the limit is {queue.max_running}"
    if needs_isolation(job.runner_crashes):
        crashes = f"{counted(job.runner_crashes, 'runner')} crashed while they had it"
        return WaitReason.ISOLATION, f"{crashes}, so it waits for a runner without other runs"
    of_engine = queue.engines[job.spec.engine]
    if of_engine.free <= 0:
        slots = (
            f"the slot with the engine {job.spec.engine} is"
            if of_engine.slots == 1
            else f"all {of_engine.slots} slots with the engine {job.spec.engine} are"
        )
        return WaitReason.NO_SLOT, f"{slots} taken"
    if job.spec.cores > of_engine.free_cores > 0 or job.spec.gpus > of_engine.free_gpus:
        request = Request(cores=job.spec.cores, gpus=job.spec.gpus)
        free = Request(cores=of_engine.free_cores, gpus=of_engine.free_gpus)
        text = (
            f"it requests {request} of one runner, and the one with the largest free part has {free or 'no GPU'} free"
        )
        return WaitReason.NO_SLOT, f"{text}; when it is the first of the queue, others leave a runner to it"
    declared = directives_of(job.spec.source)
    demand = demand_of(job.spec.engine, declared, Request(cores=job.spec.cores, gpus=job.spec.gpus))
    if declared and of_engine.free_for.get(demand, 1) <= 0:
        named = ", ".join(f"`{directive}:`" for directive in sorted(declared))
        return WaitReason.NO_SLOT, f"its files declare {named}, and all slots of the runners for that are taken"
    return WaitReason.NEXT, "it starts in one of the next cycles of the scheduler"


def _ahead(place: int) -> str:
    return f"{counted(place, 'run')} {'goes' if place == 1 else 'go'} before it" if place else ""
