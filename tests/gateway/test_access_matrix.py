"""Every route of the gateway, requested by every principal: a route that is not in the matrix fails the test."""

import re
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from msgspec import Struct
from tests.gateway.gateway_harness import GatewayHarness, submission, submit
from tests.gateway.user_fixtures import BASIC, basic

PEOPLE = ("nobody", "foreigner", "vi", "bo", "ada", "olga", "root")
"""No credentials; a viewer of another tenant; a viewer, a submitter that does not own the job, its owner; an operator
and an admin."""
WES = "/ga4gh/wes/v1"
EVERYBODY = (200,) * 7
SIGNED_IN = (401, *(200,) * 6)


class Row(Struct, frozen=True):
    """What a route answers to each of `PEOPLE`."""

    method: str
    path: str
    answers: tuple[int, ...]
    body: Any = None
    is_form: bool = False
    example: str | None = None
    """The address, where it is not the path with the job's id in it."""


FORM = {"workflow_url": (None, "Snakefile")}
"""Of which the rest is missing."""
JOB = (401, 404, 404, 404, 200, 200, 200)
NOTHING_THERE = (401, *(404,) * 6)
"""A part of a job is missing in this test, or hidden: the answers are the same."""
MATRIX = (
    Row("GET", "/", EVERYBODY),
    Row("GET", "/health", EVERYBODY),
    Row("GET", "/healthz", EVERYBODY),
    Row("GET", "/readyz", EVERYBODY),
    Row("GET", "/version", EVERYBODY),
    Row("GET", "/version/details", EVERYBODY),
    Row("GET", "/openapi.json", EVERYBODY),
    Row("GET", "/docs", EVERYBODY),
    Row("GET", "/docs/problems", EVERYBODY),
    Row("GET", "/redoc", EVERYBODY),
    Row("GET", "/docs/assets/{path}", EVERYBODY, example="/docs/assets/swagger-ui/swagger-ui.css"),
    Row("POST", "/jobs", (401, 403, 403, 201, 201, 201, 201), submission()),
    Row("GET", "/jobs", SIGNED_IN),
    Row("GET", "/jobs", (401, 403, 403, 403, 403, 403, 200), example="/jobs?tenant=third"),
    Row("GET", "/jobs/{job_id}", JOB),
    Row("POST", "/jobs/{job_id}/cancel", (401, 403, 403, 404, 202, 202, 202)),
    Row("POST", "/jobs/{job_id}/hold", (401, 403, 403, 404, 200, 200, 200)),
    Row("POST", "/jobs/{job_id}/release", (401, 403, 403, 404, 200, 200, 200)),
    Row("POST", "/jobs/{job_id}/close", (401, 403, 403, 403, 403, 409, 409)),
    Row("POST", "/jobs/{job_id}/retry", (401, 403, 403, 404, 409, 409, 409)),
    Row("POST", "/jobs/{job_id}/rerun", (401, 403, 403, 404, 201, 201, 201)),
    Row("DELETE", "/jobs/{job_id}", (401, 403, 403, 404, 409, 403, 409)),
    Row("GET", "/jobs/{job_id}/events", JOB),
    Row("GET", "/jobs/{job_id}/tasks", JOB),
    Row("GET", "/jobs/{job_id}/logs", JOB),
    Row("GET", "/jobs/{job_id}/files", NOTHING_THERE),
    Row("GET", "/jobs/{job_id}/files/{path}", NOTHING_THERE, example="/jobs/{job_id}/files/logs/a.log"),
    Row("GET", "/jobs/{job_id}/tasks/{task_id}/{stream}", NOTHING_THERE, example="/jobs/{job_id}/tasks/t-1/stdout"),
    Row(
        "GET",
        "/jobs/{job_id}/tasks/{task_id}/files/{path}",
        NOTHING_THERE,
        example="/jobs/{job_id}/tasks/t-1/files/logs/a.log",
    ),
    Row("GET", "/jobs/{job_id}/outputs", JOB),
    Row("GET", "/jobs/{job_id}/software", JOB),
    Row("GET", "/jobs/{job_id}/outputs/{path}", NOTHING_THERE, example="/jobs/{job_id}/outputs/a/b.txt"),
    Row("GET", "/jobs/{job_id}/pipeline", NOTHING_THERE),
    Row("GET", "/pipelines", SIGNED_IN),
    Row("POST", "/pipelines", (401, 403, 403, 403, 403, 403, 422), {}),
    Row("GET", "/pipelines/{name}", NOTHING_THERE, example="/pipelines/none"),
    Row("GET", "/pipelines/{name}/versions/{version}", NOTHING_THERE, example="/pipelines/none/versions/1"),
    Row(
        "DELETE",
        "/pipelines/{name}/versions/{version}",
        (401, 403, 403, 403, 403, 403, 404),
        example="/pipelines/none/versions/1",
    ),
    Row("GET", f"{WES}/service-info", EVERYBODY),
    Row("GET", f"{WES}/runs", SIGNED_IN),
    Row("POST", f"{WES}/runs", (401, 403, 403, 400, 400, 400, 400), is_form=True),
    Row("GET", f"{WES}/runs/{{run_id}}", JOB),
    Row("GET", f"{WES}/runs/{{run_id}}/status", JOB),
    Row("POST", f"{WES}/runs/{{run_id}}/cancel", JOB),
    Row("GET", f"{WES}/runs/{{run_id}}/tasks", JOB),
    Row("GET", f"{WES}/runs/{{run_id}}/tasks/{{task_id}}", NOTHING_THERE, example=f"{WES}/runs/{{run_id}}/tasks/t"),
    Row("GET", f"{WES}/runs/{{run_id}}/logs/{{stream}}", JOB, example=f"{WES}/runs/{{run_id}}/logs/stdout"),
    Row(
        "GET",
        f"{WES}/runs/{{run_id}}/tasks/{{task_id}}/logs/{{stream}}",
        NOTHING_THERE,
        example=f"{WES}/runs/{{run_id}}/tasks/t/logs/stdout",
    ),
    Row("GET", f"{WES}/runs/{{run_id}}/outputs", JOB),
    Row(
        "GET", f"{WES}/runs/{{run_id}}/outputs/{{path}}", NOTHING_THERE, example=f"{WES}/runs/{{run_id}}/outputs/a.txt"
    ),
    Row("GET", "/runners", (401, 403, 403, 403, 403, 200, 200)),
    Row("GET", "/status", (401, 403, 403, 403, 403, 200, 200)),
    Row("POST", "/tokens", (401, 201, 201, 201, 201, 201, 201), {"name": "t"}),
    Row("POST", "/tokens", (401, 403, 403, 403, 403, 403, 201), {"name": "t", "role": "admin"}),
    Row("POST", "/tokens", (401, 403, 403, 403, 403, 403, 201), {"name": "t", "principal": "somebody"}),
    Row("GET", "/tokens", SIGNED_IN),
    Row("DELETE", "/tokens/{token_id}", (401, 404, 404, 404, 204, 404, 204)),
)


