"""The life of a job: subject `penstock.events.job.<tenant>.<job_id>`."""

from penstock_schemas.events.base import EventData, Moment
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId, RunnerId, TenantId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import Failure, RequeueCause, StoredResults, TaskCounts
from penstock_schemas.measurements import MeasuredResources
from penstock_schemas.remote_sources import PinnedRef


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
    slots: int = 1
    """How many slots it takes."""
    gpus: tuple[str, ...] = ()
    """The GPUs of the runner that nobody else has meanwhile."""


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


class RemoteSourcesPinned(EventData, tag=True, frozen=True, kw_only=True):
    """The attempt got files of other hosts, such as wrappers; a manifest in the blob store has what each of them is."""

    attempt: int
    runner_id: RunnerId
    manifest: str
    """The key of the manifest."""
    sha256: str
    """Of the manifest, hexadecimal."""
    files: int
    size_bytes: int
    """Of all files together."""
    refs: tuple[PinnedRef, ...] = ()
    """Branches and tags with their commits, at most 50."""


class JobCompleted(EventData, tag=True, frozen=True, kw_only=True):
    """The attempt succeeded; its outputs and logs are in the blob store."""

    attempt: int
    runner_id: RunnerId
    tasks: TaskCounts = TaskCounts()
    output_files: int = 0
    output_bytes: int = 0
    measured: MeasuredResources | None = None
    """What its processes used."""
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
    measured: MeasuredResources | None = None
    """What its processes used."""
    warnings: tuple[str, ...] = ()
    """What its user must know of the run, one sentence each."""
    results: StoredResults | None = None
    """What a retry can begin with; `None`: nothing of it was stored."""


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
    measured: MeasuredResources | None = None
    """What its processes used."""
    warnings: tuple[str, ...] = ()
    """What its user must know of the run, one sentence each."""
    results: StoredResults | None = None
    """What a retry can begin with; `None`: nothing of it was stored."""


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


JobEventData = (
    JobSubmitted
    | JobHeld
    | JobReleased
    | JobAssigned
    | AttemptStarted
    | ResultsDelayed
    | RemoteSourcesPinned
    | JobCompleted
    | JobFailed
    | JobRequeued
    | JobCancelRequested
    | JobCancelled
    | JobDeleted
    | JobClosed
    | RecordDamaged
)
"""The events of a job."""
