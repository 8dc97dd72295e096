"""The events of the log: what happened, in the past tense, in an envelope that makes changes to the log detectable.

An event is stored as one JSON object on the subject of its aggregate. It carries the SHA-256 of the bytes of its
aggregate's previous event, so a missing, changed or reordered event is detected. The format starts at version 1.
Changes are additive: a new field has a default, a new meaning is a new event type. A changed shape gets a new `SCHEMA`
number, and an event of another number is reported as unreadable.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, get_args

from msgspec import Meta, Struct, field

from penstock_schemas.access import Role
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId, RunnerId, TenantId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import EngineParameters, Failure, Parameters, RequeueCause, Source, TaskCounts

Moment = Annotated[datetime, Meta(tz=True)]
"""A time with its zone, always UTC when we write it: one without could not be compared with the others."""

GENESIS_HASH: Final = ""
"""The `previous` of an aggregate's first event."""


class EventData(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """What happened. The subclass' name is the event's type."""

    SCHEMA: ClassVar[int] = 1
    """The current version of this type's shape."""


# The life of a job: subject `penstock.events.job.<tenant>.<job_id>`.


class JobSubmitted(EventData, tag=True, frozen=True, kw_only=True):
    """A job was submitted; it waits in the queue."""

    job_id: JobId
    tenant: TenantId = DEFAULT_TENANT
    spec: JobSpec
    request_sha256: str = ""
    """Of the request, so that a request with the same idempotency key and other content is rejected."""


class JobHeld(EventData, tag=True, frozen=True, kw_only=True):
    """Somebody keeps a waiting job from being started; its place in the queue stays its own."""

    reason: str | None = None


class JobReleased(EventData, tag=True, frozen=True, kw_only=True):
    """A held job waits for a slot again."""


class JobAssigned(EventData, tag=True, frozen=True, kw_only=True):
    """The scheduler gave the job a slot on a runner."""

    attempt: int
    """1 for the first."""
    runner_id: RunnerId
    cycle_id: EventId
    """The `CycleDecided` event that this decision belongs to."""
    is_alone: bool = False
    """Whether nothing else may run on the runner meanwhile: too many runners ended while they had this job."""


class AttemptStarted(EventData, tag=True, frozen=True, kw_only=True):
    """The runner accepted the assignment and starts the work."""

    attempt: int
    runner_id: RunnerId


class ResultsDelayed(EventData, tag=True, frozen=True, kw_only=True):
    """The work of the attempt is done, and the blob store does not take its results; they are offered again."""

    attempt: int
    runner_id: RunnerId
    tries: int
    """The number of the coming try."""
    reason: str
    """Why the last one failed."""


class JobCompleted(EventData, tag=True, frozen=True, kw_only=True):
    """The attempt succeeded; its outputs and logs are in the blob store."""

    attempt: int
    runner_id: RunnerId
    tasks: TaskCounts = TaskCounts()
    output_files: int = 0
    output_bytes: int = 0
    warnings: tuple[str, ...] = ()
    """What its user must know of the run, one sentence each."""


class JobFailed(EventData, tag=True, frozen=True, kw_only=True):
    """The job ended without success, and no further attempt will be made."""

    attempt: int
    failure: Failure
    runner_id: RunnerId | None = None
    tasks: TaskCounts = TaskCounts()
    output_files: int = 0
    output_bytes: int = 0
    warnings: tuple[str, ...] = ()
    """What its user must know of the run, one sentence each."""


class JobRequeued(EventData, tag=True, frozen=True, kw_only=True):
    """The attempt ended without an outcome; the job waits for the next one."""

    attempt: int
    """The attempt that ended."""
    cause: RequeueCause
    not_before: Moment
    reason: str = ""
    runner_id: RunnerId | None = None
    is_runner_gone: bool = False
    """Whether the runner ended or fell silent while it had the job."""


class JobCancelRequested(EventData, tag=True, frozen=True, kw_only=True):
    """The end of a job that has a runner was requested; the runner will stop it."""

    reason: str | None = None


class JobCancelled(EventData, tag=True, frozen=True, kw_only=True):
    """The job ended on request."""

    attempt: int = 0
    runner_id: RunnerId | None = None
    reason: str | None = None
    tasks: TaskCounts = TaskCounts()
    warnings: tuple[str, ...] = ()
    """What its user must know of the run, one sentence each."""


class JobDeleted(EventData, tag=True, frozen=True, kw_only=True):
    """The data of a job that had ended was removed; this stays in its place."""

    reason: str | None = None


class JobClosed(EventData, tag=True, frozen=True, kw_only=True):
    """An operator ended a job whose events are damaged; nothing between the damage and this event counts."""

    damaged_seq: int
    """The sequence of the first damaged event."""
    reason: str | None = None


class RecordDamaged(EventData, tag=True, frozen=True, kw_only=True):
    """An event of this aggregate is missing or cannot be read.

    A reader puts it in the place of a message that it cannot decode. The scheduler appends it to an aggregate whose
    last event is missing, so that every reader learns which aggregate is damaged.
    """

    damaged_seq: int
    reason: str


# Orders addressed to a runner: subject `penstock.events.assign.<runner_id>`, in the same batch as the job's event.


class AttemptAssigned(EventData, tag=True, frozen=True, kw_only=True):
    """The order to start an attempt."""

    job_id: JobId
    tenant: TenantId
    attempt: int
    job_version: int
    """The version that the job's aggregate has with this assignment: an older read is stale."""


class StopOrdered(EventData, tag=True, frozen=True, kw_only=True):
    """The order to end an attempt because its job is to be cancelled."""

    job_id: JobId
    tenant: TenantId
    attempt: int
    reason: str | None = None


# Runners: subject `penstock.events.runner.<runner_id>`.


class RunnerJoined(EventData, tag=True, frozen=True, kw_only=True):
    """A runner process is ready for work."""

    runner_id: RunnerId
    name: str
    """Stable over restarts of the same runner."""
    slots: int
    engines: dict[str, str]
    """Engine name to the version that this runner has."""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    host: str = ""
    software_version: str = ""


class RunnerDraining(EventData, tag=True, frozen=True, kw_only=True):
    """The runner finishes what it has and takes nothing new."""

    runner_id: RunnerId
    reason: str = ""


class RunnerLeft(EventData, tag=True, frozen=True, kw_only=True):
    """The runner ended; none of its work is running any more."""

    runner_id: RunnerId
    reason: str = ""
    is_crash: bool = False
    """Whether its process ended without a request; the next session found that."""


class RunnerLost(EventData, tag=True, frozen=True, kw_only=True):
    """The scheduler received no heartbeat of the runner for longer than the lease allows it to work."""

    runner_id: RunnerId
    silent_s: float


# The scheduler: subjects `penstock.events.scheduler.lease` and `.cycle`.


class LeaseAcquired(EventData, tag=True, frozen=True, kw_only=True):
    """A scheduler became the leader. The event's sequence fences every batch of its predecessors."""

    holder: str
    term: int


class Assignment(Struct, frozen=True, kw_only=True):
    """One decided start."""

    job_id: JobId
    attempt: int
    runner_id: RunnerId


class CycleDecided(EventData, tag=True, frozen=True, kw_only=True):
    """What one cycle of the scheduler had seen and what it decided, so that a replay can verify it."""

    term: int
    seen: int
    """The last sequence of the log that had been folded."""
    now: Moment
    """The time that was given to the decision."""
    silent_runners: dict[RunnerId, float] = field(default_factory=dict[RunnerId, float])
    """Runners that the shell reported as silent for too long, with the seconds."""
    assigned: tuple[Assignment, ...] = ()
    requeued: tuple[JobId, ...] = ()
    stopped: tuple[JobId, ...] = ()
    failed: tuple[JobId, ...] = ()
    cancelled: tuple[JobId, ...] = ()
    max_entries: int = 1000
    """How many entries the batch was allowed to have: fewer after a conflict."""


# Policy: subject `penstock.events.policy.<kind>.<name>`.


class LimitSet(EventData, tag=True, frozen=True, kw_only=True):
    """An upper bound on jobs that hold a slot at the same time."""

    name: str
    """`global`, or `owner` for the bound that holds for each owner on its own."""
    slots: int | None
    """`None`: no bound."""


class PipelineRegistered(EventData, tag=True, frozen=True, kw_only=True):
    """A workflow is offered under a name, possibly in another version: subject `policy.pipeline.<name>`."""

    name: str
    pipeline_version: str
    engine: str
    source: Source
    description: str | None = None
    parameters_schema: dict[str, Any] | None = None
    """JSON Schema of the parameters."""
    defaults: Parameters = field(default_factory=Parameters)
    engine_parameters: EngineParameters | None = None
    """All of them, those of the preset and the resources included."""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    resources: dict[str, int] = {}
    """As they were given."""
    preset: str | None = None
    """The name of the preset that was used."""


class PipelineRetired(EventData, tag=True, frozen=True, kw_only=True):
    """A version of a workflow is no longer offered; jobs that ran it still show it."""

    name: str
    pipeline_version: str


class TokenIssued(EventData, tag=True, frozen=True, kw_only=True):
    """A token became valid for a principal: subject `policy.token.<token_id>`. Only the token's hash is known."""

    token_id: str
    name: str
    """What it is for."""
    principal: str
    tenant: TenantId
    role: Role
    secret_sha256: str
    expires_at: Moment | None = None


class TokenRevoked(EventData, tag=True, frozen=True, kw_only=True):
    """A token is worth nothing any more."""

    token_id: str
    reason: str | None = None


# Refusals: subject `penstock.events.audit.<tenant>`.


class AccessDenied(EventData, tag=True, frozen=True, kw_only=True):
    """A request was denied, or several equal ones within a short time."""

    principal: str | None
    """`None` when it is not known who it was."""
    address: str
    method: str
    path: str
    reason: str
    times: int = 1


JobEventData = (
    JobSubmitted
    | JobHeld
    | JobReleased
    | JobAssigned
    | AttemptStarted
    | ResultsDelayed
    | JobCompleted
    | JobFailed
    | JobRequeued
    | JobCancelRequested
    | JobCancelled
    | JobDeleted
    | JobClosed
    | RecordDamaged
)
AssignEventData = AttemptAssigned | StopOrdered
RunnerEventData = RunnerJoined | RunnerDraining | RunnerLeft | RunnerLost
SchedulerEventData = LeaseAcquired | CycleDecided
PolicyEventData = LimitSet | PipelineRegistered | PipelineRetired | TokenIssued | TokenRevoked
AuditEventData = AccessDenied
AnyEventData = JobEventData | AssignEventData | RunnerEventData | SchedulerEventData | PolicyEventData | AuditEventData

EVENT_TYPES: Final[dict[str, type[EventData]]] = {shape.__name__: shape for shape in get_args(AnyEventData)}
"""Every type of event, by its name."""


class Event(Struct, frozen=True, kw_only=True):
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
