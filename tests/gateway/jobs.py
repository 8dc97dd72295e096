"""Jobs for the index, and the plain answer that the index must give."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from penstock_gateway.index.job_status import DetailedStatus, detailed_status
from penstock_gateway.index.queries import PARENT, WORKFLOW_URL, JobQuery, fold, microseconds, text_of
from penstock_gateway.index.workflow_urls import workflow_url_of
from penstock_schemas.ids import DEFAULT_TENANT, JobId, TenantId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import (
    STATUS_OF,
    Failure,
    FailureCause,
    JobState,
    JobStatus,
    Lineage,
    LineageKind,
    WorkflowRequest,
)
from penstock_schemas.views import Head, Job

START = datetime(2026, 1, 1, tzinfo=UTC)
TENANTS = (DEFAULT_TENANT, DEFAULT_TENANT, DEFAULT_TENANT, TenantId("other"))
WORDS = ("Straße", "run", "ALPHA beta", "x'\"%_*y", "größer als", "日本語の説明", "a", "")


def make_job(
    seq: int,
    *,
    head_seq: int | None = None,
    state: JobState = JobState.QUEUED,
    created_s: float = 0,
    pipeline: str = "p",
    owner: str = "o",
    tenant: TenantId = DEFAULT_TENANT,
    description: str | None = None,
    labels: dict[str, str] | None = None,
    cause: FailureCause | None = None,
    started_s: float | None = None,
    ended_s: float | None = None,
    workflow_url: str | None = None,
    parent: str | None = None,
) -> Job:
    time = START + timedelta(seconds=created_s)
    return Job(
        id=JobId(str(uuid.uuid5(uuid.NAMESPACE_OID, str(seq)))),
        tenant=tenant,
        state=state,
        created_at=time,
        updated_at=time,
        created_seq=seq,
        head=Head(seq=head_seq or seq, version=1, hash="h"),
        failure=None if cause is None else Failure(cause=cause, message="m"),
        started_at=None if started_s is None else START + timedelta(seconds=started_s),
        completed_at=None if ended_s is None else START + timedelta(seconds=ended_s),
        spec=JobSpec(
            owner=owner,
            pipeline_name=pipeline,
            engine="mock",
            description=description,
            labels=labels or {},
            lineage=None if parent is None else Lineage(kind=LineageKind.RERUN, parent=JobId(parent)),
            workflow=None
            if workflow_url is None
            else WorkflowRequest(workflow_type="SMK", workflow_type_version="1.0", workflow_url=workflow_url),
        ),
    )


def respecified(job: Job, **changes: Any) -> Job:
    """Return `job` with changes to its specification."""
    return replace(job, spec=replace(job.spec, **changes))


@st.composite
def jobs(draw: st.DrawFn, seqs: Sequence[int]) -> list[Job]:
    """Draw one job for each sequence; nearly in the order of time, as clocks of several gateways make it."""
    return [
        make_job(
            seq,
            state=draw(st.sampled_from(list(JobState))),
            created_s=seq + draw(st.sampled_from([0, 0, 0, -700, 2.5, 5000])),
            pipeline=draw(st.sampled_from(["p", "q"])),
            owner=draw(st.sampled_from(["ada", "bo"])),
            tenant=draw(st.sampled_from(TENANTS)),
            description=draw(st.sampled_from(WORDS)),
            labels=draw(st.dictionaries(st.sampled_from(["k", "k2"]), st.sampled_from(["v", "v:w", ""]), max_size=2)),
            cause=draw(st.none() | st.sampled_from(list(FailureCause))),
            started_s=draw(st.none() | st.just(seq + 3.5)),
            ended_s=draw(st.none() | st.just(seq + 900.5)),
            workflow_url=draw(st.none() | st.sampled_from(["Snakefile", "a/b.smk"])),
            parent=draw(st.none() | st.sampled_from(["first", "second"])),
        )
        for seq in seqs
    ]


@st.composite
def queries(draw: st.DrawFn) -> JobQuery:
    """Draw filters, each of them often left out."""

    def maybe(strategy: st.SearchStrategy[str]) -> str | None:
        return draw(st.none() | strategy)

    text = maybe(st.sampled_from(["strasse", "RUN", "pha b", "'\"%", "_*y", "日本", "ALS", "a", "k:v", "nowhere", "ß"]))
    times = st.none() | st.integers(0, 4000).map(lambda s: microseconds(START + timedelta(seconds=s)))
    return JobQuery(
        tenant=DEFAULT_TENANT,
        statuses=tuple(draw(st.lists(st.sampled_from(list(JobStatus)), unique=True, max_size=3))),
        detailed_statuses=tuple(draw(st.lists(st.sampled_from(list(DetailedStatus)), unique=True, max_size=1))),
        pipeline=maybe(st.sampled_from(["p", "q", "none"])),
        owner=maybe(st.sampled_from(["ada", "bo", "none"])),
        labels=tuple(
            draw(
                st.lists(
                    st.tuples(st.sampled_from(["k", "k2"]), st.none() | st.sampled_from(["v", "v:w", ""]))
                    | st.sampled_from([(WORKFLOW_URL, "Snakefile"), (WORKFLOW_URL, "p"), (PARENT, "first")]),
                    max_size=2,
                )
            )
        ),
        text=None if text is None else fold(text),
        after_us=draw(times),
        before_us=draw(times),
        started_after_us=draw(times),
        ended_before_us=draw(times),
        is_oldest_first=draw(st.booleans()),
        up_to_seq=draw(st.none() | st.integers(1000, 4000)),
        limit=draw(st.integers(1, 7)),
    )


def expected(all_jobs: Iterable[Job], query: JobQuery) -> list[Job]:
    """Return the jobs that match the query, found by checking every job."""
    found = (job for job in all_jobs if _matches(job, query))
    return sorted(found, key=lambda job: job.created_seq, reverse=not query.is_oldest_first)


def _matches(job: Job, query: JobQuery) -> bool:
    created_us = microseconds(job.created_at)
    return (
        job.tenant == query.tenant
        and (bool(query.detailed_statuses) or not query.statuses or STATUS_OF[job.state] in query.statuses)
        and (not query.detailed_statuses or detailed_status(job) in query.detailed_statuses)
        and query.pipeline in (None, job.spec.pipeline_name)
        and query.owner in (None, job.spec.owner)
        and all(_has(job, key, value) for key, value in query.labels)
        and (query.text is None or query.text in text_of(job))
        and (query.after_us is None or created_us > query.after_us)
        and (query.before_us is None or created_us < query.before_us)
        and (query.started_after_us is None or _later(job.started_at, query.started_after_us))
        and (query.ended_before_us is None or _earlier(job.completed_at, query.ended_before_us))
    )


def _has(job: Job, key: str, value: str | None) -> bool:
    if key == WORKFLOW_URL:
        return workflow_url_of(job) == value
    if key == PARENT:
        return job.spec.lineage is not None and job.spec.lineage.parent == value
    return key in job.spec.labels and value in (None, job.spec.labels[key])


def _later(time: datetime | None, than_us: int) -> bool:
    return time is not None and microseconds(time) > than_us


def _earlier(time: datetime | None, than_us: int) -> bool:
    return time is not None and microseconds(time) < than_us
