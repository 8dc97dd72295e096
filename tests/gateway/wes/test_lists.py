"""`GET /runs`: pages that show the moment of the first one, and the filters beyond the standard."""

import json
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.gateway_harness import GatewayHarness, submit
from tests.gateway.wes.specification import PREFIX, Json, answered, refused

from penstock_gateway.http.parameters import QueryParameters
from penstock_gateway.http.problems import Invalid
from penstock_gateway.operations.wes import LIST_RUNS
from penstock_gateway.operations.wes_models import WesState
from penstock_gateway.wes.queries import parse_run_query
from penstock_gateway.wes.tokens import RunPlace, TaskPlace, decode_token, encode_token
from penstock_schemas.ids import DEFAULT_TENANT
from penstock_schemas.jobs import Failure, FailureCause


async def listed(client: httpx.AsyncClient, **parameters: Any) -> Json:
    return answered(await client.get(f"{PREFIX}/runs", params=parameters), "RunListResponse")


async def ids(client: httpx.AsyncClient, **parameters: Any) -> list[str]:
    return [run["run_id"] for run in (await listed(client, **parameters))["runs"]]


@pytest.mark.parametrize("sort", ["-created", "created"])
async def test_pages_neither_repeat_nor_miss_while_runs_arrive(client: httpx.AsyncClient, sort: str) -> None:
    there = [(await submit(client))["id"] for _ in range(7)]
    found: list[str] = []
    token = ""
    while True:
        page = await listed(client, page_size=3, sort=sort, total="true", page_token=token)
        found += [run["run_id"] for run in page["runs"]]
        assert page["total"] == 7
        token = page["next_page_token"]
        if not token:
            break
        await submit(client)

    assert found == (there if sort == "created" else there[::-1])


@pytest.mark.parametrize("sort", ["-created", "created"])
@pytest.mark.parametrize("filters", [{}, {"state": "QUEUED"}, {"state": "QUEUED,INITIALIZING", "tag": "k"}])
async def test_pages_show_the_states_of_the_moment_of_the_first_one(
    harness: GatewayHarness, client: httpx.AsyncClient, sort: str, filters: dict[str, str]
) -> None:
    there = [(await submit(client, labels={"k": "v"}))["id"] for _ in range(7)]
    waiting = iter(there)
    found: list[tuple[str, str]] = []
    token = ""
    for _ in range(4):
        assert (await client.get(f"/jobs?min_seq={await harness.project()}")).status_code == 200
        page = await listed(client, page_size=2, sort=sort, total="true", page_token=token, **filters)
        found += [(run["run_id"], run["state"]) for run in page["runs"]]
        assert page["total"] == 7
        token = page["next_page_token"]
        for _ in range(2):
            if (run_id := next(waiting, None)) is not None:
                await harness.start(run_id)
                await harness.end(run_id)

    assert token == ""
    assert found == [(run_id, "QUEUED") for run_id in (there if sort == "created" else there[::-1])]


