"""`POST /runs` as application/x-www-form-urlencoded, which clients send that have no attachments."""

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from types import SimpleNamespace
from urllib.parse import unquote_to_bytes, urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.gateway_harness import GatewayHarness
from tests.gateway.wes.specification import PREFIX, answered, refused
from tests.gateway.wes.test_submitting import is_nothing_queued, request_of

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.languages import Language
from penstock_gateway.http.bodies import urlencoded
from penstock_gateway.http.bodies.urlencoded import MAX_BYTES, MAX_FIELDS, MEDIA_TYPE, THREAD_BYTES, parse_fields
from penstock_gateway.http.problems import Invalid
from penstock_runtime.engine_plugins import GROUP, loaded_engines

FIELDS = {"workflow_type": "MOCK", "workflow_type_version": "1.0", "workflow_url": "calls"}
TYPE = {"content-type": MEDIA_TYPE}


@pytest.fixture
async def catalogued(client: httpx.AsyncClient) -> httpx.AsyncClient:
    files = {"Snakefile": "rule all:\n"}
    response = await client.post("/pipelines", json={"name": "calls", "version": "1", "source": {"files": files}})
    assert response.status_code == 201, response.text
    return client


async def test_fields_mean_what_they_mean_in_the_other_form(catalogued: httpx.AsyncClient) -> None:
    params = {"message": "Grüße & 100 % = +1", "n": 1.5}
    fields = FIELDS | {
        "workflow_type": "SMK",
        "workflow_params": json.dumps(params),
        "tags": json.dumps({"project": "a b"}),
        "workflow_engine_parameters": json.dumps({"cores": 2}),
        "other_servers_field": "x",
    }
    response = await catalogued.post(f"{PREFIX}/runs", data=fields)
    assert response.request.headers["content-type"] == MEDIA_TYPE

    request = await request_of(catalogued, response)
    assert request["workflow_params"] == params
    assert request["tags"] == {"project": "a b"}
    assert request["workflow_engine_parameters"] == {"cores": "2"}


async def test_a_large_one_is_taken_apart_too(catalogued: httpx.AsyncClient) -> None:
    params = {"text": "ä" * THREAD_BYTES}
    fields = FIELDS | {"workflow_type": "SMK", "workflow_params": json.dumps(params, ensure_ascii=False)}

    request = await request_of(catalogued, await catalogued.post(f"{PREFIX}/runs/", data=fields))

    assert request["workflow_params"] == params


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "workflow_type: "),
        (urlencode(FIELDS | {"workflow_params": "{"}).encode(), "workflow_params: this part is not valid JSON"),
        (urlencode(FIELDS | {"tags": '{"a": 1}'}).encode(), "tags/a: "),
        (urlencode(FIELDS | {"workflow_attachment": "x"}).encode(), "multipart/form-data"),
        (b"workflow_type=SMK&workflow_type=CWL", "only once"),
        (b"workflow_type=%ff", "UTF-8"),
        (b"workflow_type=%00", "NUL"),
        (b"%ff=x", "UTF-8"),
        (b"a=1&" * MAX_FIELDS + b"a=1", f"more than {MAX_FIELDS} fields"),
    ],
)
async def test_what_is_wrong_is_refused_before_anything_is_queued(
    harness: GatewayHarness, client: httpx.AsyncClient, body: bytes, expected: str
) -> None:
    assert expected in refused(await client.post(f"{PREFIX}/runs", content=body, headers=TYPE), 400)
    assert await is_nothing_queued(harness)


async def test_it_is_bounded(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    refused(await client.post(f"{PREFIX}/runs", content=b"a=" + b"x" * MAX_BYTES, headers=TYPE), 413)
    async with harness.serve(max_body_bytes=1024) as small:
        refused(await small.post(f"{PREFIX}/runs", content=b"a=" + b"x" * 1024, headers=TYPE), 413)


@pytest.mark.parametrize("media_type", ["application/json", "text/plain"])
async def test_other_types_are_refused_with_those_that_are_taken(client: httpx.AsyncClient, media_type: str) -> None:
    message = refused(await client.post(f"{PREFIX}/runs", content=b"{}", headers={"content-type": media_type}), 400)

    assert "multipart/form-data" in message
    assert MEDIA_TYPE in message


CWL = EngineDescriptor(
    name="cwl",
    title="cwltool",
    launcher="cwl_engine:launch",
    languages=(Language(name="CWL", versions=("v1.0",), engine_names=("cwltool",)),),
    entrypoints=("main.cwl",),
)


@pytest.fixture
def cwl_plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install an engine by its entry point."""
    found = (*metadata.entry_points(group=GROUP), metadata.EntryPoint("cwl", "cwl_plugin:CWL", GROUP))
    monkeypatch.setitem(sys.modules, "cwl_plugin", SimpleNamespace(CWL=CWL))

    def entry_points(*, group: str) -> tuple[metadata.EntryPoint, ...]:
        return tuple(point for point in found if point.group == group)

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    loaded_engines.cache_clear()
    yield
    loaded_engines.cache_clear()


@pytest.mark.usefixtures("cwl_plugin")
async def test_an_engine_is_known_by_its_programs_name(harness: GatewayHarness) -> None:
    await harness.connect_runner("cwl")
    async with harness.serve() as client:
        fields = {"workflow_type": "CWL", "workflow_type_version": "v1.0", "workflow_engine": "cwltool"}
        attachment = [("workflow_attachment", ("tool.cwl", b"{}"))]
        answered(await client.post(f"{PREFIX}/runs", data=fields, files=attachment), "RunId")


@given(st.lists(st.tuples(st.text(), st.text()), max_size=20))
def test_what_was_encoded_comes_back(pairs: list[tuple[str, str]]) -> None:
    found = parse_fields(urlencode(pairs).encode())

    assert [(item.name, item.content.decode()) for item in found] == pairs


@given(st.binary(max_size=200))
def test_no_body_breaks_the_reading(body: bytes) -> None:
    with suppress(Invalid):
        parse_fields(body)


@given(st.text(st.sampled_from("%4aZ+&g=\xe9"), max_size=40).map(lambda text: text.replace("&", "").encode()))
def test_values_are_decoded_in_pieces_as_they_would_be_at_once(value: bytes) -> None:
    for piece_bytes in (4, 5, 7):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(urlencoded, "PIECE_BYTES", piece_bytes)
            (found,) = parse_fields(b"a=" + value + b".")
        assert found.content == unquote_to_bytes(value.replace(b"+", b" ")) + b"."
