"""The SQL of a list: values never become a part of its text, and a page is one statement."""

import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from penstock_gateway.index.plan import (
    Sizes,
    Statement,
    Window,
    changed_statement,
    count_statement,
    label_token,
    page_statement,
    phrase,
    spans,
)
from penstock_gateway.index.queries import JobQuery
from penstock_schemas.ids import DEFAULT_TENANT

MARK = "'; DROP TABLE jobs; --"
TEXTS = st.none() | st.just(MARK)
TIMES = st.none() | st.integers(0, 9)
LABELS = st.lists(st.tuples(st.just(MARK), TEXTS), max_size=2).map(tuple)
QUERIES = st.builds(
    JobQuery,
    tenant=st.just(DEFAULT_TENANT),
    pipeline=TEXTS,
    owner=TEXTS,
    labels=LABELS,
    text=TEXTS,
    after_us=TIMES,
    before_us=TIMES,
    started_after_us=TIMES,
    ended_before_us=TIMES,
    below_seq=st.none() | st.integers(1, 9),
    up_to_seq=st.none() | st.integers(1, 9),
    is_oldest_first=st.booleans(),
    is_settled=st.booleans(),
)
NUMBERS = st.integers(0, 100_000)


@given(QUERIES, st.data(), st.booleans())
def test_a_value_is_never_a_part_of_the_sql(query: JobQuery, data: st.DataObject, is_sole_tenant: bool) -> None:
    numbers = [data.draw(NUMBERS) for _ in query.labels]
    sizes = Sizes(data.draw(NUMBERS), tuple(numbers), tuple(numbers), is_sole_tenant)
    statements = (
        page_statement(query, Window(), sizes),
        count_statement(query, Window(), sizes),
        changed_statement(query, 10),
    )
    for statement in statements:
        assert "DROP" not in statement.sql
        assert statement.sql.count("?") == len(statement.values)
        assert sqlite3.complete_statement(statement.sql + ";")
    assert_wanted(statements[0], query)


def assert_wanted(page: Statement, query: JobQuery) -> None:
    """Check that a page is ordered as it was requested and has one row more, which shows whether there is another."""
    assert page.sql.endswith("ASC" if query.is_oldest_first else "DESC")
    assert page.values[-1] == query.limit + 1


@given(st.text())
def test_a_phrase_is_one_literal_text(text: str) -> None:
    literal = phrase(text)
    assert literal[0] == literal[-1] == '"'
    assert literal[1:-1].replace('""', "") == text.replace('"', "")
    assert literal[1:-1].count('"') == 2 * text.count('"')


def test_a_label_has_a_form_for_any_value() -> None:
    assert {label_token("a", None), label_token("a", ""), label_token("a", "b")} == {"a", "a:", "a:b"}


@given(after_us=TIMES, before_us=TIMES)
def test_a_window_of_time_is_open_where_no_bound_is_set(after_us: int | None, before_us: int | None) -> None:
    windows = spans(JobQuery(tenant=DEFAULT_TENANT, started_after_us=after_us, started_before_us=before_us))
    if after_us is None and before_us is None:
        assert windows == ()
        return
    (window,) = windows
    assert window.column == "started_us"
    assert after_us is None or window.after_us == after_us
    assert before_us is None or window.before_us == before_us
    assert after_us is not None or window.after_us < 0
