"""What the dispatcher derives from the declaration of an operation."""

import json
from typing import Any, cast

import httpx
import pytest
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from penstock_gateway.http.dispatcher import Dispatcher, DispatchPolicy, Router, parse_job_id
from penstock_gateway.http.error_responses import problem_response
from penstock_gateway.http.operations import Operation, Parameter, Route
from penstock_gateway.http.requests import Request, request_of
from penstock_gateway.http.responses import BytesResponse, encode
from penstock_schemas.access import Principal, Role
from penstock_schemas.ids import TenantId

JOB = "550e8400-e29b-41d4-a716-446655440000"
JOB_ID = Parameter("job_id", "path", "", {"type": "string"}, parse=parse_job_id)
LIMIT = Parameter("limit", "query", "", {"type": "integer", "minimum": 1, "maximum": 9, "default": 5})
ORDER = Parameter("order", "query", "", {"type": "string", "enum": ["up", "down"]})
KEY = Parameter("X-Key", "header", "", {"type": "string", "pattern": "^[a-z]+$"})


class Note(Struct, forbid_unknown_fields=True):
    text: str = "none"


async def read(request: Request, job_id: str) -> ASGIApp:
    return BytesResponse(encode([job_id, request.query.integer("limit")]))


async def write(request: Request, job_id: str, body: Note) -> ASGIApp:
    return BytesResponse(encode([job_id, body.text]))


async def fail(request: Request) -> ASGIApp:
    raise RuntimeError("a secret")


def declared(method: str, path: str, **fields: Any) -> Operation:
    return Operation(method=method, path=path, name="x", summary="", tag="", answers=(), **fields)


ROUTES = (
    Route(declared("get", "/jobs/{job_id}", parameters=(JOB_ID, LIMIT, ORDER, KEY)), read),
    Route(
        declared(
            "post",
            "/jobs/{job_id}",
            parameters=(JOB_ID,),
            role=Role.OPERATOR,
            action="change job {job_id}",
            body=Note,
            body_is_required=False,
        ),
        write,
    ),
    Route(declared("get", "/fail", checks_query=False), fail),
)


def client(role: Role = Role.ADMIN, *, ignores_unknown_fields: bool = False) -> httpx.AsyncClient:
    policy = DispatchPolicy(max_body_bytes=100, ignores_unknown_fields=ignores_unknown_fields)
    dispatcher = Dispatcher(Router(ROUTES, {}), policy, problem_response)

    async def authenticated(scope: Scope, receive: Receive, send: Send) -> None:
        async def is_admitted() -> bool:
            return True

        request = request_of(scope, receive)
        request.authenticate(Principal(name="ada", tenant=TenantId("t"), role=role), is_admitted)
        await dispatcher.serve(scope, receive, send)

    transport = httpx.ASGITransport(cast("Any", authenticated), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def test_a_handler_gets_canonical_path_parameters_and_declared_values() -> None:
    async with client() as http:
        assert (await http.get(f"/jobs/{JOB.upper()}/")).json() == [JOB, 5]
        assert (await http.get(f"/jobs/{JOB}?limit=7&order=up", headers={"x-key": "abc"})).json() == [JOB, 7]


async def test_all_violations_of_query_and_headers_are_in_one_response() -> None:
    async with client() as http:
        answer = await http.get(f"/jobs/{JOB}?limit=99&order=left&limt=1", headers={"x-key": "A"})
    assert answer.status_code == 422
    errors = {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
    assert errors.keys() == {"X-Key", "limit", "order", "limt"}
    assert "did you mean `limit`?" in errors["limt"]
    assert errors["order"] == "`left` is none of up, down"


async def test_the_role_is_checked_before_the_body_is_read() -> None:
    async with client(Role.VIEWER) as http:
        answer = await http.post(f"/jobs/{JOB}", content=b"{")
    assert answer.status_code == 403
    assert f"change job {JOB}" in answer.json()["detail"]


async def test_the_body_is_decoded_as_declared() -> None:
    async with client() as http:
        assert (await http.post(f"/jobs/{JOB}", json={"text": "a"})).json() == [JOB, "a"]
        assert (await http.post(f"/jobs/{JOB}")).json() == [JOB, "none"]
        wrong = await http.post(f"/jobs/{JOB}", json={"text": 1, "txt": 2})
        assert {error["pointer"] for error in wrong.json()["errors"]} == {"#/text", "#/txt"}
        assert (await http.post(f"/jobs/{JOB}", json={"text": "a" * 200})).status_code == 413
        plain = await http.post(f"/jobs/{JOB}", content=b"{}", headers={"content-type": "text/plain"})
        assert plain.status_code == 415


async def test_unknown_names_are_ignored_when_the_client_or_the_operator_prefers_it() -> None:
    async with client() as http:
        lenient = {"prefer": "handling=lenient"}
        answer = await http.post(f"/jobs/{JOB}?x=1", json={"y": 2}, headers=lenient)
        assert (answer.status_code, answer.headers["preference-applied"]) == (200, "handling=lenient")
    async with client(ignores_unknown_fields=True) as http:
        answer = await http.post(f"/jobs/{JOB}?x=1", json={"y": 2})
        assert (answer.status_code, answer.headers.get("preference-applied")) == (200, None)
        strict = await http.post(f"/jobs/{JOB}", json={"y": 2}, headers={"prefer": "handling=strict"})
        assert strict.status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nothing", 404, None),
        ("PUT", f"/jobs/{JOB}", 405, "GET, HEAD, OPTIONS, POST"),
        ("OPTIONS", f"/jobs/{JOB}", 204, "GET, HEAD, OPTIONS, POST"),
        ("HEAD", f"/jobs/{JOB}", 200, None),
        ("GET", "/jobs/1", 422, None),
    ],
)
async def test_paths_and_methods(method: str, path: str, status: int, allow: str | None) -> None:
    async with client() as http:
        answer = await http.request(method, path)
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    if method in ("HEAD", "OPTIONS"):
        assert answer.content == b""


async def test_an_unexpected_error_reveals_nothing() -> None:
    async with client() as http:
        answer = await http.get("/fail?anything=1")
    assert answer.status_code == 500
    assert "secret" not in json.dumps(answer.json())
