"""Query strings, cursors and ranges."""

from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_gateway.http.dispatcher import parse_job_id
from penstock_gateway.http.parameters import MAX_VIOLATIONS, QueryParameters
from penstock_gateway.http.problems import Invalid, RangeNotSatisfiable
from penstock_gateway.http.ranges import parse_range
from penstock_gateway.index.queries import JobQuery, decode_cursor, encode_cursor, microseconds, parse_query
from penstock_gateway.operations.jobs import LIST_JOBS
from penstock_gateway.operations.runs import LIST_EVENTS
from penstock_schemas.ids import DEFAULT_TENANT, TenantId
from penstock_schemas.jobs import JobStatus


def parsed(query: bytes) -> tuple[JobQuery, int]:
    return parse_query(QueryParameters(query, LIST_JOBS.parameters), DEFAULT_TENANT)


def wrong(query: str) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        parsed(query.encode())
    return {violation.pointer: violation.detail for violation in caught.value.violations}


def test_every_filter_is_read() -> None:
    query, min_seq = parsed(
        b"status=failed&status=pending,running&pipeline=p&owner=ada&label=a:b:c&label=k&q=Stra%C3%9Fe&limit=7"
        b"&created_after=2026-01-01T00:00:00Z&created_before=2026-01-02T01:00:00%2B01:00&min_seq=9&tenant=lab"
    )

    assert query == JobQuery(
        tenant=TenantId("lab"),
        statuses=(JobStatus.FAILED, JobStatus.PENDING, JobStatus.RUNNING),
        pipeline="p",
        owner="ada",
        labels=(("a", "b:c"), ("k", None)),
        text="strasse",
        after_us=microseconds(datetime(2026, 1, 1, tzinfo=UTC)),
        before_us=microseconds(datetime(2026, 1, 2, tzinfo=UTC)),
        limit=7,
    )
    assert min_seq == 9


def test_an_offset_whose_plus_was_not_escaped_is_understood() -> None:
    query, _ = parsed(b"created_after=2026-01-01T01:00:00+01:00")

    assert query.after_us == microseconds(datetime(2026, 1, 1, tzinfo=UTC))


def test_all_wrong_parameters_are_reported_together() -> None:
    found = wrong(
        "stats=x&status=done&limit=0&created_after=soon&label=:x&min_seq=-1&limit=5&pipeline=%00&cursor=zz&tenant=a.b"
    )

    assert set(found) == {
        "stats",
        "status",
        "limit",
        "created_after",
        "label",
        "min_seq",
        "pipeline",
        "cursor",
        "tenant",
    }
    assert "did you mean `status`" in found["stats"]
    assert "pending, running, completed, failed, cancelled" in found["status"]


@pytest.mark.parametrize("text", ["0", "1001", "-1", "x", "1.5", "1e4", "1e999", "1e", "", "٣"])
def test_a_limit_out_of_bounds_is_refused(text: str) -> None:
    assert set(wrong(f"limit={quote(text)}")) == {"limit"}


@pytest.mark.parametrize("query", ["%ff=1", "a=1&" * 300])
def test_strange_query_strings_are_refused(query: str) -> None:
    assert wrong(query)


@given(st.integers(0, 2**62), st.sampled_from(list(JobStatus)))
def test_a_cursor_belongs_to_its_list(seq: int, status: JobStatus) -> None:
    query = JobQuery(tenant=DEFAULT_TENANT, statuses=(status,))
    cursor = encode_cursor(seq, query)

    assert decode_cursor(cursor, query) == seq
    assert decode_cursor(cursor, JobQuery(tenant=DEFAULT_TENANT, statuses=(status,), limit=3)) == seq
    assert decode_cursor(cursor, JobQuery(tenant=DEFAULT_TENANT)) is None


@given(st.text())
def test_no_text_is_taken_for_a_cursor(text: str) -> None:
    assert decode_cursor(text, JobQuery(tenant=DEFAULT_TENANT)) is None


