"""Writing the query index: jobs in any order, each as often as it likes, within one transaction."""

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain, product
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from penstock_gateway.index.job_status import detailed_status
from penstock_gateway.index.plan import label_token
from penstock_gateway.index.queries import PARENT, WORKFLOW_URL, id_bytes, microseconds, text_of
from penstock_gateway.index.schema import ANY, BLOCK_BITS, HIDDEN
from penstock_gateway.index.workflow_urls import workflow_url_of
from penstock_schemas.jobs import SourceKind
from penstock_schemas.views import Job

MAX_VARIABLES: Final = 1_000
"""In one statement; SQLite takes 32,766."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Job)


class _Entry(NamedTuple):
    """A job that enters or leaves the counters."""

    job: Job
    status: str
    """Its detailed status."""
    change: int
    """1 when it enters, -1 when it leaves."""
    tokens: tuple[str, ...]


class _Known(NamedTuple):
    """A job that is in the index."""

    seq: int
    status: str
    """Its detailed status."""
    is_hidden: bool
    """It was deleted."""


def write_jobs(connection: sqlite3.Connection, jobs: Sequence[Job]) -> None:
    """Take jobs in. One that is there in the same or a later form is left as it is."""
    newest = {job.created_seq: job for job in _placed(connection, jobs)}
    known = _known(connection, tuple(newest))
    undone = [seq for seq, row in known.items() if row.is_hidden and _is_undone(newest[seq], row)]
    _forget(connection, undone)
    for seq in undone:
        del known[seq]
    new = [job for seq, job in newest.items() if seq not in known]
    later = [job for seq, job in newest.items() if seq in known and job.head.seq > known[seq].seq]
    _insert(connection, [job for job in new if job.deleted_at is None])
    _update(connection, [job for job in later if job.deleted_at is None], known)
    _hide(connection, [job for job in later if job.deleted_at is not None])
    _keep_hidden(connection, [job for job in (*new, *later) if job.deleted_at is not None])


def _is_undone(job: Job, row: _Known) -> bool:
    """Return whether a deleted job is deleted no more, because the log cannot read its deletion: it is listed again."""
    return job.deleted_at is None and job.head.seq > row.seq


def _forget(connection: sqlite3.Connection, keys: Sequence[int]) -> None:
    """Remove what was kept of deleted jobs."""
    connection.executemany("DELETE FROM jobs WHERE created_seq = ?", [(key,) for key in keys])
    connection.executemany("DELETE FROM bodies WHERE created_seq = ?", [(key,) for key in keys])


def _placed(connection: sqlite3.Connection, jobs: Sequence[Job]) -> list[Job]:
    """Return jobs in the order of their changes, each with one `created_seq` for ever.

    A job whose first event became unreadable begins later in the log than when it was taken in.
    """
    places: dict[bytes, int] = {}
    for first in range(0, len(jobs), MAX_VARIABLES):
        ids = [id_bytes(job.id) for job in jobs[first : first + MAX_VARIABLES]]
        marks = ",".join("?" * len(ids))
        places.update(connection.execute(f"SELECT id, created_seq FROM jobs WHERE id IN ({marks})", ids))
    placed: list[Job] = []
    for job in sorted(jobs, key=lambda job: job.head.seq):
        seq = places.setdefault(id_bytes(job.id), job.created_seq)
        placed.append(job if seq == job.created_seq else replace(job, created_seq=seq))
    return placed


def bundle_digest(key: str) -> int:
    """Return what the index keeps of a bundle's key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)


def _known(connection: sqlite3.Connection, keys: Sequence[int]) -> dict[int, _Known]:
    """Return those that are here."""
    rows = connection.execute(
        "SELECT created_seq, seq, detailed_status, tenant = ? FROM jobs "
        "WHERE created_seq IN (SELECT value FROM json_each(?))",
        (HIDDEN, _encoder.encode(keys).decode()),
    )
    return {row[0]: _Known(row[1], row[2], bool(row[3])) for row in rows}


