"""The names of aggregates, and which of them an event belongs to.

A name is the part of a subject that follows `penstock.events.`. Every fold goes by the type of an event, so an event in
another aggregate than its own is damage.
"""

import re
from functools import lru_cache
from typing import Final, get_args

from penstock_schemas import events as e
from penstock_schemas.ids import TOKEN, JobId, RunnerId, TenantId

SCHEDULER_LEASE: Final = "scheduler.lease"
SCHEDULER_CYCLE: Final = "scheduler.cycle"
EVERYTHING: Final = ">"
"""The filter that matches every aggregate."""
_HEXADECIMAL: Final = "0123456789abcdef"
_EVENT_ID_LENGTH: Final = 32
_JOB: Final = re.compile(rf"job\.({TOKEN})\.([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})")
_CACHED_NAMES: Final = 4_096
"""The events of one job often follow one another."""
_OF_A_JOB: Final = frozenset(get_args(e.JobEventData)) - {e.JobSubmitted, e.RecordDamaged}
"""Types that belong to every job."""
_AGGREGATE: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


def check(aggregate: str) -> None:
    """Check that `aggregate` can be the end of a subject, and of one subject only.

    Raises:
        ValueError: it holds a blank, a control character, a wildcard, or an empty part.

    """
    if _AGGREGATE.fullmatch(aggregate) is None:
        raise ValueError(f"{aggregate!r} is not the name of an aggregate")


def job(tenant: TenantId, job_id: JobId) -> str:
    """Name the aggregate that is the life of a job."""
    return f"job.{tenant}.{job_id}"


def assign(runner_id: RunnerId) -> str:
    """Name the aggregate that holds the orders to a runner."""
    return f"assign.{runner_id}"


def runner(runner_id: RunnerId) -> str:
    """Name the aggregate that is the life of a runner."""
    return f"runner.{runner_id}"


def limit(name: str) -> str:
    """Name the aggregate that holds a limit."""
    return f"policy.limit.{name}"


def pipeline(name: str) -> str:
    """Name the aggregate that holds the versions of a catalogue entry."""
    return f"policy.pipeline.{name}"


def token(token_id: str) -> str:
    """Name the aggregate that is the life of an API token."""
    return f"policy.token.{token_id}"


def audit(tenant: TenantId) -> str:
    """Name the aggregate that holds the refusals of a tenant."""
    return f"audit.{tenant}"


def matches(pattern: str, aggregate: str) -> bool:
    """Return whether `pattern`, an aggregate or a filter with `*` and a final `>`, takes in `aggregate`."""
    if pattern in (EVERYTHING, aggregate):
        return True
    wanted, tokens = pattern.split("."), aggregate.split(".")
    if wanted[-1] == ">":
        if len(tokens) < len(wanted):
            return False
        wanted, tokens = wanted[:-1], tokens[: len(wanted) - 1]
    return len(wanted) == len(tokens) and all(w in ("*", t) for w, t in zip(wanted, tokens, strict=True))


@lru_cache(maxsize=_CACHED_NAMES)
def job_of(aggregate: str) -> tuple[TenantId, JobId] | None:
    """Return the tenant and the id in the name of a job's aggregate; `None` for any other aggregate."""
    found = _JOB.fullmatch(aggregate)
    return None if found is None else (TenantId(found[1]), JobId(found[2]))


def belongs(event: e.Event) -> bool:
    """Return whether an event may be stored in the aggregate that it names, and has an id of the form that ids have."""
    data, aggregate = event.data, event.aggregate
    if len(event.id) != _EVENT_ID_LENGTH or event.id.strip(_HEXADECIMAL):
        return False  # stripping is several times as quick as a regular expression, and a replay does it for each event
    if type(data) in _OF_A_JOB:
        return job_of(aggregate) is not None
    match data:  # the most frequent types first, for a replay
        case e.JobSubmitted():
            return job_of(aggregate) == (data.tenant, data.job_id)
        case e.AttemptAssigned() | e.StopOrdered():
            return aggregate.startswith("assign.")
        case e.RecordDamaged():
            return True
        case e.RunnerJoined() | e.RunnerDraining() | e.RunnerLeft() | e.RunnerLost():
            return aggregate == runner(data.runner_id)
        case e.LeaseAcquired():
            return aggregate == SCHEDULER_LEASE
        case e.CycleDecided():
            return aggregate == SCHEDULER_CYCLE
        case e.LimitSet():
            return aggregate == limit(data.name)
        case e.PipelineRegistered() | e.PipelineRetired():
            return aggregate == pipeline(data.name)
        case e.TokenIssued() | e.TokenRevoked():
            return aggregate == token(data.token_id)
        case e.AccessDenied():
            return aggregate.startswith("audit.")
        case _:
            return False
