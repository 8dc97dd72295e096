"""The query index answers as somebody would who looks at every job, only faster; and it can always be thrown away."""

import itertools
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.gateway.jobs import expected, jobs, make_job, queries

from penstock_gateway.index.job_status import DetailedStatus
from penstock_gateway.index.point_in_time import MAX_CHANGED, doubtful, page_of
from penstock_gateway.index.queries import WORKFLOW_URL, JobQuery
from penstock_gateway.index.store import IndexStore
from penstock_schemas.ids import DEFAULT_TENANT, JobId, TenantId
from penstock_schemas.jobs import JobState, JobStatus
from penstock_schemas.views import Head, Job

ALL = JobQuery(tenant=DEFAULT_TENANT, limit=1000)
MOMENT = 4000
SEQS = st.lists(st.integers(1, 4000), unique=True, min_size=1, max_size=40)


@contextmanager
def opened(folder: Path, boot_id: str = "boot") -> Generator[IndexStore, None, None]:
    store = IndexStore(folder / "index.sqlite3", boot_id=boot_id)
    store.complete()
    try:
        yield store
    finally:
        store.close()


@contextmanager
def fresh() -> Generator[IndexStore, None, None]:
    with TemporaryDirectory() as folder, opened(Path(folder)) as store:
        yield store


def every_page(store: IndexStore, query: JobQuery) -> list[Job]:
    found: list[Job] = []
    while True:
        page = store.page(query)
        found.extend(page.jobs)
        if page.next_below is None:
            return found
        query = turned(query, page.next_below)


def turned(query: JobQuery, place: int) -> JobQuery:
    return replace(query, above_seq=place) if query.is_oldest_first else replace(query, below_seq=place)


def test_the_children_of_a_job_are_found_the_newest_first() -> None:
    with fresh() as store:
        store.apply([make_job(seq, parent="p" if seq % 2 else "q") for seq in range(1, 8)])
        store.apply([make_job(9, parent="p", tenant=TenantId("other"))])
        found = store.children(DEFAULT_TENANT, JobId("p"), limit=3)
        assert [job.created_seq for job in found] == [7, 5, 3]
        assert store.children(DEFAULT_TENANT, JobId("r"), limit=3) == ()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_it_answers_as_a_look_at_every_job(data: st.DataObject) -> None:
    """For every order of jobs and their later versions, and every division into batches."""
    made = data.draw(SEQS.flatmap(jobs))
    later = [
        replace(job, state=data.draw(st.sampled_from(list(JobState))), head=Head(seq=job.head.seq + 5000, version=2))
        for job in made
        if data.draw(st.booleans())
    ]
    newest = {job.id: job for job in (*made, *later)}
    coming = data.draw(st.permutations([*made, *later]))
    cut = data.draw(st.integers(0, len(coming)))
    drawn = data.draw(st.lists(queries(), min_size=1, max_size=5))

    with fresh() as store:
        store.apply(coming[:cut])
        for query in drawn:  # so that remembered totals are from before the rest
            store.page(query)
        store.apply(coming[cut:])
        for query in drawn:
            everything = expected(newest.values(), query)
            right = [job for job in everything if query.up_to_seq is None or job.created_seq <= query.up_to_seq]
            assert every_page(store, query) == right
            assert every_page(store, replace(query, is_counted=False)) == right
            assert store.page(query).total == len(everything)
        for job in newest.values():
            assert store.get(job.id) == job


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_pages_show_the_moment_of_the_first_one_while_jobs_change(data: st.DataObject) -> None:
    """For all filters, all places of changes between pages, and all limits."""
    then = data.draw(SEQS.flatmap(jobs))
    dice = data.draw(st.randoms(use_true_random=False))
    drawn = data.draw(queries())
    if dice.random() < 0.7:  # most of what is drawn leaves next to nothing
        drawn = replace(drawn, pipeline=None, owner=None, text=None, labels=(), after_us=None, before_us=None)
    query = replace(drawn, up_to_seq=MOMENT)
    limit = data.draw(st.sampled_from([1, 3, MAX_CHANGED]))
    events = itertools.count(MOMENT + 1)
    right = expected(then, query)

    with fresh() as store:
        store.apply(then)
        known = {job.id: job for job in then}
        pages: list[Job] = []
        page_query, total = query, None
        for _ in range(4 * len(then) + 4):
            changes = [
                replace(
                    job,
                    state=dice.choice(list(JobState)),
                    completed_at=dice.choice([job.completed_at, None]),
                    head=Head(seq=next(events), version=9),
                )
                for job in then
                if dice.random() < 0.3
            ]
            newcomer = make_job(next(events), pipeline="p", owner="ada", labels={"k": "v"})
            store.apply([*changes, newcomer])
            found = store.candidates(page_query, limit=limit)
            page = page_of(found, {job.id: known[job.id] for job in doubtful(found, page_query)}, page_query)
            if total is None and query.is_counted and not found.is_cut:
                assert page.total == len(right)
            total = page.total
            pages += page.jobs
            if page.next_below is None:
                break
            page_query = turned(replace(query, is_counted=False), page.next_below)
        else:
            raise AssertionError("the list has no end")
    assert pages == right


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_turning_pages_neither_repeats_nor_misses_while_jobs_arrive(data: st.DataObject) -> None:
    there = data.draw(SEQS.flatmap(jobs))
    query = replace(data.draw(queries()), statuses=(), detailed_statuses=(), up_to_seq=4000)
    newcomers = iter(range(5000, 5400))

    with fresh() as store:
        store.apply(there)
        seen: list[Job] = []
        while True:
            page = store.page(query)
            seen.extend(page.jobs)
            store.apply([make_job(next(newcomers), pipeline="p", owner="ada", labels={"k": "v"})])
            if page.next_below is None:
                break
            query = turned(query, page.next_below)
        assert [job for job in seen if job.created_seq < 5000] == expected(there, query)
        assert len({job.id for job in seen}) == len(seen)


