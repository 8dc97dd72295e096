"""Which job an idempotency key means."""

from datetime import UTC, datetime

import pytest

from penstock_gateway.http.problems import Invalid
from penstock_gateway.jobs.core.idempotency import (
    MAX_DELETED_BEFORE,
    KeyMeaning,
    job_ids_of,
    key_of_header,
    meaning_of,
    require_upload_for,
)
from penstock_ports import Conflict
from penstock_schemas.access import LOCAL_USER
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import JobState
from penstock_schemas.views import Head, JobLifecycle

JOB = JobLifecycle(id=JobId("1"), tenant=DEFAULT_TENANT, state=JobState.QUEUED, head=Head(), request_sha256="same")
ENDED = JobLifecycle(id=JobId("1"), tenant=DEFAULT_TENANT, state=JobState.COMPLETED, head=Head(), request_sha256="same")
DELETED = JobLifecycle(
    id=JobId("1"),
    tenant=DEFAULT_TENANT,
    state=JobState.COMPLETED,
    head=Head(),
    request_sha256="same",
    deleted_at=datetime(2026, 1, 1, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("job", "fingerprints", "meaning"),
    [
        (None, {"same"}, KeyMeaning.NEW),
        (JOB, {"same"}, KeyMeaning.REPEATED),
        (JOB, {"other", "same"}, KeyMeaning.REPEATED),
        (ENDED, {"same"}, KeyMeaning.REPEATED),
        (JOB, {"other"}, KeyMeaning.REUSED),
        (JOB, set[str](), KeyMeaning.REUSED),
        (DELETED, {"same"}, KeyMeaning.DELETED),
        (DELETED, {"other"}, KeyMeaning.DELETED),
    ],
)
def test_the_meaning_of_a_key(job: JobLifecycle | None, fingerprints: set[str], meaning: KeyMeaning) -> None:
    assert meaning_of(job, fingerprints) is meaning


@pytest.mark.parametrize(("header", "field", "is_valid"), [("k", None, True), ("k", "k", True), ("k", "l", False)])
def test_the_header_and_the_field_are_the_same_key(header: str, field: str | None, is_valid: bool) -> None:
    if is_valid:
        assert key_of_header(header, field) == header
    else:
        with pytest.raises(Invalid):
            key_of_header(header, field)


def test_a_key_makes_a_bounded_number_of_jobs() -> None:
    assert len(set(job_ids_of(LOCAL_USER, "k"))) == MAX_DELETED_BEFORE + 1


def test_files_are_for_the_job_that_the_key_means() -> None:
    require_upload_for(JobId("1"), JobId("1"))
    with pytest.raises(Conflict, match="send them again"):
        require_upload_for(JobId("1"), JobId("2"))
