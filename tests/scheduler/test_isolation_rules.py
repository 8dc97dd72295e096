"""Which runner a job gets that must run alone."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scheduler.history import History
from tests.scheduler.test_isolation import crash

from penstock_domain.job.attempts import MAX_SHARED_CRASHES
from penstock_scheduler.core.isolation import isolate
from penstock_schemas.ids import RunnerId

LONG_S = 100.0
"""Longer than any back-off."""


def with_candidates(number: int) -> History:
    """Return a log in which `number` jobs wait that must run alone."""
    log = History()
    for place in range(1, number + 1):
        log.submit(place, owner=f"owner-{place % 2}")
    for crashed in range(MAX_SHARED_CRASHES):
        runner_id = log.join(f"crashing-{crashed}", number)
        log.cycle()
        crash(log, runner_id)
        log.wait(LONG_S)
    return log


def test_nothing_is_reserved_while_no_job_must_run_alone() -> None:
    log = History()
    log.submit(1)
    log.join("r", 1)
    isolation = isolate(log.state, log.now, frozenset(), None)
    assert (isolation.starts, isolation.taken) == ((), frozenset())


def test_a_back_off_keeps_a_runner_for_other_jobs() -> None:
    log = with_candidates(1)
    log.wait(-LONG_S)
    log.join("r", 4)
    assert not isolate(log.state, log.now, frozenset(), None).taken


@settings(max_examples=60, deadline=None)
@given(
    candidates=st.integers(1, 4),
    slots=st.lists(st.integers(1, 3), min_size=1, max_size=5),
    busy=st.integers(0, 6),
    capacity=st.none() | st.integers(0, 3),
    owner_limit=st.none() | st.integers(1, 3),
    is_gone=st.booleans(),
)
def test_what_runs_alone_is_bounded(
    candidates: int, slots: list[int], busy: int, capacity: int | None, owner_limit: int | None, is_gone: bool
) -> None:
    log = with_candidates(candidates)
    log.wait(-LONG_S)
    for place, number in enumerate(slots):
        log.join(f"r-{place}", number)
    for place in range(busy):
        log.submit(100 + place)
    log.cycle()
    log.wait(LONG_S)
    log.limit("owner", owner_limit)
    gone = frozenset([RunnerId("r-0")] if is_gone else [])
    isolation = isolate(log.state, log.now, gone, capacity)
    chosen = [place.runner_id for _, place in isolation.starts]
    assert len(set(chosen)) == len(chosen), "one job each"
    assert set(chosen) <= isolation.taken
    assert len(isolation.taken) <= max(1, (len(slots) - len(gone)) // 2), "other jobs keep half of the runners"
    assert not isolation.taken & gone
    assert capacity is None or len(chosen) <= capacity
    assert not any(log.state.jobs_by_runner.get(runner_id) for runner_id in chosen), "they are empty"
    for owner, taken in isolation.taken_of.items():
        assert owner_limit is None or log.state.slots_used_by.get(owner, 0) + taken <= owner_limit
    keys = [job.key for job, _ in isolation.starts]
    assert keys == sorted(keys)
    if capacity != 0 and len(slots) > len(gone) and owner_limit is None:
        assert isolation.taken, "a job that must run alone gets a runner, or one is being emptied for it"
