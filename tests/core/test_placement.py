"""Which aggregate each type of event belongs to."""

from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock_domain import aggregates
from penstock_domain.aggregates import belongs, job_of
from penstock_schemas import events as e
from penstock_schemas.access import Role
from penstock_schemas.ids import EventId, JobId, RunnerId, TenantId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import Failure, FailureCause, Source, SourceKind

JOB, RUNNER, TENANT = JobId("64a600c5-c90d-53ab-a947-a103d2082d48"), RunnerId("runner-1"), TenantId("default")
OTHER_JOB = JobId("00000000-c90d-53ab-a947-a103d2082d48")
NOW = datetime(2026, 11, 21, tzinfo=UTC)
OF_JOB = aggregates.job(TENANT, JOB)
SOURCE = Source(kind=SourceKind.PATH, location="/flow")
PLACES: tuple[tuple[str, e.AnyEventData], ...] = (
    (OF_JOB, e.JobSubmitted(job_id=JOB, spec=JobSpec(pipeline_name="flow", engine="mock"))),
    (OF_JOB, e.JobReleased()),
    (OF_JOB, e.JobClosed(damaged_seq=7)),
    (OF_JOB, e.JobFailed(attempt=1, failure=Failure(cause=FailureCause.SYSTEM, message="x"))),
    (aggregates.assign(RUNNER), e.StopOrdered(job_id=JOB, tenant=TENANT, attempt=1)),
    (aggregates.runner(RUNNER), e.RunnerDraining(runner_id=RUNNER)),
    (aggregates.runner(RUNNER), e.RunnerLeft(runner_id=RUNNER)),
    (aggregates.SCHEDULER_LEASE, e.LeaseAcquired(holder="s", term=1)),
    (aggregates.SCHEDULER_CYCLE, e.CycleDecided(term=1, seen=0, now=NOW)),
    (aggregates.limit("global"), e.LimitSet(name="global", slots=1)),
    (
        aggregates.pipeline("flow"),
        e.PipelineRegistered(name="flow", pipeline_version="1", engine="mock", source=SOURCE),
    ),
    (aggregates.pipeline("flow"), e.PipelineRetired(name="flow", pipeline_version="1")),
    (
        aggregates.token("t"),
        e.TokenIssued(token_id="t", name="n", principal="p", tenant=TENANT, role=Role.ADMIN, secret_sha256="0"),
    ),
    (aggregates.token("t"), e.TokenRevoked(token_id="t")),
    (aggregates.audit(TENANT), e.AccessDenied(principal=None, address="a", method="GET", path="/", reason="r")),
)
STRANGE = (
    *dict.fromkeys(place for place, _ in PLACES),
    aggregates.job(TENANT, OTHER_JOB),
    aggregates.job(TenantId("another"), JOB),
    aggregates.job(TENANT, JobId(JOB.upper())),
    aggregates.job(TENANT, JobId("no-uuid")),
    f"{OF_JOB}.more",
    aggregates.runner(RunnerId("runner-2")),
    aggregates.limit("owner"),
    aggregates.pipeline("other"),
    aggregates.token("u"),
    "elsewhere",
)


def event(aggregate: str, data: e.AnyEventData) -> e.Event:
    return e.Event(
        id=EventId("0" * 32),
        aggregate=aggregate,
        version=1,
        time=NOW,
        actor="test",
        cause=None,
        previous="",
        schema=1,
        data=data,
    )


@pytest.mark.parametrize(("place", "data"), PLACES, ids=lambda item: type(item).__name__)
def test_an_event_belongs_to_its_aggregate_only(place: str, data: e.AnyEventData) -> None:
    assert belongs(event(place, data))
    may_be_of_any_job = isinstance(data, get_args(e.JobEventData)) and not isinstance(data, e.JobSubmitted)
    for other in STRANGE:
        if other != place:
            is_right = may_be_of_any_job and job_of(other) is not None
            assert belongs(event(other, data)) is is_right, other


def test_a_record_of_damage_belongs_everywhere() -> None:
    assert all(belongs(event(place, e.RecordDamaged(damaged_seq=1, reason="x"))) for place in STRANGE)


@pytest.mark.parametrize("id_", ["", "x", "0" * 31 + "\n", "0" * 32 + "\n", "0" * 31 + "\r", "A" * 32])
def test_the_id_of_an_event_has_one_form(id_: str) -> None:
    assert not belongs(replace(event(OF_JOB, e.JobReleased()), id=EventId(id_)))


@given(st.uuids(), st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", fullmatch=True))
def test_the_name_of_a_jobs_aggregate_is_read_back(job_id: object, tenant: str) -> None:
    place = (TenantId(tenant), JobId(str(job_id)))
    assert job_of(aggregates.job(*place)) == place


@given(st.text())
def test_any_text_is_a_name_or_none(text: str) -> None:
    place = job_of(text)
    assert place is None or aggregates.job(*place) == text
