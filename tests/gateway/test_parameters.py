"""Query strings, cursors and ranges."""

from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_gateway.parameters import MAX_VIOLATIONS, Parameters, parse_job_id
from penstock_gateway.problems import Invalid, RangeNotSatisfiable
from penstock_gateway.queries import JobQuery, decode_cursor, encode_cursor, microseconds, parse_query
from penstock_gateway.ranges import parse_range
from penstock_schemas.ids import DEFAULT_TENANT, TenantId
from penstock_schemas.jobs import JobStatus


def wrong(query: str) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        parse_query(query.encode(), DEFAULT_TENANT)
    return {each.pointer: each.detail for each in caught.value.violations}


def test_every_filter_is_read() -> None:
    query, min_seq = parse_query(
        b"status=failed&status=pending,running&pipeline=p&owner=ada&label=a:b:c&label=k&q=Stra%C3%9Fe&limit=7"
        b"&created_after=2026-01-01T00:00:00Z&created_before=2026-01-02T01:00:00%2B01:00&min_seq=9&tenant=lab",
        DEFAULT_TENANT,
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
    query, _ = parse_query(b"created_after=2026-01-01T01:00:00+01:00", DEFAULT_TENANT)

    assert query.after_us == microseconds(datetime(2026, 1, 1, tzinfo=UTC))


def test_every_wrong_parameter_is_said_at_once() -> None:
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


@pytest.mark.parametrize("text", ["0", "1001", "-1", "x", "1.5", "1e3", "", "٣"])
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


def test_seconds_are_cut_at_their_bound() -> None:
    given = Parameters(b"wait=100&other=x", ("wait", "other"))

    assert given.seconds("wait", high=60) == 60
    assert given.seconds("none", high=60) == 0
    given.seconds("other", high=60)
    with pytest.raises(Invalid):
        given.check()


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


@pytest.mark.parametrize(("header", "size"), [("bytes=1000-", 1000), ("bytes=-0", 1000), ("bytes=0-", 0)])
def test_ranges_outside_of_the_file(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, size)


def test_of_very_many_violations_the_first_are_listed() -> None:
    given = Parameters(b"status=" + b",".join([b"x"] * 20_000), ("status",))
    for text in given.many("status"):
        for part in text.split(","):
            given.choice("status", JobStatus, part)
    with pytest.raises(Invalid) as caught:
        given.check()
    assert len(caught.value.violations) == MAX_VIOLATIONS
