"""The envelope of an event, and the events that it may hold."""

from typing import Final, get_args

from msgspec import Struct

from penstock_schemas.events.audit import AuditEventData
from penstock_schemas.events.base import EventData, Moment
from penstock_schemas.events.job import JobEventData
from penstock_schemas.events.policy import PolicyEventData
from penstock_schemas.events.runner import AssignEventData, RunnerEventData
from penstock_schemas.events.scheduler import SchedulerEventData
from penstock_schemas.ids import EventId

GENESIS_HASH: Final = ""
"""The `previous` of an aggregate's first event."""

AnyEventData = JobEventData | AssignEventData | RunnerEventData | SchedulerEventData | PolicyEventData | AuditEventData

EVENT_TYPES: Final[dict[str, type[EventData]]] = {shape.__name__: shape for shape in get_args(AnyEventData)}
"""Every type of event, by its name."""


class Event(Struct, frozen=True, kw_only=True, gc=False):
    """One entry of the log."""

    id: EventId
    aggregate: str
    """The subject without `penstock.events.`: `job.<tenant>.<job_id>`, `runner.<runner_id>` and so on."""
    version: int
    """Counts the aggregate's events, from 1."""
    time: Moment
    """UTC."""
    actor: str
    """Who did it: `user:<name>`, `scheduler:<holder>`, `runner:<id>`, `gateway:<part>`, `bootstrap:<user>@<host>`
    for a token that was issued past the gateway."""
    cause: str | None
    """The id of the request or event that led to this one."""
    previous: str
    """SHA-256 of the stored bytes of the aggregate's previous event; empty for the first."""
    schema: int
    """The version of the shape of `data`."""
    data: AnyEventData
