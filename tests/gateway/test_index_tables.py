"""The tables of the query index: what writing keeps in step, and what counting and reading use of it."""

import sqlite3
from collections.abc import Generator

import pytest
from msgspec.structs import replace
from tests.gateway.jobs import START, make_job

from penstock_gateway.index.counts import MAX_REMEMBERED, Counts
from penstock_gateway.index.job_status import DetailedStatus
from penstock_gateway.index.plan import Sizes, Window
from penstock_gateway.index.queries import JobQuery
from penstock_gateway.index.reading import read_counts, read_page, read_settled
from penstock_gateway.index.schema import BLOCK_BITS, INDICES, TABLES
from penstock_gateway.index.writing import bundle_digest, write_jobs
from penstock_schemas.ids import DEFAULT_TENANT
from penstock_schemas.jobs import JobState, Source, SourceKind
from penstock_schemas.views import Head, Job

ALL = JobQuery(tenant=DEFAULT_TENANT, limit=100)
SIZES = Sizes(columns=100, labels=(), spans=(), is_sole_tenant=True)


@pytest.fixture
def tables() -> Generator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(TABLES)
    for statement in INDICES:
        connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('late', 0)")
    yield connection
    connection.close()


def later(job: Job, state: JobState, **changes: object) -> Job:
    head = Head(seq=job.head.seq + 1000, version=job.head.version + 1, hash="h")
    return replace(job, state=state, head=head, **changes)


def late(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT value FROM meta WHERE name = 'late'").fetchone()[0])


def test_an_older_form_of_a_job_changes_nothing(tables: sqlite3.Connection) -> None:
    job = make_job(1)
    done = later(job, JobState.COMPLETED)
    write_jobs(tables, [done])
    write_jobs(tables, [job])
    assert read_page(tables, ALL, Counts()).jobs == (done,)
    assert read_counts(tables, DEFAULT_TENANT, None) == {DetailedStatus.COMPLETED: 1}


def test_counters_follow_a_job_from_status_to_status(tables: sqlite3.Connection) -> None:
    job = make_job(1, owner="ada", labels={"k": "v"})
    write_jobs(tables, [job, make_job(2, owner="bo")])
    write_jobs(tables, [later(job, JobState.COMPLETED)])
    counts = {status: count for status, count in read_counts(tables, DEFAULT_TENANT, "ada").items() if count}
    assert counts == {DetailedStatus.COMPLETED: 1}
    labelled = replace(ALL, labels=(("k", "v"),), detailed_statuses=(DetailedStatus.COMPLETED,))
    assert read_page(tables, labelled, Counts()).total == 1


def test_a_deleted_job_is_in_no_list_and_does_not_come_back(tables: sqlite3.Connection) -> None:
    source = Source(kind=SourceKind.BUNDLE, location="sources/x.json", sha256="0" * 64)
    job = make_job(1, labels={"k": "v"})
    job = replace(job, spec=replace(job.spec, source=source))
    write_jobs(tables, [job])
    assert tables.execute("SELECT digest FROM bundles").fetchall() == [(bundle_digest("sources/x.json"),)]

    write_jobs(tables, [later(job, JobState.COMPLETED, deleted_at=START)])
    write_jobs(tables, [job])

    assert read_page(tables, ALL, Counts()).jobs == ()
    for table in ("labels", "bundles", "words"):
        assert tables.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    assert not any(read_counts(tables, DEFAULT_TENANT, None).values())
    assert tables.execute("SELECT sum(total) FROM blocks").fetchone() == (0,)


def test_a_job_whose_deletion_cannot_be_read_any_more_is_listed_again(tables: sqlite3.Connection) -> None:
    """The gateway that deleted it knew it as deleted; what the disk has is an event that cannot be read."""
    deleted = later(make_job(1), JobState.CANCELLED, deleted_at=START)
    write_jobs(tables, [make_job(1)])
    write_jobs(tables, [deleted])
    back = later(deleted, JobState.CANCELLED, deleted_at=None)
    write_jobs(tables, [back])
    assert read_page(tables, ALL, Counts()).jobs == (back,)
    assert {status: count for status, count in read_counts(tables, DEFAULT_TENANT, None).items() if count} == {
        DetailedStatus.CANCELLED: 1
    }


def test_blocks_span_the_times_of_their_jobs(tables: sqlite3.Connection) -> None:
    write_jobs(tables, [make_job(1, created_s=10), make_job(2, created_s=5, started_s=7, ended_s=9)])
    write_jobs(tables, [make_job((1 << BLOCK_BITS) + 1, created_s=50)])
    rows = tables.execute("SELECT block, created_us_high - created_us_low, total FROM blocks ORDER BY block").fetchall()
    assert rows == [(0, 5_000_000, 2), (1, 0, 1)]
    assert tables.execute("SELECT ended_us_low - started_us_low FROM blocks WHERE block = 0").fetchone() == (2_000_000,)


def test_a_job_that_begins_before_the_newest_one_makes_totals_count_again(tables: sqlite3.Connection) -> None:
    query, counts = replace(ALL, text="p", after_us=0, before_us=1 << 60), Counts()
    write_jobs(tables, [make_job(5)])
    assert (late(tables), counts.total(tables, query, Window(), SIZES)) == (0, 1)
    write_jobs(tables, [make_job(3)])
    assert (late(tables), counts.total(tables, query, Window(), SIZES)) == (1, 2)


def test_a_remembered_total_counts_only_what_came_since(tables: sqlite3.Connection) -> None:
    query, counts = replace(ALL, text="p"), Counts()
    write_jobs(tables, [make_job(1), make_job(2)])
    assert counts.total(tables, query, Window(), SIZES) == 2
    write_jobs(tables, [make_job(3)])
    statements: list[str] = []
    tables.set_trace_callback(statements.append)
    assert counts.total(tables, query, Window(), SIZES) == 3
    assert counts.total(tables, query, Window(), SIZES) == 3
    counting = [statement for statement in statements if "count(*)" in statement]
    assert len(counting) == 1
    assert "BETWEEN 3 " in counting[0]


def test_so_many_totals_are_remembered(tables: sqlite3.Connection) -> None:
    counts = Counts()
    for number in range(MAX_REMEMBERED + 3):
        assert counts.total(tables, replace(ALL, text=f"t{number}"), Window(), SIZES) == 0
    assert len(counts._counted) == MAX_REMEMBERED  # pyright: ignore[reportPrivateUsage]


def test_a_list_of_a_moment_leaves_out_what_changed_since_and_what_is_newer(tables: sqlite3.Connection) -> None:
    jobs = [make_job(1), make_job(2), make_job(3)]
    write_jobs(tables, [*jobs, later(jobs[0], JobState.RUNNING)])
    page = read_settled(tables, replace(ALL, up_to_seq=2), Counts())
    assert (page.jobs, page.total) == ((jobs[1],), 2)
