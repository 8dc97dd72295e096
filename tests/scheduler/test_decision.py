"""What a cycle decides: given this log, at this time, then these starts, stops and ends."""

import pytest
from tests.scheduler.history import History, job, started

from penstock_domain.job.attempts import MAX_CRASHES_ALONE, MAX_SHARED_CRASHES
from penstock_scheduler.core.decision import MAX_ENTRIES, Decision, Observations
from penstock_scheduler.core.replay import check_decisions
from penstock_schemas.events import CycleDecided, JobCancelled, JobFailed, JobRequeued
from penstock_schemas.jobs import FailureCause, RequeueCause


@pytest.fixture
def log() -> History:
    return History()


def test_nothing_to_do_decides_nothing(log: History) -> None:
    assert not log.cycle()
    log.submit(1)
    assert not log.cycle(), "there is no runner"
    log.join("r", 1)
    assert log.cycle()
    assert not log.cycle(), "what was decided is not decided again"


def test_first_in_first_out(log: History) -> None:
    for number in (1, 2, 3):
        log.submit(number)
    log.join("r", 2)
    assert started(log.cycle()) == [(1, "r"), (2, "r")]


def test_higher_priority_goes_first_then_submission(log: History) -> None:
    log.submit(1)
    log.submit(2, priority=5, owner="bob")
    log.submit(3, priority=5)
    log.submit(4, priority=-1)
    log.join("r", 4)
    assert started(log.cycle()) == [(2, "r"), (3, "r"), (1, "r"), (4, "r")]


def test_the_global_limit_holds_over_cycles(log: History) -> None:
    log.limit("global", 2)
    log.join("r", 10)
    for number in range(1, 6):
        log.submit(number)
    assert started(log.cycle()) == [(1, "r"), (2, "r")]
    assert not log.cycle()
    log.complete(1, log.join("other", 0))
    assert started(log.cycle()) == [(3, "r")]
    log.limit("global", None)
    assert started(log.cycle()) == [(4, "r"), (5, "r")]


def test_an_owner_at_the_limit_is_skipped(log: History) -> None:
    log.limit("owner", 2)
    runner = log.join("r", 10)
    for number in (1, 2, 3):
        log.submit(number, owner="ada")
    log.submit(4, owner="bob")
    assert started(log.cycle()) == [(1, "r"), (2, "r"), (4, "r")]
    assert not log.cycle()
    log.complete(2, runner)
    assert started(log.cycle()) == [(3, "r")]


def test_an_owners_limit_counts_over_engines(log: History) -> None:
    log.limit("owner", 1)
    log.join("r", 10, "mock", "snakemake")
    log.submit(1, engine="mock")
    log.submit(2, engine="snakemake")
    assert started(log.cycle()) == [(1, "r")]


def test_a_raised_or_lowered_limit_holds_at_once(log: History) -> None:
    log.limit("owner", 1)
    log.join("r", 10)
    for number in (1, 2, 3, 4):
        log.submit(number)
    assert len(log.cycle().starts) == 1
    log.limit("owner", 3)
    assert len(log.cycle().starts) == 2
    log.limit("owner", 1)
    assert not log.cycle()


def test_a_job_whose_engine_has_no_slot_is_skipped(log: History) -> None:
    log.submit(1, engine="cwl")
    log.submit(2, engine="snakemake")
    log.submit(3, engine="mock")
    log.submit(4, engine="snakemake")
    log.join("s", 1, "snakemake")
    log.join("m", 1, "mock")
    assert started(log.cycle()) == [(2, "s"), (3, "m")]


def test_a_shared_slot_goes_to_the_first_of_two_engines(log: History) -> None:
    log.submit(1, engine="snakemake")
    log.submit(2, engine="mock")
    log.join("r", 1, "mock", "snakemake")
    assert started(log.cycle()) == [(1, "r")]


