"""Every address may also be written with a `/` at its end, and knows its methods."""

import re

import httpx
import pytest
from tests.gateway.gateway_harness import GatewayHarness, submission, submit
from tests.gateway.user_fixtures import USERS

from penstock_gateway.http.operations import Operation, Surface
from penstock_gateway.operations import OPERATIONS
from penstock_schemas.access import AuthMethod

EXAMPLES = {"stream": "stdout", "task_id": "a-1", "name": "calls", "version": "1.0", "token_id": "x", "path": "a/b"}


def address_of(operation: Operation, harness: GatewayHarness, job_id: str) -> str:
    prefix = harness.settings.wes_prefix if operation.surface is Surface.WES else ""
    names = EXAMPLES | {"job_id": job_id, "run_id": job_id}
    return prefix + re.sub(r"\{([^}]*)\}", lambda match: names[match[1]], operation.path)


@pytest.mark.parametrize("operation", OPERATIONS, ids=[one_operation.name for one_operation in OPERATIONS])
async def test_a_slash_at_the_end_changes_nothing(
    harness: GatewayHarness, client: httpx.AsyncClient, operation: Operation
) -> None:
    job_id = (await submit(client))["id"]
    address = address_of(operation, harness, job_id)

    plain = await client.request(operation.method, address, follow_redirects=False)
    slashed = await client.request(operation.method, address.rstrip("/") + "/", follow_redirects=False)

    assert slashed.status_code == plain.status_code
    assert slashed.headers["content-type"] == plain.headers["content-type"] if plain.content else not slashed.content


async def test_a_body_arrives_at_an_address_with_a_slash(client: httpx.AsyncClient) -> None:
    response = await client.post("/jobs/", json=submission(), follow_redirects=False)

    assert response.status_code == 201
    assert (await client.get(f"/jobs/{response.json()['id']}/")).status_code == 200


async def test_what_is_open_to_everybody_is_so_with_a_slash(harness: GatewayHarness) -> None:
    async with harness.serve(auth=(AuthMethod.BASIC,), basic_auth_users=USERS) as client:
        for path in ("/", "/health/", "/version/", "/version/details/", "/openapi.json/", "/docs/"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get(f"{harness.settings.wes_prefix}/service-info/")).status_code == 200
        assert (await client.get("/jobs/")).status_code == 401


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/jobs", "GET, HEAD, OPTIONS, POST"),
        ("/jobs/x", "DELETE, GET, HEAD, OPTIONS"),
        ("/pipelines/a/versions/1", "DELETE, GET, HEAD, OPTIONS"),
        ("/tokens", "GET, HEAD, OPTIONS, POST"),
        ("/ga4gh/wes/v1/runs", "GET, HEAD, OPTIONS, POST"),
        ("/ga4gh/wes/v1/runs/x/cancel", "OPTIONS, POST"),
    ],
)
async def test_options_names_every_method(client: httpx.AsyncClient, path: str, allowed: str) -> None:
    response = await client.options(path)

    assert (response.status_code, response.headers["allow"], response.content) == (204, allowed, b"")
