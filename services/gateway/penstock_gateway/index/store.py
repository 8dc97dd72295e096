"""The query index on disk. Everything here blocks; `penstock_gateway.index.index` calls it from threads."""

import queue
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import msgspec

from penstock_gateway.index.counts import Counts
from penstock_gateway.index.job_status import DetailedStatus
from penstock_gateway.index.point_in_time import MAX_CHANGED, Candidates
from penstock_gateway.index.queries import PARENT, JobQuery
from penstock_gateway.index.reading import Page, explain_page, read_changed, read_counts, read_page, read_settled
from penstock_gateway.index.schema import HIDDEN, INDICES, PRAGMAS, SCHEMA_VERSION, TABLES
from penstock_gateway.index.writing import write_jobs
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.views import Job

READERS: Final = 2
"""Lists that are answered at the same time."""
_SIDE_FILES: Final = ("", "-wal", "-shm", "-journal")

_job_decoder = msgspec.json.Decoder(Job)


class IndexStore:
    """The tables, with one connection that writes and some that read.

    Args:
        path: the database file. One that is missing, of another schema, or broken is replaced by an empty one.
        boot_id: identifies the boot of the machine. A file that was not closed before the last boot is replaced.

    """

    def __init__(self, path: Path, *, boot_id: str) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _is_usable(path, boot_id):
            _remove(path)
        self._writer = _connect(path)
        if not _is_set_up(self._writer):
            self._writer.executescript(TABLES)
            self._set_meta(schema=SCHEMA_VERSION, position=0, late=0)
        self._set_meta(clean=0, boot_id=boot_id)
        self._point = _connect(path)
        self._counts = Counts()
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
            (bytes.fromhex(job_id.replace("-", "")),),  # as `id_bytes`, without a call on the path of each request
        ).fetchone()
        return None if row is None else _job_decoder.decode(row[0])

    def apply(self, jobs: Sequence[Job], *, position: int | None = None) -> None:
        """Take jobs in, all or nothing. One that is here in the same or a later form is left as it is."""
        with _transaction(self._writer) as connection:
            write_jobs(connection, jobs)
            if position is not None:
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('position', ?)", (position,))

    def complete(self) -> None:
        """Build the indices that lists need, where a new file does not have them yet."""
        for statement in INDICES:
            self._writer.execute(statement)

    def page(self, query: JobQuery) -> Page:
        """Return one page of a list, with the list's total at the same moment."""
        connection = self._readers.get()
        try:
            with _transaction(connection, mode="DEFERRED"):
                return read_page(connection, query, self._counts)
        finally:
            self._readers.put(connection)

    def candidates(self, query: JobQuery, *, limit: int = MAX_CHANGED) -> Candidates:
        """Return what may be on a page of a list as it was at `up_to_seq`, all of it at the same moment."""
        connection = self._readers.get()
        try:
            with _transaction(connection, mode="DEFERRED"):
                settled = read_settled(connection, query, self._counts)
                changed = read_changed(connection, query, limit + 1)
        finally:
            self._readers.put(connection)
        return Candidates(settled, changed[:limit], len(changed) > limit)

    def counts(self, tenant: TenantId, owner: str | None) -> dict[DetailedStatus, int]:
        """Return the number of jobs of a tenant, or of one owner in it, by detailed status."""
        return read_counts(self._point, tenant, owner)

    def ended_before(self, detailed_status: DetailedStatus, before_us: int, *, limit: int) -> tuple[Job, ...]:
        """Return jobs of every tenant with this status that ended earlier, in the order of their ends."""
        connection = self._readers.get()
        try:
            rows = connection.execute(
                "SELECT b.body FROM jobs AS j CROSS JOIN bodies AS b ON b.created_seq = j.created_seq "
                "WHERE j.detailed_status = ? AND j.tenant <> ? AND j.ended_us < ? ORDER BY j.ended_us LIMIT ?",
                (detailed_status.value, HIDDEN, before_us, limit),
            ).fetchall()
        finally:
            self._readers.put(connection)
        return tuple(_job_decoder.decode(body) for (body,) in rows)

    def children(self, tenant: TenantId, parent: JobId, *, limit: int) -> tuple[Job, ...]:
        """Return the newest jobs that retry or repeat a job."""
        rows = self._point.execute(
            "SELECT b.body FROM labels AS l CROSS JOIN bodies AS b ON b.created_seq = l.created_seq "
            "WHERE l.tenant = ? AND l.token = ? ORDER BY l.created_seq DESC LIMIT ?",
            (tenant, f"{PARENT}:{parent}", limit),
        )
        return tuple(_job_decoder.decode(body) for (body,) in rows)

    def has_bundle(self, digest: int) -> bool:
        """Return whether a job that is not deleted may have the bundle of this digest."""
        return self._point.execute("SELECT 1 FROM bundles WHERE digest = ?", (digest,)).fetchone() is not None

    def explain(self, query: JobQuery) -> tuple[str, ...]:
        """Return how SQLite goes about a page of this list, for tests and measurements."""
        return explain_page(self._point, query)

    def _set_meta(self, **values: str | int) -> None:
        for name, value in values.items():
            self._writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


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
    """Return whether a file can be used again: it has this schema and is complete."""
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
