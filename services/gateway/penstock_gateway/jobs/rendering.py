"""Jobs as the native API shows them."""

from typing import Final, assert_never

from penstock_domain.chain import Stored
from penstock_gateway.jobs.jobs import Family
from penstock_schemas.api import ChildJob, JobEvent, JobResponse, ParentJob, Waiting
from penstock_schemas.job_spec import CLIENT_FIELDS, client_values
from penstock_schemas.jobs import STATUS_OF, JobState, TaskCounts
from penstock_schemas.views import Job

MAX_SHOWN_CHILDREN: Final = 20


def render(
    job: Job,
    *,
    waiting: Waiting | None = None,
    tasks: TaskCounts | None = None,
    preflight: tuple[str, ...] = (),
    family: Family | None = None,
) -> JobResponse:
    """Return a job as the API shows it.

    Args:
        job: the job.
        waiting: why it waits; `None` when it does not, or when that is not known.
        tasks: live counts, in place of the ones in the job.
        preflight: what it declares and no connected runner provides.
        family: the jobs around it; `None`: they are not shown.

    """
    return JobResponse(
        **dict(zip(CLIENT_FIELDS, client_values(job.spec), strict=True)),
        id=job.id,
        status=STATUS_OF[job.state],
        created_at=job.created_at,
        updated_at=job.updated_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        error_message=None if job.failure is None else job.failure.message,
        state=job.state,
        status_detail=_status_detail(job, waiting),
        engine=job.spec.engine,
        owner=job.spec.owner,
        attempt=job.attempt,
        runner_id=job.runner_id,
        failure=job.failure,
        tasks=job.tasks if tasks is None else tasks,
        output_files=job.output_files,
        output_bytes=job.output_bytes,
        measured=job.measured,
        seq=job.head.seq,
        pipeline=job.spec.pipeline,
        warnings=job.warnings,
        waiting=waiting if job.damage is None else None,
        damage=job.damage,
        declared=() if job.spec.source is None else job.spec.source.declared,
        preflight=preflight,
        left_out=() if job.spec.source is None else job.spec.source.left_out,
        parent=_parent(job, family),
        children=() if family is None else tuple(map(_child, family.children[:MAX_SHOWN_CHILDREN])),
        child_count=0 if family is None else len(family.children),
    )


def render_event(stored: Stored) -> JobEvent:
    """Return an event as the API shows it."""
    event = stored.event
    return JobEvent(
        seq=stored.seq,
        type=type(event.data).__name__,
        id=event.id,
        aggregate=event.aggregate,
        version=event.version,
        time=event.time,
        actor=event.actor,
        cause=event.cause,
        previous=event.previous,
        hash=stored.hash,
        schema=event.schema,
        data=event.data,
    )


def _parent(job: Job, family: Family | None) -> ParentJob | None:
    lineage = job.spec.lineage
    if lineage is None:
        return None
    return ParentJob(
        id=lineage.parent,
        kind=lineage.kind,
        is_deleted=None if family is None else family.is_parent_deleted,
        result_files=0 if lineage.results is None else lineage.results.files,
        result_bytes=0 if lineage.results is None else lineage.results.size_bytes,
    )


def _child(job: Job) -> ChildJob:
    assert job.spec.lineage is not None, "its parent found it by that"
    return ChildJob(id=job.id, kind=job.spec.lineage.kind, status=STATUS_OF[job.state])


def _status_detail(job: Job, waiting: Waiting | None) -> str | None:
    if job.damage is not None:
        return f"damaged at sequence {job.damage.seq} of the log; nothing happens to it until an operator closes it"
    match job.state:
        case JobState.QUEUED:
            return _waiting(job, waiting)
        case JobState.HELD:
            return waiting.text if waiting is not None else "held"
        case JobState.ASSIGNED:
            return f"assigned to {job.runner_id}, attempt {job.attempt}"
        case JobState.CANCELLING:
            return f"cancelling: {job.cancel_reason}" if job.cancel_reason else "cancelling"
        case JobState.CANCELLED:
            return job.cancel_reason
        case JobState.RUNNING:
            if job.results_delay is None:
                return None
            return f"uploading results, attempt {job.results_tries}: {job.results_delay}"
        case JobState.COMPLETED | JobState.FAILED:
            return None
        case _:
            assert_never(job.state)


def _waiting(job: Job, waiting: Waiting | None) -> str | None:
    reasons: list[str] = []
    if job.requeues:
        reasons.append(f"attempt {job.attempt} ended without an outcome: {job.requeue_reason or 'its runner was lost'}")
    if waiting is not None:
        reasons.append(waiting.text)
    return "; ".join(reasons) or None
