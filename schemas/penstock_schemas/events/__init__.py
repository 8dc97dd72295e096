"""The events of the log: what happened, in the past tense, in an envelope that makes changes to the log detectable.

An event is stored as one JSON object on the subject of its aggregate. It carries the SHA-256 of the bytes of its
aggregate's previous event, so a missing, changed or reordered event is detected. The format starts at version 1.
Changes are additive: a new field has a default, a new meaning is a new event type. A changed shape gets a new `SCHEMA`
number, and an event of another number is reported as unreadable.
"""

from penstock_schemas.events.audit import AccessDenied, AuditEventData
from penstock_schemas.events.base import EventData, Moment
from penstock_schemas.events.envelope import EVENT_TYPES, GENESIS_HASH, AnyEventData, Event
from penstock_schemas.events.job import (
    AttemptStarted,
    JobAssigned,
    JobCancelled,
    JobCancelRequested,
    JobClosed,
    JobCompleted,
    JobDeleted,
    JobEventData,
    JobFailed,
    JobHeld,
    JobReleased,
    JobRequeued,
    JobSubmitted,
    RecordDamaged,
    RemoteSourcesPinned,
    ResultsDelayed,
)
from penstock_schemas.events.policy import (
    LimitSet,
    PipelineRegistered,
    PipelineRetired,
    PolicyEventData,
    TokenIssued,
    TokenRevoked,
)
from penstock_schemas.events.runner import (
    AssignEventData,
    AttemptAssigned,
    RunnerDraining,
    RunnerEventData,
    RunnerJoined,
    RunnerLeft,
    RunnerLost,
    StopOrdered,
)
from penstock_schemas.events.scheduler import Assignment, CycleDecided, LeaseAcquired, SchedulerEventData

__all__ = [
    "EVENT_TYPES",
    "GENESIS_HASH",
    "AccessDenied",
    "AnyEventData",
    "AssignEventData",
    "Assignment",
    "AttemptAssigned",
    "AttemptStarted",
    "AuditEventData",
    "CycleDecided",
    "Event",
    "EventData",
    "JobAssigned",
    "JobCancelRequested",
    "JobCancelled",
    "JobClosed",
    "JobCompleted",
    "JobDeleted",
    "JobEventData",
    "JobFailed",
    "JobHeld",
    "JobReleased",
    "JobRequeued",
    "JobSubmitted",
    "LeaseAcquired",
    "LimitSet",
    "Moment",
    "PipelineRegistered",
    "PipelineRetired",
    "PolicyEventData",
    "RecordDamaged",
    "RemoteSourcesPinned",
    "ResultsDelayed",
    "RunnerDraining",
    "RunnerEventData",
    "RunnerJoined",
    "RunnerLeft",
    "RunnerLost",
    "SchedulerEventData",
    "StopOrdered",
    "TokenIssued",
    "TokenRevoked",
]
