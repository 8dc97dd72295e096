"""Reading the query index: one page of a list, within one transaction."""

import sqlite3

import msgspec
from msgspec import Struct

from penstock_gateway.index.counts import Counts
from penstock_gateway.index.plan import Sizes, Statement, Window, label_token, page_statement
from penstock_gateway.index.schema import ANY, BLOCK_BITS
from penstock_gateway.queries import MAX_SEQ, JobQuery
from penstock_schemas.views import Job

_job_decoder = msgspec.json.Decoder(Job)


class Page(Struct, frozen=True):
    """One page of a list."""

    jobs: tuple[Job, ...]
    total: int
    next_below: int | None
    """The `below_seq` of the next page; `None` on the last one."""


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
        total = counts.total(connection, query, window, sizes)
    rows = _run(connection, page_statement(query, window, sizes)).fetchall() if total else []
    next_below = rows[query.limit - 1][0] if len(rows) > query.limit else None
    return Page(tuple(_job_decoder.decode(body) for _, body in rows[: query.limit]), total, next_below)


def _sizes(connection: sqlite3.Connection, query: JobQuery) -> Sizes:
    statuses = tuple(each.value for each in query.statuses) or (ANY,)
    marks = ", ".join("?" * len(statuses))
    columns = connection.execute(
        "SELECT coalesce(sum(total), 0) FROM totals "
        f"WHERE tenant = ? AND pipeline = ? AND owner = ? AND status IN ({marks})",
        (query.tenant, query.pipeline or ANY, query.owner or ANY, *statuses),
    ).fetchone()[0]
    labels = tuple(_label_size(connection, query, label, statuses) for label in query.labels)
    spans = tuple(_label_size(connection, query, label, (ANY,)) for label in query.labels)
    others = connection.execute(
        "SELECT 1 FROM totals WHERE tenant > ?1 UNION ALL SELECT 1 FROM totals WHERE tenant < ?1 LIMIT 1",
        (query.tenant,),
    ).fetchone()
    return Sizes(int(columns), labels, spans, others is None)


def _label_size(
    connection: sqlite3.Connection, query: JobQuery, label: tuple[str, str | None], statuses: tuple[str, ...]
) -> int:
    row = connection.execute(
        "SELECT coalesce(sum(total), 0) FROM label_totals "
        f"WHERE tenant = ? AND token = ? AND status IN ({', '.join('?' * len(statuses))})",
        (query.tenant, label_token(*label), *statuses),
    ).fetchone()
    return int(row[0])


def _window(connection: sqlite3.Connection, query: JobQuery) -> Window | None:
    """Return the stretch of the log outside of which nothing lies in the query's window of time."""
    if query.after_us is None and query.before_us is None:
        return Window()
    low, high = connection.execute(
        "SELECT min(block), max(block) FROM blocks WHERE tenant = ? AND high_us > ? AND low_us < ?",
        (query.tenant, *_time_bounds(query)),
    ).fetchone()
    if low is None:
        return None
    return Window(low << BLOCK_BITS, ((high + 1) << BLOCK_BITS) - 1)


def _known_total(connection: sqlite3.Connection, query: JobQuery, sizes: Sizes) -> int | None:
    """Return the total where counters know it."""
    if query.text is not None:
        return None
    is_timed = query.after_us is not None or query.before_us is not None
    by_name = query.pipeline is not None or query.owner is not None
    if is_timed:
        return None if query.labels or by_name or query.statuses else _total_in_time(connection, query)
    if not query.labels:
        return sizes.columns
    return sizes.labels[0] if len(query.labels) == 1 and not by_name else None


def _total_in_time(connection: sqlite3.Connection, query: JobQuery) -> int:
    """Sum the stretches that lie wholly within the window of time, and look into those at its ends."""
    low_us, high_us = _time_bounds(query)
    rows = connection.execute(
        "SELECT block, total, low_us > ?1 AND high_us < ?2 FROM blocks "
        "WHERE tenant = ?3 AND high_us > ?1 AND low_us < ?2",
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


def _time_bounds(query: JobQuery) -> tuple[int, int]:
    return (
        -MAX_SEQ if query.after_us is None else query.after_us,
        MAX_SEQ if query.before_us is None else query.before_us,
    )


def explain_page(connection: sqlite3.Connection, query: JobQuery) -> tuple[str, ...]:
    """Return how SQLite goes about a page of this list, for tests and measurements."""
    statement = page_statement(query, _window(connection, query) or Window(), _sizes(connection, query))
    rows = connection.execute("EXPLAIN QUERY PLAN " + statement.sql, statement.values).fetchall()
    return tuple(str(row[3]) for row in rows)


def _run(connection: sqlite3.Connection, statement: Statement) -> sqlite3.Cursor:
    return connection.execute(statement.sql, statement.values)
