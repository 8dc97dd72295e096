"""Which jobs can be repeated, and as what."""

import hashlib
from typing import Any

import pytest
from msgspec import json
from msgspec.structs import replace
from tests.gateway.jobs import make_job, respecified

from penstock_domain.job.errors import NotRepeatable
from penstock_gateway.jobs.core.repeats import Repetition, require_repeatable
from penstock_gateway.jobs.submission.stored_results import require_stored, results_of
from penstock_schemas.access import LOCAL_USER
from penstock_schemas.api import RerunRequest, RetryRequest
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.jobs import JobState, Lineage, LineageKind, ResultsManifest, SourceFile, StoredResults
from penstock_testing.memory import MemoryBlobs

RETRY = Repetition(kind=LineageKind.RETRY, parent=JobId("1"), request=RetryRequest())
RERUN = Repetition(kind=LineageKind.RERUN, parent=JobId("1"), request=RerunRequest())


@pytest.mark.parametrize("state", JobState)
def test_every_job_can_be_repeated_and_one_without_success_be_retried(state: JobState) -> None:
    job = make_job(1, state=state)
    require_repeatable(job, RERUN, LOCAL_USER)
    if state in (JobState.FAILED, JobState.CANCELLED):
        require_repeatable(job, RETRY, LOCAL_USER)
    else:
        with pytest.raises(NotRepeatable):
            require_repeatable(job, RETRY, LOCAL_USER)


def test_a_job_of_another_tenant_and_one_without_a_submission_are_not_repeated() -> None:
    with pytest.raises(NotRepeatable, match="its own tenant"):
        require_repeatable(make_job(1, tenant=TenantId("other")), RERUN, LOCAL_USER)
    with pytest.raises(NotRepeatable, match="cannot be read"):
        require_repeatable(respecified(make_job(1), engine=""), RERUN, LOCAL_USER)


def test_the_same_request_has_the_same_fingerprint() -> None:
    assert RETRY.fingerprint("ada") == replace(RETRY, request=RetryRequest(idempotency_key="k")).fingerprint("ada")
    others: list[Any] = [
        RERUN,
        replace(RETRY, parent=JobId("2")),
        replace(RETRY, request=RetryRequest(priority=1)),
        replace(RERUN, request=RerunRequest(parameters={"a": 1})),
    ]
    fingerprints = {item.fingerprint("ada") for item in (RETRY, *others)} | {RETRY.fingerprint("bo")}
    assert len(fingerprints) == 6


RESULTS = StoredResults(location="jobs/1/1/work.json", sha256="s", files=1, size_bytes=1)


def test_a_retry_begins_with_what_its_parent_made_or_had_begun_with() -> None:
    lineage = Lineage(kind=LineageKind.RETRY, parent=JobId("0"), results=RESULTS)
    job = make_job(1, state=JobState.FAILED)
    assert results_of(job) is None
    assert results_of(respecified(job, lineage=lineage)) == RESULTS
    later = replace(RESULTS, location="jobs/2/1/work.json")
    assert results_of(respecified(replace(job, results=later), lineage=lineage)) == later


async def test_stored_results_are_checked_before_a_retry_is_queued() -> None:
    blobs = MemoryBlobs()
    file = SourceFile(path="a", key="jobs/1/outputs/a", size_bytes=3, sha256="s")
    raw = json.encode(ResultsManifest(work_dir="/w", files=(file, SourceFile(path="l", link="a"))))
    results = replace(RESULTS, sha256=hashlib.sha256(raw).hexdigest())
    for content, reason in ((None, "missing"), (b"xx", "damaged"), (b"xxx", None)):
        if content is not None:
            await blobs.put_bytes("jobs/1/outputs/a", content)
        await blobs.put_bytes(results.location, raw)
        if reason is None:
            await require_stored(blobs, results)
        else:
            with pytest.raises(NotRepeatable, match=reason):
                await require_stored(blobs, results)
    for content, reason in ((b"{}", "damaged"), (None, "missing")):
        await blobs.delete(results.location)
        if content is not None:
            await blobs.put_bytes(results.location, content)
        with pytest.raises(NotRepeatable, match=reason):
            await require_stored(blobs, results)