def test_attempts_spread_to_where_most_is_free(log: History) -> None:
    log.join("a", 1)
    log.join("b", 3)
    log.join("c", 2)
    for number in range(1, 7):
        log.submit(number)
    assert [runner for _, runner in started(log.cycle())] == ["b", "b", "c", "a", "b", "c"]


def test_a_draining_runner_gets_nothing(log: History) -> None:
    runner = log.join("r", 2)
    log.submit(1)
    log.drain(runner)
    assert not log.cycle()


def test_orders_to_one_runner_are_chained(log: History) -> None:
    log.join("r", 3)
    for number in (1, 2, 3):
        log.submit(number)
    log.cycle()
    orders = [stored for stored in log.stored if stored.event.aggregate == "assign.r"]
    assert [order.event.version for order in orders] == [1, 2, 3]
    assert [order.event.previous for order in orders] == ["", orders[0].hash, orders[1].hash]


def test_a_cancelled_job_is_stopped_once(log: History) -> None:
    log.join("r", 1)
    log.submit(1)
    log.cycle()
    log.cancel_running(1, "wrong")
    decision = log.cycle()
    assert [(stop.runner_id, stop.data.job_id, stop.data.reason) for stop in decision.stops] == [("r", job(1), "wrong")]
    assert not log.cycle()


def test_a_job_that_was_cancelled_in_the_queue_never_starts(log: History) -> None:
    for number in (1, 2):
        log.submit(number)
    log.cancel_waiting(1)
    log.join("r", 2)
    assert started(log.cycle()) == [(2, "r")]


def test_a_silent_runner_is_lost_and_its_jobs_wait_again(log: History) -> None:
    runner = log.join("a", 2)
    log.submit(1)
    log.submit(2)
    log.cycle()
    log.start(1, runner)
    log.cancel_running(2)
    decision = log.cycle(Observations({runner: 11.5}))
    assert [(runner.runner_id, runner.silent_s) for runner in decision.lost] == [("a", 11.5)]
    requeued, cancelled = (event.data for event in decision.abandoned)
    assert isinstance(requeued, JobRequeued)
    assert requeued.cause is RequeueCause.LOST
    assert requeued.reason == "runner a fell silent"
    assert isinstance(cancelled, JobCancelled)
    assert not log.cycle(Observations({runner: 12.5})), "it is lost once"
    assert log.state.runners == {}
    assert log.state.jobs_by_runner == {}
    log.join("b", 2)
    (start,) = log.cycle().starts
    assert (start.data.attempt, start.data.runner_id) == (2, "b")


def test_attempts_of_a_runner_that_left_wait_again(log: History) -> None:
    runner = log.join("a", 1)
    log.submit(1)
    log.cycle()
    log.leave(runner)
    (abandoned,) = log.cycle().abandoned
    assert isinstance(abandoned.data, JobRequeued)
    assert abandoned.data.reason == "runner a ended without finishing it"
    assert log.state.slots_used == 0


def test_an_assignment_that_crossed_with_the_runners_leaving_is_taken_back(log: History) -> None:
    seen = History()
    for history in (log, seen):
        history.join("a", 1)
        history.submit(1)
    log.leave(next(iter(log.state.runners)))
    assert not log.state.runners
    seen.cycle()
    # What the leader stored without having seen the leave.
    for stored in seen.stored[3:]:
        log.add(stored.event.aggregate, stored.event.data)
    assert log.state.slots_used == 1
    assert [type(event.data) for event in log.cycle().abandoned] == [JobRequeued]
    assert (log.state.slots_used, log.state.runners) == (0, {})


def test_back_off_is_waited_for_and_then_the_job_goes_first(log: History) -> None:
    for attempt, pause_s in ((1, 0.0), (2, 1.0), (3, 5.0)):
        runner = log.join(f"r{attempt}", 1)
        if attempt == 1:
            log.submit(1)
            log.submit(2)
        assert started(log.cycle()) == [(1, runner)]
        log.leave(runner)
        log.cycle()
        if pause_s:
            helper = log.join(f"helper{attempt}", 1)
            assert log.state.queue.next_due(log.now) is not None
            log.drain(helper)
        log.wait(pause_s)
        assert log.state.queue.next_due(log.now) is None
    log.join("last", 2)
    assert started(log.cycle()) == [(1, "last"), (2, "last")]


