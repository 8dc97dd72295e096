"""Admission: what a submission becomes, or why it is rejected."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from penstock_domain.access import Forbidden
from penstock_domain.scheduling.capacity import Capacity, Request
from penstock_gateway.http.problems import Invalid
from penstock_gateway.jobs.core.admission import (
    AdmissionFacts,
    Admitted,
    SubmissionPolicy,
    admit,
    command_of,
    context_of,
    refuse_impossible,
    refuse_unknown_engine,
)
from penstock_gateway.jobs.core.idempotency import job_ids_of
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.access import LOCAL_USER, Principal, Role
from penstock_schemas.api import JobSubmission, SubmittedSource
from penstock_schemas.ids import DEFAULT_TENANT, JobId, TenantId
from penstock_sources.failures import InvalidSource

LENIENT = SubmissionPolicy(mock_unknown_pipelines=True)
SOURCE = SubmittedSource(files={"Snakefile": "rule all:\n"})


def submission(**changes: Any) -> JobSubmission:
    return JobSubmission(pipeline_name="p", **changes)


def admitted(
    submitted: JobSubmission, principal: Principal, policy: SubmissionPolicy, header_key: str | None = None
) -> Admitted:
    return admit(
        context_of(principal, submitted, engines=installed_engines(), header_key=header_key), policy, AdmissionFacts()
    )


def places(submitted: JobSubmission, policy: SubmissionPolicy = LENIENT, key: str | None = None) -> set[str]:
    with pytest.raises((Invalid, InvalidSource)) as caught:
        admitted(submitted, LOCAL_USER, policy, header_key=key)
    assert isinstance(caught.value, Invalid | InvalidSource)
    return {violation.pointer for violation in caught.value.violations}


def test_a_source_runs_on_snakemake_by_default() -> None:
    assert admitted(submission(source=SOURCE), LOCAL_USER, LENIENT).engine == "snakemake"
    assert admitted(submission(source=SOURCE, engine="mock"), LOCAL_USER, LENIENT).engine == "mock"


def test_without_a_source_the_mock_engine_stands_in_where_the_operator_wants_it() -> None:
    assert admitted(submission(), LOCAL_USER, LENIENT).engine == "mock"
    assert places(submission(), SubmissionPolicy()) == {"#/pipeline_name"}
    assert admitted(submission(engine="mock"), LOCAL_USER, SubmissionPolicy()).engine == "mock"


def test_a_real_engine_needs_a_source() -> None:
    assert places(submission(engine="snakemake")) == {"#/source"}


def test_a_source_has_files_or_a_path() -> None:
    assert places(submission(source=SubmittedSource())) == {"#/source"}
    assert places(submission(source=SubmittedSource(files={"Snakefile": ""}, path="/x"))) == {"#/source"}


def test_the_key_may_come_in_either_place_but_not_as_two() -> None:
    assert admitted(submission(idempotency_key="k"), LOCAL_USER, LENIENT).context.key == "k"
    assert admitted(submission(), LOCAL_USER, LENIENT, header_key="k").context.key == "k"
    assert admitted(submission(idempotency_key="k"), LOCAL_USER, LENIENT, header_key="k").context.key == "k"
    assert places(submission(idempotency_key="k"), key="other") == {"#/idempotency_key"}
    assert places(submission(), key="") == {"Idempotency-Key"}
    assert places(submission(), key="x" * 256) == {"Idempotency-Key"}


def test_the_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    one = admitted(submission(parameters={"a": 1, "b": {"c": 2, "d": 3}}, idempotency_key="k"), LOCAL_USER, LENIENT)
    other = admitted(submission(parameters={"b": {"d": 3, "c": 2}, "a": 1}, idempotency_key="k"), LOCAL_USER, LENIENT)

    assert one.request_sha256 == other.request_sha256 != ""


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"a": 2}},
        {"description": "x"},
        {"priority": 1},
        {"labels": {"a": "b"}},
        {"owner": "x"},
        {"source": SOURCE},
    ],
)
def test_another_request_has_another_fingerprint(change: dict[str, Any]) -> None:
    one = admitted(submission(idempotency_key="k"), LOCAL_USER, LENIENT)

    assert admitted(submission(idempotency_key="k", **change), LOCAL_USER, LENIENT).request_sha256 != one.request_sha256


def test_a_key_stands_for_one_job_of_each_principal() -> None:
    ada, bo = Principal(name="ada"), Principal(name="bo")
    first = [next(job_ids_of(item, "k")) for item in (LOCAL_USER, ada, bo, replace(ada, tenant=TenantId("other")))]

    assert first[0] == next(job_ids_of(LOCAL_USER, "k")) == "0d8fdf58-0f54-50d8-83cb-9a8f331aced3"
    assert len(set(first)) == 4


def test_a_key_stands_for_another_job_after_each_deletion() -> None:
    ids = list(job_ids_of(LOCAL_USER, "k"))
    assert len(set(ids)) == len(ids) > 100
    assert ids == list(job_ids_of(LOCAL_USER, "k"))
    assert set(ids).isdisjoint(job_ids_of(LOCAL_USER, "l"))


def test_the_submitter_owns_a_job_and_only_an_admin_may_name_another_owner() -> None:
    ada = Principal(name="ada")

    assert admitted(submission(), ada, LENIENT).context.owner == "ada"
    assert admitted(submission(owner="ada"), ada, LENIENT).context.owner == "ada"
    assert admitted(submission(owner="bo"), replace(ada, role=Role.ADMIN), LENIENT).context.owner == "bo"
    with pytest.raises(Forbidden, match="that bo owns, the role admin is needed"):
        admitted(submission(owner="bo"), replace(ada, role=Role.OPERATOR), LENIENT)
    with pytest.raises(Forbidden, match="to submit a job, the role submitter is needed"):
        admitted(submission(), replace(ada, role=Role.VIEWER), LENIENT)


def test_the_command_carries_everything() -> None:
    submitted = submission(parameters={"a": 1}, description="d", labels={"k": "v"}, priority=3, owner="ada")
    time = datetime(2026, 1, 1, tzinfo=UTC)

    command = command_of(admitted(submitted, LOCAL_USER, LENIENT), job_id=JobId("x"), now=time)

    spec = command.spec
    assert (spec.pipeline_name, spec.parameters, spec.description) == ("p", {"a": 1}, "d")
    assert (spec.labels, spec.priority, spec.owner, spec.engine) == ({"k": "v"}, 3, "ada", "mock")
    assert (command.job_id, command.now, command.tenant) == ("x", time, DEFAULT_TENANT)


def test_a_field_with_its_default_does_not_change_the_fingerprint() -> None:
    one = admitted(submission(idempotency_key="k"), LOCAL_USER, LENIENT)
    other = admitted(submission(idempotency_key="k", priority=0, hold=False, requeue=True), LOCAL_USER, LENIENT)
    assert one.request_sha256 == other.request_sha256


def test_an_engine_that_nobody_offers_is_refused_with_those_that_are() -> None:
    refuse_unknown_engine("mock", {"mock"})
    refuse_unknown_engine("mock", frozenset())
    refuse_unknown_engine("mock", None)
    with pytest.raises(Invalid, match="`mock`, `snakemake`"):
        refuse_unknown_engine("nextflow", {"snakemake", "mock"})


def test_a_request_that_no_connected_runner_can_ever_hold_is_refused() -> None:
    runners = [Capacity(slots=2, cores=2), Capacity(slots=1, cores=1, gpus=1)]
    refuse_impossible(Request(cores=4), runners)
    refuse_impossible(Request(cores=64), [])
    refuse_impossible(Request(), runners)
    with pytest.raises(Invalid, match="engine_parameters/cores: it requests 5 cores of one runner"):
        refuse_impossible(Request(cores=5), runners)
    with pytest.raises(Invalid, match="engine_parameters/gpus: it requests 2 GPUs of one runner"):
        refuse_impossible(Request(gpus=2), runners)
