"""Reading the query index: one page of a list, within one transaction."""

import sqlite3

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from penstock_gateway.index.counts import Counts
from penstock_gateway.index.job_status import DetailedStatus
from penstock_gateway.index.plan import (
    Sizes,
    Statement,
    Window,
    changed_statement,
    count_statement,
    label_token,
    page_statement,
    spans,
)
from penstock_gateway.index.queries import JobQuery
from penstock_gateway.index.schema import ANY, BLOCK_BITS
from penstock_schemas.ids import TenantId
from penstock_schemas.views import Job

_job_decoder = msgspec.json.Decoder(Job)


class Page(Struct, frozen=True):
    """One page of a list."""

    jobs: tuple[Job, ...]
    total: int
    """The number of jobs that pass the filters, over all pages; a lower bound when the total was not requested."""
    next_below: int | None
    """The `below_seq` of the next page, or its `above_seq` with the oldest first; `None` on the last one."""


def read_page(connection: sqlite3.Connection, query: JobQuery, counts: Counts) -> Page:
    """Return one page of a list, with its total."""
    sizes = _sizes(connection, query)
    if min((sizes.columns, *sizes.labels)) == 0:
        return Page((), 0, None)
    window = _window(connection, query)
    if window is None:
        return Page((), 0, None)
    total = _known_total(connection, query, sizes)
    if total is None:
        total = counts.total(connection, query, window, sizes) if query.is_counted else sizes.columns
    rows = _run(connection, page_statement(query, window, sizes)).fetchall() if total else []
    next_below = rows[query.limit - 1][0] if len(rows) > query.limit else None
    return Page(tuple(_job_decoder.decode(body) for _, body in rows[: query.limit]), total, next_below)


def read_settled(connection: sqlite3.Connection, query: JobQuery, counts: Counts) -> Page:
    """Return the jobs of one page that have not changed since the query's `up_to_seq`.

    The total is that of all jobs which were there then, as they are now.
    """
    page = read_page(connection, replace(query, is_settled=True), counts)
    if not query.is_counted or query.up_to_seq is None:
        return page
    later = Window(low=query.up_to_seq + 1)
    newer = _run(connection, count_statement(query, later, _sizes(connection, query))).fetchone()[0]
    return replace(page, total=page.total - int(newer))


def read_changed(connection: sqlite3.Connection, query: JobQuery, limit: int) -> tuple[Job, ...]:
    """Return jobs that changed after the query's `up_to_seq` and may have been in its list then, in its order."""
    rows = _run(connection, changed_statement(query, limit))
    return tuple(_job_decoder.decode(body) for (body,) in rows)


def _sizes(connection: sqlite3.Connection, query: JobQuery) -> Sizes:
    detailed_statuses = tuple(item.value for item in query.wanted) or (ANY,)
    marks = ", ".join("?" * len(detailed_statuses))
    columns = connection.execute(
        "SELECT coalesce(sum(total), 0) FROM totals "
        f"WHERE tenant = ? AND pipeline = ? AND owner = ? AND detailed_status IN ({marks})",
        (query.tenant, query.pipeline or ANY, query.owner or ANY, *detailed_statuses),
    ).fetchone()[0]
    labels = tuple(_label_size(connection, query, label, detailed_statuses) for label in query.labels)
    unfiltered = tuple(_label_size(connection, query, label, (ANY,)) for label in query.labels)
    others = connection.execute(
        "SELECT 1 FROM totals WHERE tenant > ?1 UNION ALL SELECT 1 FROM totals WHERE tenant < ?1 LIMIT 1",
        (query.tenant,),
    ).fetchone()
    return Sizes(int(columns), labels, unfiltered, others is None)


def _label_size(
    connection: sqlite3.Connection, query: JobQuery, label: tuple[str, str | None], detailed_statuses: tuple[str, ...]
) -> int:
    row = connection.execute(
        "SELECT coalesce(sum(total), 0) FROM label_totals "
        f"WHERE tenant = ? AND token = ? AND detailed_status IN ({', '.join('?' * len(detailed_statuses))})",
        (query.tenant, label_token(*label), *detailed_statuses),
    ).fetchone()
    return int(row[0])


def _window(connection: sqlite3.Connection, query: JobQuery) -> Window | None:
    """Return the stretch of the log outside of which no job is in the query's windows of time."""
    wanted = spans(query)
    if not wanted:
        return Window()
    overlapping = "".join(f" AND {span.column}_high > ? AND {span.column}_low < ?" for span in wanted)
    low, high = connection.execute(
        "SELECT min(block), max(block) FROM blocks WHERE tenant = ?" + overlapping,
        (query.tenant, *(bound for span in wanted for bound in (span.after_us, span.before_us))),
    ).fetchone()
    if low is None:
        return None
    return Window(low << BLOCK_BITS, ((high + 1) << BLOCK_BITS) - 1)


def _known_total(connection: sqlite3.Connection, query: JobQuery, sizes: Sizes) -> int | None:
    """Return the total where counters know it."""
    timed = spans(query)
    if query.text is not None or any(span.column != "created_us" for span in timed):
        return None
    by_name = query.pipeline is not None or query.owner is not None
    if timed:
        return None if query.labels or by_name or query.wanted else _total_in_time(connection, query)
    if not query.labels:
        return sizes.columns
    return sizes.labels[0] if len(query.labels) == 1 and not by_name else None


def _total_in_time(connection: sqlite3.Connection, query: JobQuery) -> int:
    """Sum the stretches that are wholly within the window of time, and count within those at its ends."""
    (span,) = spans(query)
    low_us, high_us = span.after_us, span.before_us
    rows = connection.execute(
        "SELECT block, total, created_us_low > ?1 AND created_us_high < ?2 FROM blocks "
        "WHERE tenant = ?3 AND created_us_high > ?1 AND created_us_low < ?2",
        (low_us, high_us, query.tenant),
    ).fetchall()
    total = sum(row[1] for row in rows if row[2])
    for block in (row[0] for row in rows if not row[2]):
        total += connection.execute(
            "SELECT count(*) FROM jobs NOT INDEXED "
            "WHERE created_seq BETWEEN ? AND ? AND tenant = ? AND created_us > ? AND created_us < ?",
            (block << BLOCK_BITS, ((block + 1) << BLOCK_BITS) - 1, query.tenant, low_us, high_us),
        ).fetchone()[0]
    return int(total)


def read_counts(connection: sqlite3.Connection, tenant: TenantId, owner: str | None) -> dict[DetailedStatus, int]:
    """Return the number of jobs of a tenant, or of one owner in it, by detailed status."""
    rows = connection.execute(
        "SELECT detailed_status, total FROM totals "
        "WHERE tenant = ? AND pipeline = ? AND owner = ? AND detailed_status <> ?",
        (tenant, ANY, owner or ANY, ANY),
    ).fetchall()
    return {DetailedStatus(detailed_status): int(total) for detailed_status, total in rows}


def explain_page(connection: sqlite3.Connection, query: JobQuery) -> tuple[str, ...]:
    """Return how SQLite goes about a page of this list, for tests and measurements."""
    statement = page_statement(query, _window(connection, query) or Window(), _sizes(connection, query))
    rows = connection.execute("EXPLAIN QUERY PLAN " + statement.sql, statement.values).fetchall()
    return tuple(str(row[3]) for row in rows)


def _run(connection: sqlite3.Connection, statement: Statement) -> sqlite3.Cursor:
    return connection.execute(statement.sql, statement.values)
