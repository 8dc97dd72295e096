"""Writing the query index: jobs in any order, each as often as it likes, within one transaction."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import msgspec

from penstock_gateway.index.plan import label_token
from penstock_gateway.index.schema import ANY, BLOCK_BITS
from penstock_gateway.queries import microseconds, text_of
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import STATUS_OF, JobStatus
from penstock_schemas.views import Job

_encoder = msgspec.json.Encoder()


def write_jobs(connection: sqlite3.Connection, jobs: Sequence[Job]) -> None:
    """Take jobs in. One that is there in the same or a later form is left as it is."""
    newest = {job.created_seq: job for job in sorted(jobs, key=lambda job: job.head.seq)}
    known = _known(connection, tuple(newest))
    _insert(connection, [job for seq, job in newest.items() if seq not in known])
    _update(connection, newest, known)


def id_bytes(job_id: JobId) -> bytes:
    """Return a job id as the index keeps it."""
    return bytes.fromhex(job_id.replace("-", ""))


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
    last = connection.execute("SELECT max(created_seq) FROM jobs").fetchone()[0]
    if last is not None and min(job.created_seq for job in jobs) < last:
        connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'late'")
    connection.executemany(
        "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                job.created_seq,
                id_bytes(job.id),
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
    connection.executemany(
        "INSERT INTO labels VALUES (?, ?, ?)",
        [(job.tenant, token, job.created_seq) for job in jobs for token in _tokens(job)],
    )
    _count(connection, ((job, STATUS_OF[job.state], 1) for job in jobs))
    connection.executemany(
        "INSERT INTO blocks VALUES (?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET "
        "low_us = min(low_us, excluded.low_us), high_us = max(high_us, excluded.high_us), total = total + 1",
        [
            (job.tenant, job.created_seq >> BLOCK_BITS, microseconds(job.created_at), microseconds(job.created_at))
            for job in jobs
        ],
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
    """Move the counters."""
    columns: Counter[tuple[str, str, str, str]] = Counter()
    labels: Counter[tuple[str, str, str]] = Counter()
    for job, status, change in changes:
        for shown in (ANY, status.value):
            for pipeline in (ANY, job.pipeline_name):
                for owner in (ANY, job.owner):
                    columns[job.tenant, pipeline, owner, shown] += change
            for token in _tokens(job):
                labels[job.tenant, token, shown] += change
    connection.executemany(
        "INSERT INTO totals VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET total = total + excluded.total",
        [(*key, count) for key, count in columns.items() if count],
    )
    connection.executemany(
        "INSERT INTO label_totals VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET total = total + excluded.total",
        [(*key, count) for key, count in labels.items() if count],
    )


def _tokens(job: Job) -> Iterator[str]:
    for key, value in job.labels.items():
        yield label_token(key, None)
        yield label_token(key, value)
