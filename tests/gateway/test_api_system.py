"""The server itself over HTTP: hello, health, readiness, version, documentation, failures."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog
from litestar.types import ASGIApp
from structlog.testing import capture_logs
from tests.gateway.gateway_harness import GatewayHarness, problem, submission, submit

from penstock_gateway.http import request_log
from penstock_gateway.http.problems import INTERNAL, TABLE
from penstock_gateway.http.request_log import RequestLog
from penstock_gateway.operations import OPERATIONS
from penstock_gateway.routes.system import ASSETS
from penstock_ports import Unavailable
from penstock_schemas.api import Problem


async def test_root_returns_hello_or_the_configured_text(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        assert (await client.get("/")).json() == {"message": "Hello World"}
    async with harness.serve(echo_message="Grüezi") as client:
        assert (await client.get("/")).json() == {"message": "Grüezi"}


async def test_health_is_a_json_string(client: httpx.AsyncClient) -> None:
    for address in ("/health", "/healthz"):
        response = await client.get(address)
        assert (response.status_code, response.json()) == (200, "OK")


async def test_the_version_is_the_images(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        assert (await client.get("/version")).json() == {"version": "unknown"}
        assert (await client.get("/version/details")).json() == {"version": "unknown", "software_version": "0.1.0"}
    async with harness.serve(image_tag="v1.2.3") as client:
        assert (await client.get("/version")).json()["version"] == "v1.2.3"


async def test_it_is_not_ready_without_the_log(harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    async with harness.serve() as client:
        assert (await client.get("/readyz")).json() == {"ready": True, "reasons": []}

        async def no_answer(*_: Any, **__: Any) -> int:
            raise Unavailable("no server")

        monkeypatch.setattr(harness.cluster.log, "last_seq", no_answer)
        await harness.gateway.base.readiness.refresh()
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert "does not answer" in response.json()["reasons"][0]


async def test_an_unavailable_log_is_a_503_with_a_hint(
    harness: GatewayHarness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_answer(*_: Any, **__: Any) -> Any:
        raise Unavailable("no server")

    monkeypatch.setattr(harness.cluster.log, "append", no_answer)
    response = await client.post("/jobs", json=submission())

    assert "Idempotency-Key" in problem(response, 503)["detail"]
    assert response.headers["retry-after"]


async def test_an_internal_error_reveals_only_its_failure_id(
    harness: GatewayHarness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(harness.cluster.log, "append", broken)
    with capture_logs() as lines:
        response = await client.post("/jobs", json=submission())

    body = problem(response, 500)
    assert "secret" not in response.text
    (line,) = [one_line for one_line in lines if one_line["event"] == "request_failed"]
    assert body["instance"].replace("-", "").endswith(line["failure_id"])
    assert "secret" in str(line["exc_info"])


async def test_writes_and_errors_are_logged_in_one_line_each(
    harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another test may have configured logs, and the logger of the module then keeps that configuration.
    monkeypatch.setattr(request_log, "log", structlog.get_logger())
    async with harness.serve():
        app: ASGIApp = RequestLog(harness.gateway.app)
        structlog.configure()
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app),  # type: ignore[arg-type]  # the same ASGI, spelt by two libraries
            base_url="http://localhost",
        ) as client:
            with capture_logs() as lines:
                await submit(client)
                await client.get("/jobs")
                await client.get("/nowhere")

    logged = [(line["log_level"], line["method"], line["status"]) for line in lines if line["event"] == "request"]
    assert logged == [("info", "POST", 201), ("debug", "GET", 200), ("info", "GET", 404)]


async def test_the_documentation_pages_load_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    for address in ("/docs", "/redoc", "/docs/problems"):
        page = await client.get(address)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'self'" in page.headers["content-security-policy"]
        links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert links
        for link in links:
            assert link.startswith("/")
            assert (await client.get(link)).status_code == 200
    for name, media_type in ASSETS.items():
        asset = await client.get(f"/docs/assets/{name}")
        assert asset.headers["content-type"] == media_type
        assert not re.search(rb"cdn\.redoc|fonts\.g|unpkg|jsdelivr", asset.content)
    problem(await client.get("/docs/assets/../../wiring.py"), 404)
    problem(await client.get("/docs/assets/redoc/LICENSE"), 404)


async def test_the_type_of_every_problem_leads_to_what_it_means(client: httpx.AsyncClient) -> None:
    address, _, slug = problem(await client.get("/nowhere"), 404)["type"].partition("#")
    page = await client.get(address)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    sections = re.findall(r'<section id="([^"]+)">', page.text)
    assert slug in sections
    assert sorted(sections) == sorted({kind.slug for kind in (*TABLE.values(), INTERNAL)})
    assert "An operator must raise the log" in page.text
    for link in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert (await client.get(link)).status_code == 200


async def test_every_route_is_documented(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    hidden = {"/openapi.json", "/docs", "/docs/problems", "/redoc", "/docs/assets/{path}"}
    served = {
        endpoint.operation.name
        for path, endpoints in harness.gateway.router.paths.items()
        for endpoint in endpoints.values()
        if path not in hidden
    }
    assert served == {operation.name for operation in OPERATIONS}


async def test_the_document_is_whole(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert references == set(document["components"]["schemas"])
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert "500" in operation["responses"]


def test_the_examples_are_right() -> None:
    for operation in OPERATIONS:
        if operation.body is not None:
            for example in operation.body_examples.values():
                msgspec.convert(example, operation.body)
        for answer in operation.answers:
            if answer.example is not None:
                msgspec.convert(answer.example, answer.shape)


def test_every_kind_of_problem_is_one_kind() -> None:
    kinds = {*TABLE.values(), INTERNAL}
    assert len({kind.slug for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert 400 <= kind.status < 600
        assert (kind.retry_after_s is not None) == (kind.status in (503, 504))
    assert msgspec.json.decode(msgspec.json.encode(Problem(type="t", title="t", status=1, detail="d"))) == {
        "type": "t",
        "title": "t",
        "status": 1,
        "detail": "d",
    }


async def test_the_document_names_the_presets_of_this_gateway(harness: GatewayHarness, tmp_path: Path) -> None:
    presets = tmp_path / "presets.yaml"
    presets.write_text("small:\n  cores: '2'\n")
    async with harness.serve(presets_file=presets) as client:
        document = (await client.get("/openapi.json")).json()

    assert document["components"]["schemas"]["PipelineRegistration"]["properties"]["preset"]["enum"] == [None, "small"]


async def test_every_operation_that_could_ignore_something_takes_the_preference(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]

    for path in ("/jobs", "/pipelines", "/tokens"):
        assert "Prefer" in {parameter["name"] for parameter in paths[path]["post"]["parameters"]}
    assert "Prefer" in {parameter["name"] for parameter in paths["/jobs"]["get"]["parameters"]}
    assert "parameters" not in paths["/version"]["get"]