async def test_filters(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    first = (await submit(client, labels={"k": "v", "a:b": "c"}))["id"]
    other = (await submit(client, pipeline_name="other", source={"files": {"Snakefile": "rule all:\n"}}))["id"]
    await harness.start(first)
    await harness.end(first, Failure(cause=FailureCause.SYSTEM, message="m"))
    await client.get(f"/jobs/{first}?min_seq={await harness.project()}")

    assert await ids(client, state="SYSTEM_ERROR") == [first]
    assert await ids(client, state="QUEUED,SYSTEM_ERROR") == [other, first]
    assert await ids(client, state="EXECUTOR_ERROR") == []
    assert await ids(client, state="UNKNOWN") == []
    assert await ids(client, tag="k:v") == await ids(client, tag="k") == await ids(client, tag="a:b:c") == [first]
    assert await ids(client, name="other") == await ids(client, workflow_url="Snakefile") == [other]
    assert await ids(client, start_time_after="2026-01-01T00:00:00Z") == [first]
    assert await ids(client, end_time_before="2026-01-01T00:00:00Z") == []
    assert await ids(client, submitted_after="2026-01-01T00:00:00Z", sort="created") == [first, other]
    filters = json.dumps({"state": ["SYSTEM_ERROR", "RUNNING"], "tags": {"k": "v"}, "total": True})
    assert (await listed(client, filters=filters))["total"] == 1


async def test_the_filters_of_the_json_object_and_all_others_must_match(client: httpx.AsyncClient) -> None:
    source = {"files": {"Snakefile": "rule all:\n"}}
    one = (await submit(client, labels={"k": "v", "a:b": "c:d"}, source=source))["id"]
    two = (await submit(client, labels={"k": "v"}))["id"]
    three = (await submit(client, labels={"k": "w"}))["id"]

    async def left(filters: Json, **others: str) -> list[str]:
        return await ids(client, filters=json.dumps(filters), **others)

    assert await left({"tags": {"k": "v"}}) == [two, one]
    assert await left({"tags": {"k": "v", "a:b": "c:d"}}) == [one]
    assert await left({"tags": {"k": "v"}}, tag="a:b:c:d") == [one]
    assert await left({"tags": {"k": "v"}, "workflow_url": "Snakefile", "state": "QUEUED"}) == [one]
    assert await left({"workflow_url": "Snakefile"}, workflow_url="other") == []
    assert await left({"state": ["QUEUED", "RUNNING"]}, state="RUNNING") == []
    assert await left({"state": ["QUEUED", "RUNNING"]}, state="QUEUED") == [three, two, one]
    assert await left({"name": "variant_calling"}, name="variant_calling") == [three, two, one]
    assert await left({"name": "variant_calling"}, name="other") == []
    assert await left({"submitted_after": "2026-01-01T00:00:00Z"}, submitted_after="2226-01-01T00:00:00Z") == []
    assert await left({}) == await ids(client, filters="") == [three, two, one]


async def test_a_token_goes_on_in_a_list_with_a_json_object(client: httpx.AsyncClient) -> None:
    there = [(await submit(client, labels={"k": "v"}))["id"] for _ in range(3)]
    await submit(client)
    filters, token, found = json.dumps({"tags": {"k": "v"}, "state": "QUEUED"}), "", list[str]()
    for _ in range(3):
        page = await listed(client, filters=filters, page_size=1, page_token=token)
        found += [run["run_id"] for run in page["runs"]]
        token = page["next_page_token"]

    assert (found, token) == (there[::-1], "")
    first = await listed(client, filters=filters, page_size=1)
    other = {"filters": '{"state": "QUEUED"}', "page_token": first["next_page_token"]}
    assert "page_token" in refused(await client.get(f"{PREFIX}/runs", params=other), 400)


async def test_service_info_counts_all_eleven_states(client: httpx.AsyncClient) -> None:
    await submit(client)
    counts = answered(await client.get(f"{PREFIX}/service-info"), "ServiceInfo")["system_state_counts"]

    assert counts == {item.value: 1 if item is WesState.QUEUED else 0 for item in WesState}
    assert len(counts) == 11


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("page_size=0", "page_size"),
        ("page_size=-1", "page_size"),
        ("page_size=x", "page_size"),
        ("page_size=", "page_size"),
        ("page_token=x", "page_token"),
        ("page_token=%00", "page_token"),
        ("state=running", "state"),
        ("sort=name", "sort"),
        ("total=yes", "total"),
        ("tag=:v", "tag"),
        ("start_time_after=soon", "start_time_after"),
        ("stat=RUNNING", "stat"),
        ("filters=x", "filters"),
        ("filters=[]", "filters"),
        ('filters={"x":1}', "filters"),
        ('filters={"state":1}', "filters/state"),
        ('filters={"state":"DONE"}', "filters/state"),
        ('filters={"state":["QUEUED",null]}', "filters/state"),
        ('filters={"name":["a"]}', "filters/name"),
        ('filters={"tags":["a"]}', "filters/tags"),
        ('filters={"tags":{"a":1}}', "filters/tags/a"),
        ('filters={"tags":', "this is not valid JSON"),
        ('filters={"tags":{"\\ud800":"a"}}', "half of a character"),
        ('filters={"name":"\\ud800"}', "half of a character"),
        ('filters={"name":"a","name":"b"}', "Duplicate key"),
        ('filters={"name":"a\\u0000"}', "filters/name"),
        ('filters={"tags":{"a\\u0000":"b"}}', "filters/tags"),
        ('filters={"sort":"created"}&sort=-created', "filters/sort"),
        ("filters={}&filters={}", "send it once"),
        ("filters=" + "[" * 8000, "filters"),
        ("filters=" + " " * 8193, "8,192 characters"),
    ],
)
async def test_faults_of_a_list_request_are_reported(client: httpx.AsyncClient, query: str, name: str) -> None:
    assert name in refused(await client.get(f"{PREFIX}/runs?{query}"), 400)


async def test_a_larger_page_than_there_is_counts_as_the_largest(client: httpx.AsyncClient) -> None:
    await submit(client)
    assert len(await ids(client, page_size=9_000_000_000_000_000)) == 1


async def test_a_token_is_good_for_its_list_alone(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await submit(client)
    token = (await listed(client, page_size=1))["next_page_token"]
    assert len(await ids(client, page_size=2, page_token=token)) == 2
    refused(await client.get(f"{PREFIX}/runs", params={"page_token": token, "state": "RUNNING"}), 400)
    refused(await client.get(f"{PREFIX}/runs", params={"page_token": token + "A"}), 400)


@given(st.text() | st.binary().map(lambda raw: raw.hex()))
def test_no_text_is_taken_for_a_token(text: str) -> None:
    assert decode_token(text, TaskPlace, b"about") is None


@given(st.integers(0, 2**62), st.integers(0, 2**62), st.integers(-1, 2**40))
def test_a_token_holds_its_place(moment: int, last: int, total: int) -> None:
    place = RunPlace(moment, last, total)
    token = encode_token(place, b"about")
    assert decode_token(token, RunPlace, b"about") == place
    assert decode_token(token, RunPlace, b"another list") is None


@given(st.binary(max_size=60))
def test_no_query_string_breaks_the_reading(query: bytes) -> None:
    with suppress(Invalid):
        parse_run_query(QueryParameters(query, LIST_RUNS.parameters), DEFAULT_TENANT)
