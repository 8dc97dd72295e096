"""Unknown fields and parameters: refused together, or ignored on request."""

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.gateway_harness import GatewayHarness, Json, pointers, submission

from penstock_gateway.http.preferences import preferred
from penstock_gateway.settings import UnknownFields

LENIENT = {"prefer": "handling=lenient"}
STRANGE: Json = submission(
    foo=1,
    source={"files": {"Snakefile": "rule all:\n", "data": {"base64": "", "mode": 1}}, "branch": "main"},
    bar={"deep": []},
)
UNKNOWN = {"#/foo", "#/bar", "#/source/branch", "#/source/files/data/mode"}


async def test_every_unknown_field_is_named(client: httpx.AsyncClient) -> None:
    assert pointers(await client.post("/jobs", json=STRANGE)) == UNKNOWN
    assert pointers(await client.post("/jobs", json=STRANGE, headers={"prefer": "handling=strict"})) == UNKNOWN


async def test_a_cut_list_is_marked(client: httpx.AsyncClient) -> None:
    found = pointers(await client.post("/jobs", json=submission(**{f"f{number}": 1 for number in range(200)})))

    assert len(found) == 51
    assert "#" in found


async def test_unknown_fields_are_ignored_when_that_is_preferred(client: httpx.AsyncClient) -> None:
    response = await client.post("/jobs?debug=1", json=STRANGE, headers=LENIENT)

    assert response.status_code == 201, response.text
    assert response.headers["preference-applied"] == "handling=lenient"
    job = response.json()
    assert (job["pipeline_name"], job["engine"]) == ("variant_calling", "snakemake")
    assert (await client.get("/jobs?stats=x&limit=1", headers=LENIENT)).json()["total"] == 1
    for path in ("cancel", "hold"):
        answer = await client.post(f"/jobs/{job['id']}/{path}", json={"why": "x"}, headers=LENIENT)
        assert answer.status_code in (200, 202, 409), answer.text


async def test_what_is_known_must_still_be_right(client: httpx.AsyncClient) -> None:
    response = await client.post("/jobs", json=submission(foo=1, priority="high"), headers=LENIENT)

    assert pointers(response) == {"#/priority"}


async def test_a_form_is_handled_in_the_same_way(client: httpx.AsyncClient) -> None:
    parts: list[tuple[str, tuple[str | None, str]]] = [
        ("job", (None, json.dumps(submission(foo=1)))),
        ("comment", (None, "x")),
        ("files", ("Snakefile", "rule all:\n")),
        ("author", (None, "y")),
    ]
    assert pointers(await client.post("/jobs", files=parts)) == {"#/foo"}
    parts[0] = ("job", (None, json.dumps(submission())))
    assert pointers(await client.post("/jobs", files=parts)) == {"comment", "author"}
    response = await client.post("/jobs", files=parts, headers=LENIENT)
    assert response.status_code == 201, response.text


async def test_the_operator_may_let_everybody_be_lenient(harness: GatewayHarness) -> None:
    async with harness.serve(unknown_fields=UnknownFields.IGNORE) as client:
        response = await client.post("/jobs", json=STRANGE)
        assert response.status_code == 201
        assert "preference-applied" not in response.headers
        assert pointers(await client.post("/jobs", json=STRANGE, headers={"prefer": "handling=strict"})) == UNKNOWN


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), None),
        (("handling=lenient",), "lenient"),
        (("respond-async, wait=10", 'Handling = "LENIENT"; foo'), "lenient"),
        (("handling=strict, handling=lenient",), "strict"),
        (("handling=loose",), None),
        (("lenient",), None),
    ],
)
def test_the_preference_is_read_as_rfc_7240_writes_it(headers: tuple[str, ...], expected: str | None) -> None:
    assert preferred(headers) == expected


@given(st.lists(st.text()))
def test_no_header_breaks_the_reading(headers: list[str]) -> None:
    assert preferred(headers) in (None, "strict", "lenient")
