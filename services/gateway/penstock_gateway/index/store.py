"""The query index on disk. Everything here blocks; `penstock_gateway.index.feeder` calls it from threads."""

import queue
import sqlite3
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final, cast

import msgspec
from msgspec import Struct

from penstock_gateway.index.plan import (
    Sizes,
    Statement,
    Window,
    count_statement,
    label_token,
    page_statement,
)
from penstock_gateway.index.schema import ANY, BLOCK_BITS, PRAGMAS, SCHEMA_VERSION, TABLES
from penstock_gateway.queries import MAX_SEQ, JobQuery, microseconds, text_of
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import STATUS_OF, JobStatus
from penstock_schemas.views import Job

READERS: Final = 2
"""Lists that are answered at the same time."""
_SIDE_FILES: Final = ("", "-wal", "-shm", "-journal")

_job_decoder = msgspec.json.Decoder(Job)
_encoder = msgspec.json.Encoder()


class Page(Struct, frozen=True):
    """One page of a list."""

    jobs: tuple[Job, ...]
    total: int
    next_below: int | None
    """The `below_seq` of the next page; `None` on the last one."""


class IndexStore:
    """The tables, with one connection that writes and some that read.

    Args:
        path: the database file. One that is missing, of another schema, or broken is made anew and empty.
        boot_id: names the run of the machine. A file that was not closed in another run may be torn, and is made anew.

    """

    def __init__(self, path: Path, *, boot_id: str) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _is_usable(path, boot_id):
            _remove(path)
        self._writer = _connect(path)
        if not _is_set_up(self._writer):
            self._writer.executescript(TABLES)
            self._set_meta(schema=SCHEMA_VERSION, position=0)
        self._set_meta(clean=0, boot_id=boot_id)
        self._point = _connect(path)
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        for _ in range(READERS):
            self._readers.put(_connect(path))

    def close(self) -> None:
        """Close every connection and note that the file is whole."""
        self._set_meta(clean=1)
        while not self._readers.empty():
            self._readers.get().close()
        self._point.close()
        self._writer.close()

    def destroy(self) -> None:
        """Close as far as possible, and remove the file."""
        while not self._readers.empty():
            self._readers.get().close()
        self._point.close()
        self._writer.close()
        _remove(self._path)

    @property
    def position(self) -> int:
        """The position of the jobs view up to which everything is here."""
        row = self._writer.execute("SELECT value FROM meta WHERE name = 'position'").fetchone()
        return int(row[0]) if row else 0

    def newest(self) -> Job | None:
        """Return the newest job."""
        row = self._point.execute("SELECT body FROM bodies ORDER BY created_seq DESC LIMIT 1").fetchone()
        return None if row is None else _job_decoder.decode(row[0])

    def get(self, job_id: JobId) -> Job | None:
        """Return a job as it was last applied."""
        row = self._point.execute(
            "SELECT b.body FROM jobs AS j CROSS JOIN bodies AS b ON b.created_seq = j.created_seq WHERE j.id = ?",
            (_id_bytes(job_id),),
        ).fetchone()
        return None if row is None else _job_decoder.decode(row[0])

    def apply(self, jobs: Sequence[Job], *, position: int | None = None) -> None:
        """Take jobs in, all or nothing. One that is here in the same or a later form is left as it is."""
        newest = {job.created_seq: job for job in sorted(jobs, key=lambda job: job.head.seq)}
        with _transaction(self._writer) as connection:
            known = _known(connection, tuple(newest))
            _insert(connection, [job for seq, job in newest.items() if seq not in known])
            _update(connection, newest, known)
            if position is not None:
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('position', ?)", (position,))

    def page(self, query: JobQuery) -> Page:
        """Return one page of a list, with the list's total at the same moment."""
        connection = self._readers.get()
        try:
            with _transaction(connection, mode="DEFERRED"):
                return _page(connection, query)
        finally:
            self._readers.put(connection)

    def explain(self, query: JobQuery) -> tuple[str, ...]:
        """Return how SQLite goes about a page of this list, for tests and measurements."""
        window, sizes = _window(self._point, query) or Window(), _sizes(self._point, query)
        statement = page_statement(query, window, sizes)
        rows = self._point.execute("EXPLAIN QUERY PLAN " + statement.sql, statement.values).fetchall()
        return tuple(str(row[3]) for row in rows)

    def _set_meta(self, **values: str | int) -> None:
        for name, value in values.items():
            self._writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


