"""The commands of a job. Time and ids are part of a command: the domain has no clock and makes no ids."""

from datetime import datetime
from enum import Enum

from msgspec import Struct

from penstock_schemas.ids import EventId, JobId, RunnerId, TenantId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import Failure, RequeueCause, StoredResults, TaskCounts
from penstock_schemas.measurements import MeasuredResources
from penstock_schemas.remote_sources import PinnedRef


class Command(Struct, frozen=True, kw_only=True, tag=True):
    """An intent that the domain accepts or rejects."""

    now: datetime


class SubmitJob(Command, frozen=True, kw_only=True):
    """Put a job into the queue."""

    job_id: JobId
    tenant: TenantId
    spec: JobSpec
    request_sha256: str = ""
    """Of the request, so that a request with the same idempotency key and other content is rejected."""


class AssignJob(Command, frozen=True, kw_only=True):
    """Give a queued job a slot on a runner."""

    runner_id: RunnerId
    cycle_id: EventId
    is_alone: bool = False
    """Whether nothing else may run on the runner meanwhile."""
    slots: int = 1
    gpus: tuple[str, ...] = ()


class StartAttempt(Command, frozen=True, kw_only=True):
    """Begin the work of an attempt on the runner that holds it."""

    attempt: int
    runner_id: RunnerId


class OutcomeKind(Enum):
    """How an engine's run ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    """It ended because it was ordered to stop."""


class EndAttempt(Command, frozen=True, kw_only=True):
    """Report how an attempt ended."""

    attempt: int
    runner_id: RunnerId
    outcome: OutcomeKind
    failure: Failure | None = None
    """Required when it failed."""
    tasks: TaskCounts = TaskCounts()
    output_files: int = 0
    output_bytes: int = 0
    measured: MeasuredResources | None = None
    """What its processes used."""
    warnings: tuple[str, ...] = ()
    """What its user must know of it, however it ended: one sentence each."""
    results: StoredResults | None = None
    """What a retry can begin with."""


class DelayResults(Command, frozen=True, kw_only=True):
    """Report that the results of an attempt, whose work is done, cannot be stored yet."""

    attempt: int
    runner_id: RunnerId
    tries: int
    """The number of the coming try to store them."""
    reason: str
    """Why the last one failed."""


class PinRemoteSources(Command, frozen=True, kw_only=True):
    """Report which files of other hosts an attempt got."""

    attempt: int
    runner_id: RunnerId
    manifest: str
    """The key of the manifest in the blob store."""
    sha256: str
    files: int
    size_bytes: int
    refs: tuple[PinnedRef, ...] = ()


class AbandonAttempt(Command, frozen=True, kw_only=True):
    """End an attempt without an outcome: its runner was lost, refused it, or gave it back."""

    attempt: int
    runner_id: RunnerId
    cause: RequeueCause
    reason: str = ""
    is_runner_gone: bool = False
    """Whether the runner ended or fell silent while it had the job."""


class HoldJob(Command, frozen=True, kw_only=True):
    """Keep a job that waits from being started."""

    reason: str | None = None


class ReleaseJob(Command, frozen=True, kw_only=True):
    """Let a held job wait for a slot again."""


class CancelJob(Command, frozen=True, kw_only=True):
    """End a job in any state."""

    reason: str | None = None


class CloseJob(Command, frozen=True, kw_only=True):
    """End a job whose events are damaged."""

    reason: str | None = None


class DeleteJob(Command, frozen=True, kw_only=True):
    """Remove what is left of a job that ended."""

    reason: str | None = None


JobCommand = (
    SubmitJob
    | AssignJob
    | StartAttempt
    | DelayResults
    | PinRemoteSources
    | EndAttempt
    | AbandonAttempt
    | HoldJob
    | ReleaseJob
    | CancelJob
    | CloseJob
    | DeleteJob
)