def test_it_counts_where_jobs_stand(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.apply([make_job(1), make_job(2, owner="ada"), make_job(3, state=JobState.FAILED, owner="ada")])
        store.apply([make_job(2, head_seq=4, state=JobState.RUNNING, owner="ada")])

        everybody = store.counts(DEFAULT_TENANT, None)
        assert {detailed_status: count for detailed_status, count in everybody.items() if count} == {
            DetailedStatus.QUEUED: 1,
            DetailedStatus.RUNNING: 1,
            DetailedStatus.FAILED_BY_WORKFLOW: 1,
        }
        assert store.counts(DEFAULT_TENANT, "ada")[DetailedStatus.RUNNING] == 1


def test_an_older_form_never_replaces_a_later_one(tmp_path: Path) -> None:
    late = make_job(1, head_seq=9, state=JobState.COMPLETED)
    with opened(tmp_path) as store:
        store.apply([late])
        store.apply([make_job(1, head_seq=5, state=JobState.RUNNING)])

        assert store.get(late.id) == late
        assert store.page(replace(ALL, statuses=(JobStatus.COMPLETED,))).total == 1
        assert store.page(replace(ALL, statuses=(JobStatus.RUNNING,))).total == 0


def test_a_job_whose_first_event_was_lost_later_keeps_its_place(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        job = make_job(1)
        later = replace(job, created_seq=job.created_seq + 1, head=replace(job.head, seq=job.head.seq + 5))
        store.apply([job, make_job(2)])
        store.apply([later])
        assert [one_job.head.seq for one_job in store.page(ALL).jobs if one_job.id == job.id] == [later.head.seq]
        assert store.get(job.id) == replace(later, created_seq=job.created_seq)


def test_it_resumes_where_it_was(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.apply([make_job(1)], position=7)
    with opened(tmp_path, "another boot") as store:
        assert store.position == 7
        assert store.page(ALL).total == 1


def test_a_process_that_was_killed_resumes_within_the_same_boot_alone(tmp_path: Path) -> None:
    killed = IndexStore(tmp_path / "index.sqlite3", boot_id="boot")
    killed.apply([make_job(1)], position=7)

    with opened(tmp_path) as store:
        assert store.position == 7
    IndexStore(tmp_path / "index.sqlite3", boot_id="boot").apply([], position=8)
    with opened(tmp_path, "another boot") as store:
        assert store.position == 0
        assert store.page(ALL).total == 0


@pytest.mark.parametrize("damage", ["garbage", "schema", "truncated", "other database"])
def test_an_unusable_file_is_rebuilt(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "index.sqlite3"
    with opened(tmp_path) as store:
        store.apply([make_job(seq) for seq in range(1, 200)], position=7)
    match damage:
        case "garbage":
            path.write_bytes(b"no database at all" * 1000)
        case "schema":
            with sqlite3.connect(path) as connection:
                connection.execute("UPDATE meta SET value = 999 WHERE name = 'schema'")
            connection.close()
        case "truncated":
            path.write_bytes(path.read_bytes()[:100])
        case _:
            path.unlink()
            with sqlite3.connect(path) as connection:
                connection.execute("CREATE TABLE meta (x)")
            connection.close()

    with opened(tmp_path) as store:
        assert store.position == 0
        assert store.page(ALL).total == 0


FILTERS = {
    "nothing": JobQuery(tenant=DEFAULT_TENANT),
    "status": JobQuery(tenant=DEFAULT_TENANT, statuses=(JobStatus.FAILED,)),
    "statuses": JobQuery(tenant=DEFAULT_TENANT, statuses=(JobStatus.FAILED, JobStatus.RUNNING)),
    "pipeline": JobQuery(tenant=DEFAULT_TENANT, pipeline="p1"),
    "owner": JobQuery(tenant=DEFAULT_TENANT, owner="o1"),
    "pipeline, owner": JobQuery(tenant=DEFAULT_TENANT, pipeline="p1", owner="o1"),
    "pipeline, status": JobQuery(tenant=DEFAULT_TENANT, pipeline="p1", statuses=(JobStatus.FAILED,)),
    "owner, status": JobQuery(tenant=DEFAULT_TENANT, owner="o1", statuses=(JobStatus.FAILED,)),
    "all three": JobQuery(tenant=DEFAULT_TENANT, pipeline="p1", owner="o1", statuses=(JobStatus.FAILED,)),
    "label": JobQuery(tenant=DEFAULT_TENANT, labels=(("k", "v1"),)),
    "key": JobQuery(tenant=DEFAULT_TENANT, labels=(("k", None),)),
    "labels": JobQuery(tenant=DEFAULT_TENANT, labels=(("k", "v1"), ("all", "x"))),
    "label, owner": JobQuery(tenant=DEFAULT_TENANT, labels=(("k", "v1"),), owner="o1"),
    "label, status": JobQuery(tenant=DEFAULT_TENANT, labels=(("k", "v1"),), statuses=(JobStatus.FAILED,)),
    "time": JobQuery(tenant=DEFAULT_TENANT, after_us=1, before_us=1 << 60),
    "time, status": JobQuery(tenant=DEFAULT_TENANT, after_us=1, statuses=(JobStatus.FAILED,)),
    "detailed_status": JobQuery(tenant=DEFAULT_TENANT, detailed_statuses=(DetailedStatus.FAILED_BY_SYSTEM,)),
    "oldest first": JobQuery(tenant=DEFAULT_TENANT, is_oldest_first=True, up_to_seq=7000),
    "workflow": JobQuery(tenant=DEFAULT_TENANT, labels=((WORKFLOW_URL, "p1"),)),
    "start, end": JobQuery(tenant=DEFAULT_TENANT, started_after_us=1, ended_before_us=1 << 60),
    "text": JobQuery(tenant=DEFAULT_TENANT, text="number"),
    "text, owner": JobQuery(tenant=DEFAULT_TENANT, text="number", owner="o1"),
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Generator[IndexStore, None, None]:
    states = (JobState.COMPLETED, JobState.FAILED, JobState.RUNNING)
    with opened(tmp_path_factory.mktemp("index")) as store:
        store.apply(
            [
                make_job(
                    seq,
                    state=states[seq % 3],
                    created_s=seq,
                    pipeline=f"p{seq % 5}",
                    owner=f"o{seq % 7}",
                    description=f"number {seq}",
                    labels={"k": f"v{seq % 4}", "all": "x"},
                )
                for seq in range(1, 8001)
            ]
        )
        yield store


@pytest.mark.parametrize("name", FILTERS)
def test_no_page_is_found_by_looking_at_every_job_or_by_sorting_them(filled: IndexStore, name: str) -> None:
    """Only the rows of the page itself are sorted, which is what the one allowed B-tree is for."""
    steps = filled.explain(FILTERS[name])

    scans = [step for step in steps if step.startswith("SCAN") and "VIRTUAL TABLE INDEX" not in step]
    assert scans == ["SCAN p"]
    assert [step for step in steps if "TEMP B-TREE" in step] in ([], ["USE TEMP B-TREE FOR ORDER BY"])
    before_page = steps[: steps.index("SCAN p")]
    assert not [step for step in before_page if "TEMP B-TREE" in step]