def test_a_job_id_is_a_uuid_in_any_of_its_usual_forms() -> None:
    canonical = "550e8400-e29b-41d4-a716-446655440000"

    assert parse_job_id(canonical) == canonical
    assert parse_job_id(canonical.upper()) == canonical
    assert parse_job_id(canonical.replace("-", "")) == canonical
    for text in ("", "x", canonical + "0", "{" + canonical + "}", canonical[:-1] + "g", "5-" + canonical):
        with pytest.raises(Invalid):
            parse_job_id(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("wait=100", 60), ("wait=1e3", 60), ("wait=6.4e%2B16", 60), ("wait=1e+2", 60), ("wait=0.25", 0.25)],
)
def test_seconds_are_cut_at_their_bound(text: str, expected: float) -> None:
    given = QueryParameters(text.encode(), LIST_EVENTS.parameters)

    assert given.seconds("wait", maximum=60) == expected
    given.check()


@pytest.mark.parametrize("text", ["x", "-1", "", "1e", "nan", "inf", "1" * 500])
def test_what_is_no_number_of_seconds_is_refused(text: str) -> None:
    given = QueryParameters(f"wait={text}".encode(), LIST_EVENTS.parameters)

    given.seconds("wait", maximum=60)
    with pytest.raises(Invalid):
        given.check()


@pytest.mark.parametrize("text", ["225", "225.0", "2.25e2", "225.000"])
def test_a_whole_number_may_be_written_with_a_fraction(text: str) -> None:
    assert parsed(f"limit={text}".encode())[0].limit == 225


@pytest.mark.parametrize(
    "text",
    ["2026-01-31T12:00:00Z", "2026-01-31t12:00:00z", "2026-12-31T23:59:60Z", "0001-01-01T00:00:00+23:59"],
)
def test_every_time_of_rfc_3339_is_taken(text: str) -> None:
    assert parsed(f"created_after={quote(text)}".encode())[0].after_us is not None


def test_unknown_parameters_are_all_named_or_all_ignored() -> None:
    query = b"limit=7&stats=x&foo=1&bar=2"

    assert set(wrong(query.decode())) == {"stats", "foo", "bar"}
    given = QueryParameters(query, LIST_JOBS.parameters, is_lenient=True)
    assert parse_query(given, DEFAULT_TENANT)[0].limit == 7


def test_a_handler_cannot_read_what_its_operation_does_not_declare() -> None:
    given = QueryParameters(b"", LIST_JOBS.parameters)

    with pytest.raises(KeyError):
        given.one("undeclared")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-99", (0, 100)),
        ("bytes=10-", (10, 990)),
        ("bytes=-5", (995, 5)),
        ("bytes=-5000", (0, 1000)),
        ("bytes=999-5000", (999, 1)),
        ("bytes=5-2", None),
        ("bytes=0-1,5-6", None),
        ("lines=1-2", None),
        ("bytes=-", None),
        ("bytes=x-y", None),
    ],
)
def test_ranges(header: str | None, expected: tuple[int, int] | None) -> None:
    assert parse_range(header, 1000) == expected


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-1", "bytes=5-9"])
def test_an_empty_file_is_sent_whole(header: str) -> None:
    assert parse_range(header, 0) is None


@pytest.mark.parametrize(("header", "size"), [("bytes=1000-", 1000), ("bytes=-0", 1000), ("bytes=1-", 1)])
def test_ranges_outside_of_the_file(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, size)


def test_of_very_many_violations_the_first_are_listed() -> None:
    given = QueryParameters(b"status=" + b",".join([b"x"] * 20_000), LIST_JOBS.parameters)
    for text in given.many("status"):
        for part in text.split(","):
            given.choice("status", JobStatus, part)
    with pytest.raises(Invalid) as caught:
        given.check()
    assert len(caught.value.violations) == MAX_VIOLATIONS
