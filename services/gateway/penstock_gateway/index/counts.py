"""Totals that no counter knows, remembered, so that turning pages and looking again count only what came since."""

import sqlite3
import threading
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from penstock_gateway.index.plan import Sizes, Window, count_statement, spans
from penstock_gateway.index.queries import JobQuery

MAX_REMEMBERED: Final = 256


class Counted(Struct, frozen=True):
    """A total as it was once."""

    total: int
    last: int
    """The newest job's key then."""
    late: int
    """How often jobs had come that were not the newest."""


class Counts:
    """Counts what a query leaves.

    Everything except a job's status, start and end is fixed when it is submitted, so old counts stay right.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[JobQuery, Counted] = {}

    def total(self, connection: sqlite3.Connection, query: JobQuery, window: Window, sizes: Sizes) -> int:
        """Return the number of jobs that the filters leave, within the connection's transaction."""
        if query.wanted or any(span.column != "created_us" for span in spans(query)):
            return _count(connection, query, window, sizes)
        last = int(connection.execute("SELECT coalesce(max(created_seq), 0) FROM jobs").fetchone()[0])
        late = int(connection.execute("SELECT value FROM meta WHERE name = 'late'").fetchone()[0])
        key = replace(query, limit=0, below_seq=None, above_seq=None, up_to_seq=None, is_settled=False)
        with self._lock:
            known = self._counted.pop(key, None)
        if known is not None and known.late == late and known.last <= last:
            newer = Window(max(window.low, known.last + 1), window.high)
            total = known.total + (_count(connection, query, newer, sizes) if known.last < last else 0)
        else:
            total = _count(connection, query, window, sizes)
        with self._lock:
            while len(self._counted) >= MAX_REMEMBERED:
                del self._counted[next(iter(self._counted))]
            self._counted[key] = Counted(total, last, late)
        return total


def _count(connection: sqlite3.Connection, query: JobQuery, window: Window, sizes: Sizes) -> int:
    statement = count_statement(replace(query, is_settled=False), window, sizes)
    return int(connection.execute(statement.sql, statement.values).fetchone()[0])