# Reading.


def _page(connection: sqlite3.Connection, query: JobQuery) -> Page:
    sizes = _sizes(connection, query)
    if min((sizes.columns, *sizes.labels)) == 0:
        return Page((), 0, None)
    window = _window(connection, query)
    if window is None:
        return Page((), 0, None)
    total = _total(connection, query, window, sizes)
    rows = _run(connection, page_statement(query, window, sizes)).fetchall() if total else []
    next_below = rows[query.limit - 1][0] if len(rows) > query.limit else None
    return Page(tuple(_job_decoder.decode(body) for _, body in rows[: query.limit]), total, next_below)


def _sizes(connection: sqlite3.Connection, query: JobQuery) -> Sizes:
    statuses = tuple(each.value for each in query.statuses) or (ANY,)
    columns = connection.execute(
        "SELECT coalesce(sum(total), 0) FROM totals WHERE tenant = ? AND pipeline = ? AND owner = ? "
        f"AND status IN ({', '.join('?' * len(statuses))})",
        (query.tenant, query.pipeline or ANY, query.owner or ANY, *statuses),
    ).fetchone()[0]
    labels = [
        connection.execute(
            "SELECT coalesce(sum(total), 0) FROM label_totals WHERE tenant = ? AND token = ?",
            (query.tenant, label_token(key, value)),
        ).fetchone()[0]
        for key, value in query.labels
    ]
    return Sizes(int(columns), tuple(map(int, labels)))


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


def _total(connection: sqlite3.Connection, query: JobQuery, window: Window, sizes: Sizes) -> int:
    is_timed = query.after_us is not None or query.before_us is not None
    by_columns = bool(query.statuses) or query.pipeline is not None or query.owner is not None
    if query.text is None and not is_timed:
        if not query.labels:
            return sizes.columns
        if len(query.labels) == 1 and not by_columns:
            return sizes.labels[0]
    if query.text is None and is_timed and not query.labels and not by_columns:
        return _total_in_time(connection, query)
    return int(_run(connection, count_statement(query, window, sizes)).fetchone()[0])


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
            "SELECT count(*) FROM jobs "
            "WHERE created_seq BETWEEN ? AND ? AND tenant = ? AND created_us > ? AND created_us < ?",
            (block << BLOCK_BITS, ((block + 1) << BLOCK_BITS) - 1, query.tenant, low_us, high_us),
        ).fetchone()[0]
    return int(total)


def _time_bounds(query: JobQuery) -> tuple[int, int]:
    return (
        -MAX_SEQ if query.after_us is None else query.after_us,
        MAX_SEQ if query.before_us is None else query.before_us,
    )


# Writing.


def _known(connection: sqlite3.Connection, keys: Sequence[int]) -> dict[int, tuple[int, str]]:
    """Return (seq, status) of those that are here."""
    rows = connection.execute(
        "SELECT created_seq, seq, status FROM jobs WHERE created_seq IN (SELECT value FROM json_each(?))",
        (_encoder.encode(keys).decode(),),
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def _insert(connection: sqlite3.Connection, jobs: Sequence[Job]) -> None:
    if not jobs:
        return
    connection.executemany(
        "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                job.created_seq,
                _id_bytes(job.id),
                job.head.seq,
                job.tenant,
                STATUS_OF[job.state].value,
                job.pipeline_name,
                job.owner,
                microseconds(job.created_at),
            )
            for job in jobs
        ],
    )
    connection.executemany(
        "INSERT INTO bodies VALUES (?, ?)", [(job.created_seq, _encoder.encode(job)) for job in jobs]
    )
    connection.executemany(
        "INSERT INTO words (rowid, text) VALUES (?, ?)", [(job.created_seq, text_of(job)) for job in jobs]
    )
    _insert_labels(connection, jobs)
    _count(connection, ((job, STATUS_OF[job.state], 1) for job in jobs))
    connection.executemany(
        "INSERT INTO blocks VALUES (?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET "
        "low_us = min(low_us, excluded.low_us), high_us = max(high_us, excluded.high_us), total = total + 1",
        [
            (job.tenant, job.created_seq >> BLOCK_BITS, microseconds(job.created_at), microseconds(job.created_at))
            for job in jobs
        ],
    )


