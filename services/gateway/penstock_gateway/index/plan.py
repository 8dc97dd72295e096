"""From a list's filters to SQL: which table leads, and what is checked on the way."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from penstock_gateway.index.job_status import DetailedStatus
from penstock_gateway.index.queries import MAX_SEQ, JobQuery

MIN_TRIGRAM: Final = 3
"""Shorter texts are looked for row by row."""
SMALL: Final = 2000
"""A filter that leaves no more than this many jobs leads in place of the text index."""

Value = str | int
Values = tuple[Value, ...]


class Window(Struct, frozen=True):
    """The part of the log in which the list's jobs begin; both ends included."""

    low: int = 0
    high: int = MAX_SEQ


class Span(Struct, frozen=True):
    """The window of time for one of a job's times; both ends excluded."""

    column: str
    after_us: int
    before_us: int


class Sizes(Struct, frozen=True):
    """How many jobs each filter leaves, as the counters know it."""

    columns: int
    """By pipeline, owner and detailed status together."""
    labels: tuple[int, ...]
    """By each label and detailed status together, in the order of the query."""
    spans: tuple[int, ...]
    """By each label alone: what has to be looked through when it leads."""
    is_sole_tenant: bool
    """Whether every job there is belongs to the query's tenant."""


class Statement(Struct, frozen=True):
    """SQL with its values."""

    sql: str
    values: Values


def page_statement(query: JobQuery, window: Window, sizes: Sizes) -> Statement:
    """Return the SQL for (created_seq, body) of one page and one row more, in the order of the list."""
    high = window.high if query.below_seq is None else min(window.high, query.below_seq - 1)
    high = high if query.up_to_seq is None else min(high, query.up_to_seq)
    low = window.low if query.above_seq is None else max(window.low, query.above_seq + 1)
    keys = _keys(query, Window(low, high), sizes)
    order = "ASC" if query.is_oldest_first else "DESC"
    sql = (
        f"SELECT p.created_seq, b.body FROM ({keys.sql} ORDER BY created_seq {order} LIMIT ?) AS p "
        f"CROSS JOIN bodies AS b ON b.created_seq = p.created_seq ORDER BY p.created_seq {order}"
    )
    return Statement(sql, (*keys.values, query.limit + 1))


def changed_statement(query: JobQuery, limit: int) -> Statement:
    """Return the SQL for the bodies of jobs that changed after `up_to_seq`, in the order of the list.

    They fit the filters on what never changes: their status, start and end are not checked.
    """
    fixed = replace(
        query,
        statuses=(),
        detailed_statuses=(),
        started_after_us=None,
        started_before_us=None,
        ended_after_us=None,
        ended_before_us=None,
        is_settled=False,
    )
    moment = MAX_SEQ if query.up_to_seq is None else query.up_to_seq
    high = moment if query.below_seq is None else min(moment, query.below_seq - 1)
    low = 0 if query.above_seq is None else query.above_seq + 1
    rest = _join(_columns(fixed, with_tenant=True), _times(fixed), _labels(fixed, skip=None), _short_text(fixed))
    sql = (
        "SELECT b.body FROM jobs AS j INDEXED BY by_seq CROSS JOIN bodies AS b ON b.created_seq = j.created_seq "
        f"WHERE j.seq > ? AND j.created_seq BETWEEN ? AND ?{rest.sql} "
        f"ORDER BY j.created_seq {'ASC' if query.is_oldest_first else 'DESC'} LIMIT ?"
    )
    return Statement(sql, (moment, low, high, *rest.values, limit))


def count_statement(query: JobQuery, window: Window, sizes: Sizes) -> Statement:
    """Return the SQL for the number of jobs that the filters leave, where no counter knows it."""
    keys = _keys(query, window, sizes)
    return Statement(f"SELECT count(*) FROM ({keys.sql})", keys.values)


def spans(query: JobQuery) -> tuple[Span, ...]:
    """Return the windows of time of the query."""
    bounds = (
        ("created_us", query.after_us, query.before_us),
        ("started_us", query.started_after_us, query.started_before_us),
        ("ended_us", query.ended_after_us, query.ended_before_us),
    )
    return tuple(
        Span(column, -MAX_SEQ if after_us is None else after_us, MAX_SEQ if before_us is None else before_us)
        for column, after_us, before_us in bounds
        if after_us is not None or before_us is not None
    )


def label_token(key: str, value: str | None) -> str:
    """Return the form of a label in the index."""
    return key if value is None else f"{key}:{value}"


def phrase(text: str) -> str:
    """Return the text index's expression for a literal text."""
    return '"' + text.replace('"', '""') + '"'


