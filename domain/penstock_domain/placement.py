"""Which aggregate an event belongs to. Every fold goes by the type of an event, so one that is elsewhere is damage."""

import re
from functools import lru_cache
from typing import Final, get_args

from penstock_domain import aggregates
from penstock_schemas import events as e
from penstock_schemas.ids import JobId, TenantId, is_token

_HEXADECIMAL: Final = "0123456789abcdef"
_EVENT_ID_LENGTH: Final = 32
_JOB_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_CACHED_NAMES: Final = 4_096
"""The events of one job often follow one another."""
_OF_A_JOB: Final = frozenset(get_args(e.JobEventData)) - {e.JobSubmitted, e.RecordDamaged}
"""Types that belong to every job."""


@lru_cache(maxsize=_CACHED_NAMES)
def job_of(aggregate: str) -> tuple[TenantId, JobId] | None:
    """Return the tenant and the id in the name of a job's aggregate; `None` for any other aggregate."""
    match aggregate.split("."):
        case ["job", tenant, job_id] if is_token(tenant) and _JOB_ID.fullmatch(job_id):
            return TenantId(tenant), JobId(job_id)
        case _:
            return None


def belongs(event: e.Event) -> bool:
    """Return whether an event may be stored in the aggregate that it names, and has an id of the form that ids have."""
    data, aggregate = event.data, event.aggregate
    if len(event.id) != _EVENT_ID_LENGTH or event.id.strip(_HEXADECIMAL):
        return False  # stripping is several times as quick as a regular expression, and a replay does it for each event
    if type(data) in _OF_A_JOB:
        return job_of(aggregate) is not None
    match data:
        case e.RecordDamaged():
            return True
        case e.JobSubmitted():
            return job_of(aggregate) == (data.tenant, data.job_id)
        case e.RunnerJoined() | e.RunnerDraining() | e.RunnerLeft() | e.RunnerLost():
            return aggregate == aggregates.runner(data.runner_id)
        case e.LeaseAcquired():
            return aggregate == aggregates.SCHEDULER_LEASE
        case e.CycleDecided():
            return aggregate == aggregates.SCHEDULER_CYCLE
        case e.LimitSet():
            return aggregate == aggregates.limit(data.name)
        case e.PipelineRegistered() | e.PipelineRetired():
            return aggregate == aggregates.pipeline(data.name)
        case e.TokenIssued() | e.TokenRevoked():
            return aggregate == aggregates.token(data.token_id)
        case e.AttemptAssigned() | e.StopOrdered():
            return aggregate.startswith("assign.")
        case e.AccessDenied():
            return aggregate.startswith("audit.")
        case _:
            return False