def _insert_labels(connection: sqlite3.Connection, jobs: Sequence[Job]) -> None:
    rows = [
        (job.tenant, token, job.created_seq)
        for job in jobs
        for key, value in job.labels.items()
        for token in (label_token(key, None), label_token(key, value))
    ]
    connection.executemany("INSERT INTO labels VALUES (?, ?, ?)", rows)
    counts = Counter((tenant, token) for tenant, token, _ in rows)
    connection.executemany(
        "INSERT INTO label_totals VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET total = total + excluded.total",
        [(*key, count) for key, count in counts.items()],
    )


def _update(connection: sqlite3.Connection, newest: dict[int, Job], known: dict[int, tuple[int, str]]) -> None:
    later = [job for key, job in newest.items() if key in known and job.head.seq > known[key][0]]
    if not later:
        return
    moved = [job for job in later if STATUS_OF[job.state].value != known[job.created_seq][1]]
    connection.executemany(
        "UPDATE jobs SET seq = ? WHERE created_seq = ?", [(job.head.seq, job.created_seq) for job in later]
    )
    connection.executemany(
        "UPDATE jobs SET status = ? WHERE created_seq = ?",
        [(STATUS_OF[job.state].value, job.created_seq) for job in moved],
    )
    connection.executemany(
        "UPDATE bodies SET body = ? WHERE created_seq = ?", [(_encoder.encode(job), job.created_seq) for job in later]
    )
    to = ((job, STATUS_OF[job.state], 1) for job in moved)
    away = ((job, JobStatus(known[job.created_seq][1]), -1) for job in moved)
    _count(connection, chain(to, away))


def _count(connection: sqlite3.Connection, changes: Iterable[tuple[Job, JobStatus, int]]) -> None:
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for job, status, change in changes:
        for pipeline in (ANY, job.pipeline_name):
            for owner in (ANY, job.owner):
                counts[job.tenant, pipeline, owner, ANY] += change
                counts[job.tenant, pipeline, owner, status.value] += change
    connection.executemany(
        "INSERT INTO totals VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET total = total + excluded.total",
        [(*key, count) for key, count in counts.items() if count],
    )


# The file.


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    for pragma in PRAGMAS:
        connection.execute(pragma)
    return connection


@contextmanager
def _transaction(
    connection: sqlite3.Connection, *, mode: str = "IMMEDIATE"
) -> Generator[sqlite3.Connection, None, None]:
    connection.execute(f"BEGIN {mode}")
    try:
        yield connection
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _is_usable(path: Path, boot_id: str) -> bool:
    """Say whether a file can be resumed: of this schema, and whole."""
    if not path.exists():
        return False
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            meta = dict(
                cast("list[tuple[str, str | int]]", connection.execute("SELECT name, value FROM meta").fetchall())
            )
        finally:
            connection.close()
    except sqlite3.Error:
        return False
    return meta.get("schema") == SCHEMA_VERSION and (bool(meta.get("clean")) or meta.get("boot_id") == boot_id)


def _is_set_up(connection: sqlite3.Connection) -> bool:
    row = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
    return row is not None and connection.execute("SELECT 1 FROM meta WHERE name = 'schema'").fetchone() is not None


def _remove(path: Path) -> None:
    for suffix in _SIDE_FILES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _run(connection: sqlite3.Connection, statement: Statement) -> sqlite3.Cursor:
    return connection.execute(statement.sql, statement.values)


def _id_bytes(job_id: JobId) -> bytes:
    return bytes.fromhex(job_id.replace("-", ""))