def _keys(query: JobQuery, window: Window, sizes: Sizes) -> Statement:
    """Return the SQL for the keys, in the order of the list, from the leading index."""
    smallest = min((sizes.columns, *sizes.spans))
    if query.text is not None and len(query.text) >= MIN_TRIGRAM and smallest > SMALL:
        return _led_by_text(query, query.text, window, is_sole_tenant=sizes.is_sole_tenant)
    if sizes.spans and min(sizes.spans) < sizes.columns:
        return _led_by_label(query, window, sizes.spans.index(min(sizes.spans)))
    return _led_by_columns(query, window)


def _led_by_text(query: JobQuery, text: str, window: Window, *, is_sole_tenant: bool) -> Statement:
    rest = _join(_columns(query, with_tenant=not is_sole_tenant), _times(query), _labels(query, skip=None))
    jobs = " CROSS JOIN jobs AS j ON j.created_seq = w.rowid" if rest.sql else ""
    sql = (
        f"SELECT w.rowid AS created_seq FROM words AS w{jobs} "
        "WHERE w.words MATCH ? AND w.rowid BETWEEN ? AND ?" + rest.sql
    )
    return Statement(sql, (phrase(text), window.low, window.high, *rest.values))


def _led_by_label(query: JobQuery, window: Window, leading: int) -> Statement:
    key, value = query.labels[leading]
    rest = _join(_columns(query), _times(query), _labels(query, skip=leading), _short_text(query))
    jobs = " CROSS JOIN jobs AS j ON j.created_seq = l.created_seq" if rest.sql else ""
    sql = (
        f"SELECT l.created_seq AS created_seq FROM labels AS l{jobs} "
        "WHERE l.tenant = ? AND l.token = ? AND l.created_seq BETWEEN ? AND ?" + rest.sql
    )
    return Statement(sql, (query.tenant, label_token(key, value), window.low, window.high, *rest.values))


def _led_by_columns(query: JobQuery, window: Window) -> Statement:
    """Merge one ordered stretch of an index for each detailed status."""
    named: list[tuple[str, str]] = []
    if query.pipeline is not None:
        named.append(("pipeline", query.pipeline))
    if query.owner is not None:
        named.append(("owner", query.owner))
    index = "_".join(["by", *(name for name, _ in named)]) if named else "by_detailed_status"
    equal = "".join(f" AND j.{name} = ?" for name, _ in named)
    rest = _join(_times(query), _labels(query, skip=None), _short_text(query))
    stretch = (
        f"SELECT j.created_seq AS created_seq FROM jobs AS j INDEXED BY {index} "
        f"WHERE j.tenant = ?{equal} AND j.detailed_status = ? AND j.created_seq BETWEEN ? AND ?{rest.sql}"
    )
    detailed_statuses = query.wanted or tuple(DetailedStatus)
    values: list[Value] = []
    for detailed_status in detailed_statuses:
        values.extend((query.tenant, *(value for _, value in named), detailed_status.value, window.low, window.high))
        values.extend(rest.values)
    return Statement(" UNION ALL ".join([stretch] * len(detailed_statuses)), tuple(values))


def _columns(query: JobQuery, *, with_tenant: bool = False) -> Statement:
    sql, values = "", list[str]()
    if with_tenant:
        sql += " AND j.tenant = ?"
        values.append(query.tenant)
    if query.pipeline is not None:
        sql += " AND j.pipeline = ?"
        values.append(query.pipeline)
    if query.owner is not None:
        sql += " AND j.owner = ?"
        values.append(query.owner)
    if query.wanted:
        sql += f" AND j.detailed_status IN ({', '.join('?' * len(query.wanted))})"
        values.extend(item.value for item in query.wanted)
    return Statement(sql, tuple(values))


def _times(query: JobQuery) -> Statement:
    sql, values = "", list[int]()
    if query.is_settled and query.up_to_seq is not None:
        sql += " AND j.seq <= ?"
        values.append(query.up_to_seq)
    for span in spans(query):
        sql += f" AND j.{span.column} > ? AND j.{span.column} < ?"
        values.extend((span.after_us, span.before_us))
    return Statement(sql, tuple(values))


def _labels(query: JobQuery, *, skip: int | None) -> Statement:
    condition = (
        " AND EXISTS (SELECT 1 FROM labels AS x WHERE x.tenant = ? AND x.token = ? AND x.created_seq = j.created_seq)"
    )
    wanted = [label for place, label in enumerate(query.labels) if place != skip]
    values = tuple(value for label in wanted for value in (str(query.tenant), label_token(*label)))
    return Statement(condition * len(wanted), values)


def _short_text(query: JobQuery) -> Statement:
    if query.text is None:
        return Statement("", ())
    return Statement(
        " AND EXISTS (SELECT 1 FROM words AS w WHERE w.rowid = j.created_seq AND instr(w.text, ?) > 0)", (query.text,)
    )


def _join(*statements: Statement) -> Statement:
    return Statement(
        "".join(statement.sql for statement in statements),
        tuple(value for statement in statements for value in statement.values),
    )