def _insert(connection: sqlite3.Connection, jobs: Sequence[Job]) -> None:
    if not jobs:
        return
    last = connection.execute("SELECT max(created_seq) FROM jobs").fetchone()[0]
    if last is not None and min(job.created_seq for job in jobs) < last:
        connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'late'")
    entries = [_Entry(job, detailed_status(job).value, 1, _tokens(job)) for job in jobs]
    connection.executemany(
        "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                job.created_seq,
                id_bytes(job.id),
                job.head.seq,
                job.tenant,
                status,
                job.spec.pipeline_name,
                job.spec.owner,
                microseconds(job.created_at),
                _maybe(job.started_at),
                _maybe(job.completed_at),
            )
            for job, status, _, _ in entries
        ],
    )
    connection.executemany(
        "INSERT INTO bodies VALUES (?, ?)", [(job.created_seq, _encoder.encode(job)) for job in jobs]
    )
    connection.executemany(
        "INSERT INTO words (rowid, text) VALUES (?, ?)", [(job.created_seq, text_of(job)) for job in jobs]
    )
    connection.executemany(
        "INSERT INTO labels VALUES (?, ?, ?)",
        [(job.tenant, token, job.created_seq) for job, _, _, tokens in entries for token in tokens],
    )
    connection.executemany("INSERT INTO bundles VALUES (?, ?)", _bundles(jobs))
    _count(connection, entries)
    _add_to_blocks(connection, jobs)
    _extend_blocks(connection, jobs)


def _update(connection: sqlite3.Connection, later: Sequence[Job], known: dict[int, _Known]) -> None:
    if not later:
        return
    moved = [job for job in later if detailed_status(job).value != known[job.created_seq].status]
    connection.executemany(
        "UPDATE jobs SET seq = ?, started_us = ?, ended_us = ? WHERE created_seq = ?",
        [(job.head.seq, _maybe(job.started_at), _maybe(job.completed_at), job.created_seq) for job in later],
    )
    connection.executemany(
        "UPDATE jobs SET detailed_status = ? WHERE created_seq = ?",
        [(detailed_status(job).value, job.created_seq) for job in moved],
    )
    _extend_blocks(connection, later)
    connection.executemany(
        "UPDATE bodies SET body = ? WHERE created_seq = ?", [(_encoder.encode(job), job.created_seq) for job in later]
    )
    to = (_Entry(job, detailed_status(job).value, 1, _tokens(job)) for job in moved)
    away = (_Entry(job, known[job.created_seq].status, -1, _tokens(job)) for job in moved)
    _count(connection, chain(to, away))


def _hide(connection: sqlite3.Connection, deleted: Sequence[Job]) -> None:
    """Take jobs that are listed out of everything that lists and counts; they are known by what they were before."""
    for job in deleted:
        row = connection.execute(
            "SELECT b.body, j.detailed_status FROM bodies AS b CROSS JOIN jobs AS j ON j.created_seq = b.created_seq "
            "WHERE b.created_seq = ? AND j.tenant <> ?",
            (job.created_seq, HIDDEN),
        ).fetchone()
        if row is None:
            continue
        before = _decoder.decode(row[0])
        tokens = _tokens(before)
        _count(connection, [_Entry(before, row[1], -1, tokens)])
        for token in tokens:
            connection.execute(
                "DELETE FROM labels WHERE tenant = ? AND token = ? AND created_seq = ?",
                (before.tenant, token, before.created_seq),
            )
        connection.execute("DELETE FROM words WHERE rowid = ?", (before.created_seq,))
        connection.executemany("DELETE FROM bundles WHERE digest = ? AND created_seq = ?", _bundles([before]))
        connection.execute(
            "UPDATE blocks SET total = total - 1 WHERE tenant = ? AND block = ?",
            (before.tenant, before.created_seq >> BLOCK_BITS),
        )
    if deleted:  # cached totals are counted again
        connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'late'")


def _keep_hidden(connection: sqlite3.Connection, deleted: Sequence[Job]) -> None:
    """Keep what is left of deleted jobs where no list looks, so that an older form of them is not taken in again."""
    connection.executemany(
        "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
        [
            (
                job.created_seq,
                id_bytes(job.id),
                job.head.seq,
                HIDDEN,
                detailed_status(job).value,
                job.spec.pipeline_name,
                job.spec.owner,
                microseconds(job.created_at),
            )
            for job in deleted
        ],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO bodies VALUES (?, ?)", [(job.created_seq, _encoder.encode(job)) for job in deleted]
    )


