"""The bodies of jobs: responses, lists, events, commands, and why a job waits."""

from datetime import datetime
from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

from penstock_schemas.api.bounds import MAX_DESCRIPTION
from penstock_schemas.events import AnyEventData
from penstock_schemas.ids import EventId, JobId, RunnerId
from penstock_schemas.job_spec import SubmissionFields
from penstock_schemas.jobs import (
    Damage,
    DeclaredSoftware,
    Failure,
    JobState,
    JobStatus,
    LeftOut,
    LineageKind,
    PipelineRef,
    TaskCounts,
)
from penstock_schemas.measurements import MeasuredResources


class CommandRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What every command on a job may state."""

    reason: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] | None = None
    """Why. The log and the job keep it."""


class CancelRequest(CommandRequest, frozen=True, kw_only=True):
    """The optional body of `POST /jobs/{id}/cancel`."""


class CloseRequest(CommandRequest, frozen=True, kw_only=True):
    """The optional body of `POST /jobs/{id}/close`."""


class HoldRequest(CommandRequest, frozen=True, kw_only=True):
    """The optional body of `POST /jobs/{id}/hold`."""


class WaitReason(Enum):
    """What a waiting job lacks."""

    HELD = "held"
    BACK_OFF = "back-off"
    """Its last attempt had no outcome; the next one starts a little later."""
    NO_SCHEDULER = "no scheduler"
    NO_RUNNER = "no runner"
    OWNER_LIMIT = "owner limit"
    GLOBAL_LIMIT = "global limit"
    NO_SLOT = "no slot"
    ISOLATION = "isolation"
    """Runners crashed while they had it: it waits for a runner where nothing else runs."""
    NEXT = "next"
    """Nothing: it is about to start."""


class Holder(Struct, frozen=True, kw_only=True):
    """A job that holds what another one waits for."""

    id: JobId
    owner: str
    runner_id: RunnerId


class Waiting(Struct, frozen=True, kw_only=True):
    """Why a job waits, from the last report of the leading scheduler."""

    reason: WaitReason
    text: str
    """One sentence."""
    position: int | None = None
    """1 is the next one of its engine; null when it is not known, or far behind."""
    holders: tuple[Holder, ...] = ()
    """Of one job only, not in lists: jobs that hold what it waits for, as far as the caller may see them."""
    holder_count: int = 0
    """How many jobs hold what it waits for, with those that the caller may not see."""


class ParentJob(Struct, frozen=True, kw_only=True):
    """The job that a job retries or repeats."""

    id: JobId
    kind: LineageKind
    is_deleted: bool | None = None
    """Whether it was deleted since; null in lists, and where this is not known."""
    result_files: int = 0
    """Files of the parent that a retry begins with."""
    result_bytes: int = 0


class ChildJob(Struct, frozen=True, kw_only=True):
    """A job that retries or repeats another one."""

    id: JobId
    kind: LineageKind
    status: JobStatus


class JobResponse(SubmissionFields, frozen=True, kw_only=True, omit_defaults=False):
    """A job."""

    id: JobId
    status: JobStatus
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    """When the last attempt started."""
    completed_at: datetime | None
    """When it ended, however it ended."""
    error_message: str | None
    """Why it failed, in one sentence."""
    state: JobState
    """Finer than `status`."""
    status_detail: str | None
    """What the status leaves out: held, assigned, cancelling, why it was requeued, what it waits for, why its
    results are not stored yet."""
    engine: str
    owner: str
    attempt: int
    """The last attempt that was assigned; 0 before the first."""
    runner_id: RunnerId | None
    failure: Failure | None
    tasks: TaskCounts
    output_files: int
    output_bytes: int
    seq: int
    """The sequence of its last event in the log; also the response's `ETag`."""
    pipeline: PipelineRef | None = None
    """The catalogue entry that it runs, as it was when the job was submitted."""
    warnings: tuple[str, ...] = ()
    """What the user must know of the run, one sentence each: for example that it ran without declared software."""
    measured: MeasuredResources | None = None
    """What the processes of the last attempt used, once it ended; null where it was not measured."""
    waiting: Waiting | None = None
    """Why it waits; null when it does not, or when that is not known at the moment."""
    declared: tuple[DeclaredSoftware, ...] = ()
    """The software that its workflow files declare, as their text shows: the first line of each rule and directive."""
    preflight: tuple[str, ...] = ()
    """Of one job only, not in lists, until it ends: what of it no connected runner provides, and whether the run would
    be refused, one sentence each."""
    left_out: tuple[LeftOut, ...] = ()
    """What the client left out of the workflow's folder when it submitted the job, and why."""
    damage: Damage | None = None
    """What is wrong with its events. Nothing happens to it until an operator closes it."""
    parent: ParentJob | None = None
    """The job that it retries or repeats; null when it was submitted by itself."""
    children: tuple[ChildJob, ...] = ()
    """Of one job only, not in lists: the newest jobs that retry or repeat it, as far as the caller may see them."""
    child_count: int = 0
    """How many there are, of those that the caller may see."""


class JobList(Struct, frozen=True, kw_only=True):
    """One page of jobs, newest first."""

    jobs: list[JobResponse]
    total: int
    """How many jobs match the filters, over all pages."""
    next_cursor: str | None = None
    """The `cursor` of the next page; null on the last one."""


class JobEvent(Struct, frozen=True, kw_only=True):
    """One event of a job, as the log has it, with its place there."""

    seq: int
    type: str
    id: EventId
    aggregate: str
    version: int
    time: datetime
    actor: str
    cause: str | None
    previous: str
    """SHA-256 of the stored bytes of the job's previous event; empty for the first."""
    hash: str
    """SHA-256 of this event's stored bytes."""
    schema: int
    data: AnyEventData


class EventList(Struct, frozen=True, kw_only=True):
    """A job's events above `after`, in order."""

    events: list[JobEvent]
    next_after: int
    """The `after` of the next request."""
    done: bool
    """Whether the job is over and nothing further will come."""
