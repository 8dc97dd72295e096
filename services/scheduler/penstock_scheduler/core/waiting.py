"""Why a job waits, for the person who waits for it."""

from datetime import datetime
from enum import Enum

from msgspec import Struct

from penstock_scheduler.core.records import LiveJob, RunnerState
from penstock_scheduler.core.state import GLOBAL_LIMIT, OWNER_LIMIT, State
from penstock_schemas.jobs import JobState


class WaitReason(Enum):
    """What a waiting job lacks, the most decisive first."""

    HELD = "held"
    BACK_OFF = "back-off"
    NO_RUNNER = "no runner"
    OWNER_LIMIT = "owner limit"
    GLOBAL_LIMIT = "global limit"
    NO_SLOT = "no slot"
    NEXT = "next"


class Wait(Struct, frozen=True, kw_only=True):
    """Why a job waits."""

    reason: WaitReason
    position: int
    """1: no job goes before it. Of a held job: where it would be if it were released now."""
    text: str
    """One sentence."""


def why(state: State, aggregate: str, now: datetime) -> Wait | None:
    """Say why the job whose events are `aggregate` waits; `None` when it does not. Costs O(queue)."""
    job = state.jobs.get(aggregate)
    if job is None or job.state.holds_slot:
        return None
    position = 1 + sum(other.key < job.key for other in state.queue)
    reason, text = _reason(state, job, now)
    return Wait(reason=reason, position=position, text=text)


def _reason(state: State, job: LiveJob, now: datetime) -> tuple[WaitReason, str]:
    if job.state is JobState.HELD:
        return WaitReason.HELD, "it is held until somebody releases it"
    if job.not_before is not None and job.not_before > now:
        seconds = (job.not_before - now).total_seconds()
        return WaitReason.BACK_OFF, f"its last attempt had no outcome; the next one may start in {seconds:.0f} s"
    active = [each for each in state.runners.values() if each.state is RunnerState.ACTIVE]
    fitting = [each for each in active if job.engine in each.engines]
    if not fitting:
        return WaitReason.NO_RUNNER, f"no runner offers the engine {job.engine}"
    most = state.limit(OWNER_LIMIT)
    held = state.holders_of.get((job.tenant, job.owner), 0)
    if most is not None and held >= most:
        return WaitReason.OWNER_LIMIT, f"{job.owner} has {held} jobs running, and {most} are allowed"
    most = state.limit(GLOBAL_LIMIT)
    if most is not None and state.holders >= most:
        return WaitReason.GLOBAL_LIMIT, f"{state.holders} jobs are running, and {most} are allowed"
    if all(state.free_slots(each) <= 0 for each in fitting):
        return WaitReason.NO_SLOT, f"every slot with the engine {job.engine} is taken"
    return WaitReason.NEXT, "it starts as soon as those before it have started"
