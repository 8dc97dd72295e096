"""A field that is declared in `SubmissionFields` is accepted, stored and returned without any further code."""

from typing import Any

import httpx
from tests.gateway.gateway_harness import GatewayHarness

from penstock_domain.job.evolve import fold
from penstock_schemas.api import JobResponse, JobSubmission
from penstock_schemas.job_spec import CLIENT_FIELDS, JobSpec, SubmissionFields, client_values

VALUES: dict[str, Any] = {
    "pipeline_name": "p",
    "parameters": {"threshold": 0.5},
    "description": "d",
    "labels": {"team": "tuna"},
    "priority": 3,
    "hold": True,
    "requeue": False,
}
"""A value for each field, other than its default."""


def test_request_specification_and_response_have_every_field() -> None:
    assert VALUES.keys() == set(SubmissionFields.__struct_fields__)
    for shape in (JobSubmission, JobSpec, JobResponse):
        assert issubclass(shape, SubmissionFields)


async def test_every_field_reaches_the_event_the_view_and_the_response(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    response = await client.post("/jobs", json={**VALUES, "engine": "mock"})
    assert response.status_code == 201
    body = response.json()
    assert {name: body[name] for name in VALUES} == VALUES
    (event,) = (await client.get(f"/jobs/{body['id']}/events")).json()["events"]
    assert {name: event["data"]["spec"][name] for name in VALUES} == VALUES
    job = fold(harness.cluster.log.stored[-1:])
    assert job is not None
    assert dict(zip(CLIENT_FIELDS, client_values(job.spec), strict=True)) == VALUES