@pytest.fixture
async def client(harness: GatewayHarness) -> AsyncGenerator[httpx.AsyncClient, None]:
    async with harness.serve(**BASIC) as client:
        yield client


async def test_every_route_is_in_the_matrix(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    served = {
        (method, path)
        for path, endpoints in harness.gateway.router.paths.items()
        for method in endpoints
        if method != "HEAD"
    }
    assert served == {(row.method, row.path) for row in MATRIX}


async def test_every_principal_gets_the_allowed_methods(client: httpx.AsyncClient) -> None:
    for row in MATRIX:
        path = (row.example or row.path).format(job_id="x", run_id="x", token_id="x")
        for method in ("TRACE", "PUT"):
            answer = await client.request(method, path)
            assert answer.status_code == 405
            assert row.method in answer.headers["allow"]


@pytest.mark.parametrize("row", MATRIX, ids=lambda row: f"{row.method} {row.example or row.path}")
async def test_everybody_gets_what_its_role_shows(client: httpx.AsyncClient, row: Row) -> None:
    for person, expected in zip(PEOPLE, row.answers, strict=True):
        client.headers = httpx.Headers(basic("ada"))
        job = await submit(client)
        token = (await client.post("/tokens", json={"name": "t"})).json()["details"]
        client.headers = httpx.Headers()
        path = (row.example or row.path).format(job_id=job["id"], run_id=job["id"], token_id=token["id"])
        headers = {} if person == "nobody" else basic(person)
        response = await client.request(
            row.method, path, json=row.body, files=FORM if row.is_form else None, headers=headers
        )
        assert response.status_code == expected, (person, response.text)
        if expected == 401:
            assert "Basic" in response.headers["www-authenticate"]
        if expected == 403:
            assert "the role" in response.text
        if expected == 404 and row.answers != NOTHING_THERE:
            unknown = "00000000-0000-4000-8000-000000000000" if job["id"] in path else "0" * 16
            same = await client.request(
                row.method, path.replace(job["id"], unknown).replace(token["id"], unknown), headers=headers
            )
            ids = f"{job['id']}|{token['id']}|{unknown}"
            assert (same.status_code, re.sub(ids, "it", same.text)) == (404, re.sub(ids, "it", response.text))


async def test_a_path_that_is_not_served_is_closed_too(client: httpx.AsyncClient) -> None:
    for path in ("/nothing", "/jobs/x/y/z", "/docsx", "/jobs/"):
        assert (await client.get(path)).status_code == 401
    assert (await client.get("/nothing", headers=basic("vi"))).status_code == 404
    assert (await client.post("/health/x")).status_code == 401
