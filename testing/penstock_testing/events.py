"""Events and jobs for tests of adapters."""

from datetime import UTC, datetime
from typing import Final

from penstock_domain.chain import Stored, link
from penstock_ports import AppendEntry
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.events import CycleDecided, EventData, JobCancelRequested, JobSubmitted, LeaseAcquired
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import JobState
from penstock_schemas.views import EMPTY_HEAD, Head, Job

NOW: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)


def new_job_id() -> JobId:
    """Return the id of a job that does not exist."""
    return JobId(str(SYSTEM.new_uuid()))


def new_aggregate() -> str:
    """Return the aggregate of a job that does not exist."""
    return f"job.default.{new_job_id()}"


def entry(aggregate: str, data: EventData, head: Head = EMPTY_HEAD, *, expected: int | None) -> AppendEntry:
    """Return the entry of an event that follows `head`."""
    event_id = EventId(SYSTEM.new_id())
    event = link(head, aggregate, data, event_id=event_id, time=NOW, actor="user:test")
    return AppendEntry(event=event, expected=expected)


def submission(aggregate: str, *, padding_bytes: int = 0) -> AppendEntry:
    """Return the submission of a job."""
    job_id = JobId(aggregate.rpartition(".")[2])
    data = JobSubmitted(
        job_id=job_id, spec=JobSpec(pipeline_name="test", engine="mock", description="x" * padding_bytes)
    )
    return entry(aggregate, data, expected=0)


def cancellation(previous: Stored, *, expected: int | None = -1) -> AppendEntry:
    """Return an event that follows `previous`; -1 expects it at its sequence."""
    wanted = previous.seq if expected == -1 else expected
    return entry(previous.event.aggregate, JobCancelRequested(reason="test"), previous.head, expected=wanted)


def election(head: Head = EMPTY_HEAD) -> AppendEntry:
    """Return an election that follows `head`."""
    return entry("scheduler.lease", LeaseAcquired(holder="test", term=head.version + 1), head, expected=head.seq)


def cycle(head: Head = EMPTY_HEAD) -> AppendEntry:
    """Return a decision of the scheduler that follows `head`."""
    return entry("scheduler.cycle", CycleDecided(term=1, seen=0, now=NOW), head, expected=None)


def new_job(seq: int = 1) -> Job:
    """Return a job that waits, with a new id."""
    return Job(
        id=new_job_id(),
        tenant=DEFAULT_TENANT,
        state=JobState.QUEUED,
        created_at=NOW,
        updated_at=NOW,
        created_seq=seq,
        head=Head(seq=seq, version=1, hash="0" * 64),
        spec=JobSpec(owner="test", pipeline_name="test", engine="mock"),
    )