def _add_to_blocks(connection: sqlite3.Connection, jobs: Iterable[Job]) -> None:
    """Count new jobs in their blocks, and let these span the jobs' creation."""
    times: dict[tuple[str, int], list[int]] = {}
    for job in jobs:
        times.setdefault((job.tenant, job.created_seq >> BLOCK_BITS), []).append(microseconds(job.created_at))
    connection.executemany(
        "INSERT INTO blocks VALUES (?1, ?2, ?3, ?4, NULL, NULL, NULL, NULL, ?5) ON CONFLICT DO UPDATE SET "
        "created_us_low = min(created_us_low, ?3), created_us_high = max(created_us_high, ?4), total = total + ?5",
        [(*block, min(block_times), max(block_times), len(block_times)) for block, block_times in times.items()],
    )


def _extend_blocks(connection: sqlite3.Connection, jobs: Sequence[Job]) -> None:
    """Let the blocks span the starts and ends of `jobs`; they never shrink."""
    _extend(connection, "started_us", ((job, job.started_at) for job in jobs))
    _extend(connection, "ended_us", ((job, job.completed_at) for job in jobs))


def _extend(connection: sqlite3.Connection, column: str, job_times: Iterable[tuple[Job, datetime | None]]) -> None:
    times: dict[tuple[str, int], list[int]] = {}
    for job, time in job_times:
        if time is not None:
            times.setdefault((job.tenant, job.created_seq >> BLOCK_BITS), []).append(microseconds(time))
    connection.executemany(
        f"UPDATE blocks SET {column}_low = min(coalesce({column}_low, ?1), ?1), "
        f"{column}_high = max(coalesce({column}_high, ?2), ?2) WHERE tenant = ?3 AND block = ?4",
        [(min(block_times), max(block_times), *block) for block, block_times in times.items()],
    )


def _maybe(time: datetime | None) -> int | None:
    return None if time is None else microseconds(time)


def _count(connection: sqlite3.Connection, changes: Iterable[_Entry]) -> None:
    """Move the counters."""
    jobs: Counter[tuple[str, str, str, str]] = Counter()
    labels: Counter[tuple[str, str, str]] = Counter()
    for job, status, change, tokens in changes:
        spec = job.spec
        jobs[job.tenant, spec.pipeline_name, spec.owner, status] += change
        for token in tokens:
            labels[job.tenant, token, status] += change
    columns: Counter[tuple[str, str, str, str]] = Counter()
    for (tenant, pipeline, owner, status_name), change in jobs.items():
        for key in product((tenant,), (ANY, pipeline), (ANY, owner), (ANY, status_name)):
            columns[key] += change
    label_totals: Counter[tuple[str, str, str]] = Counter()
    for (tenant, token, status_name), change in labels.items():
        label_totals[tenant, token, ANY] += change
        label_totals[tenant, token, status_name] += change
    connection.executemany(
        "INSERT INTO totals VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET total = total + excluded.total",
        [(*key, count) for key, count in columns.items() if count],
    )
    connection.executemany(
        "INSERT INTO label_totals VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET total = total + excluded.total",
        [(*key, count) for key, count in label_totals.items() if count],
    )


def _bundles(jobs: Iterable[Job]) -> list[tuple[int, int]]:
    return [
        (bundle_digest(job.spec.source.location), job.created_seq)
        for job in jobs
        if job.spec.source is not None and job.spec.source.kind is SourceKind.BUNDLE and job.deleted_at is None
    ]


def _tokens(job: Job) -> tuple[str, ...]:
    """Return the tokens of a job's labels, of its workflow's address and of its parent, each once."""
    tokens = dict.fromkeys(
        label_token(key, of_label) for key, value in job.spec.labels.items() for of_label in (None, value)
    )
    tokens[label_token(WORKFLOW_URL, workflow_url_of(job))] = None
    if job.spec.lineage is not None:
        tokens[label_token(PARENT, job.spec.lineage.parent)] = None
    return tuple(tokens)