def test_a_job_is_given_up_after_too_many_lost_attempts(log: History) -> None:
    log.submit(1)
    data: object = None
    for attempt in range(1, MAX_SHARED_CRASHES + MAX_CRASHES_ALONE + 1):
        runner = log.join(f"r{attempt}", 1)
        assert started(log.cycle()) == [(1, runner)]
        (abandoned,) = log.cycle(Observations({runner: 12.0})).abandoned
        data = abandoned.data
        log.wait(100)
    assert isinstance(data, JobFailed)
    assert log.state.jobs == {}


def test_a_batch_is_bounded(log: History) -> None:
    log.join("r", 10_000)
    for number in range(1, 601):
        log.submit(number)
    assert len(log.cycle().starts) == (MAX_ENTRIES - 1) // 2
    assert len(log.cycle().starts) == 600 - (MAX_ENTRIES - 1) // 2
    decision: Decision = log.cycle(Observations({next(iter(log.state.runners)): 12.0}), max_entries=101)
    assert len(decision.abandoned) == 99, "the record, the loss, and as many as fit"
    while log.state.orphaned_jobs:
        log.cycle(max_entries=101)
    assert log.state.slots_used == 0


def test_a_quarantined_job_holds_nobody_up_and_its_attempt_is_stopped(log: History) -> None:
    for number in (1, 2, 3):
        log.submit(number)
    log.damage(1)
    runner = log.join("r", 1)
    assert started(log.cycle()) == [(2, "r")]
    log.damage(2)
    (stop,) = log.cycle().stops
    assert (stop.runner_id, stop.data.reason) == (runner, "the events of the job are damaged")
    log.leave(runner)
    other = log.join("other", 1)
    decision = log.cycle()
    assert (started(decision), decision.abandoned, decision.stops) == ([(3, other)], (), ())
    assert log.state.slots_used == 2, "its slot is held until it is closed"
    log.close(2)
    log.close(1)
    assert (log.state.slots_used, log.state.damages) == (1, {})
    assert list(check_decisions(log.stored)) == []


def test_a_held_job_takes_no_slot_and_keeps_its_place(log: History) -> None:
    log.submit(1)
    log.submit(2)
    log.submit(3, hold=True)
    log.submit(4)
    log.hold(1)
    runner_id = log.join("r", 1)
    assert started(log.cycle()) == [(2, "r")]
    log.release(1)
    log.release(3)
    log.complete(2, runner_id)
    assert started(log.cycle()) == [(1, "r")], "it goes before those that were submitted after it"
    log.complete(1, runner_id)
    assert started(log.cycle()) == [(3, "r")]
    assert list(check_decisions(log.stored)) == []


def test_what_must_not_be_begun_twice_fails_when_its_runner_is_lost(log: History) -> None:
    runner_id = log.join("r", 2)
    log.submit(1, requeue=False)
    log.submit(2, requeue=False)
    log.cycle()
    log.start(1, runner_id)
    decision = log.cycle(Observations({runner_id: 12.0}))
    assert [type(event.data) for event in decision.abandoned] == [JobFailed, JobRequeued]
    failed = decision.abandoned[0].data
    assert isinstance(failed, JobFailed)
    assert failed.failure.cause is FailureCause.SYSTEM
    assert "runner r fell silent" in failed.failure.message
    (cycle,) = [stored.event.data for stored in log.stored[-4:] if isinstance(stored.event.data, CycleDecided)]
    assert (cycle.failed, cycle.requeued) == ((job(1),), (job(2),))
    assert list(check_decisions(log.stored)) == []
