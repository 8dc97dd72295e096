"""A job whose runners crash: it gets a runner for itself, is quarantined in the end, and takes nobody's attempts."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scheduler.history import History, job, started

from penstock_domain import aggregates
from penstock_domain.job.attempts import MAX_CRASHES_ALONE, MAX_REQUEUES, MAX_SHARED_CRASHES
from penstock_scheduler.core.decision import Decision, Observations
from penstock_scheduler.core.replay import check_decisions
from penstock_scheduler.core.state import SchedulerState
from penstock_schemas.events import JobFailed, RunnerLeft
from penstock_schemas.ids import DEFAULT_TENANT, RunnerId

LONG_S = 100.0
"""Longer than any back-off."""


def crash(log: History, runner_id: RunnerId) -> Decision:
    """End a runner's process; what it had is decided on."""
    log.add(aggregates.runner(runner_id), RunnerLeft(runner_id=runner_id, is_crash=True))
    return log.cycle()


def quarantine(log: History, *numbers: int) -> None:
    """Quarantine jobs: so many runners crashed that had them all."""
    for number in numbers:
        log.submit(number)
    for crashed in range(MAX_SHARED_CRASHES):
        runner_id = log.join(f"crashing-{crashed}", len(numbers))
        assert len(log.cycle().starts) == len(numbers)
        crash(log, runner_id)
        log.wait(LONG_S)


def alone(decision: Decision) -> list[bool]:
    return [start.data.is_alone for start in decision.starts]


def test_the_jobs_of_crashed_runners_run_one_after_the_other() -> None:
    log = History()
    quarantine(log, 1, 2, 3)
    runner = log.join("r", 8)
    for number in (1, 2, 3):
        decision = log.cycle()
        assert (started(decision), alone(decision)) == ([(number, "r")], [True])
        assert not log.cycle(), "nothing runs beside it"
        log.complete(number, runner, attempt=MAX_SHARED_CRASHES + 1)
    assert not list(check_decisions(log.stored))


def test_a_job_that_crashes_runners_alone_is_quarantined() -> None:
    log = History()
    quarantine(log, 1, 2)
    decisions: list[Decision] = []
    for crashed in range(MAX_CRASHES_ALONE):
        runner_id = log.join(f"alone-{crashed}", 8)
        assert started(log.cycle()) == [(1, runner_id)]
        decisions.append(crash(log, runner_id))
        log.wait(LONG_S)
    (ended,) = decisions[-1].abandoned
    assert isinstance(ended.data, JobFailed)
    total = MAX_SHARED_CRASHES + MAX_CRASHES_ALONE
    assert ended.data.failure.message.startswith(f"quarantined: this run was on a runner that crashed {total} times")
    log.join("r", 8)
    assert started(log.cycle()) == [(2, "r")], "the other one goes on"


def test_other_jobs_start_when_the_quarantined_job_has_ended() -> None:
    log = History()
    quarantine(log, 1)
    log.submit(2)
    log.submit(3)
    runner = log.join("r", 2)
    assert started(log.cycle()) == [(1, "r")]
    log.complete(1, runner, attempt=MAX_SHARED_CRASHES + 1)
    assert started(log.cycle()) == [(2, "r"), (3, "r")]


def test_no_new_job_comes_to_a_runner_that_is_being_emptied() -> None:
    log = History()
    log.submit(1)
    for number in range(MAX_SHARED_CRASHES):
        log.cycle()
        runner_id = log.join(f"crashing-{number}", 1)
        log.wait(LONG_S)
        log.cycle()
        if number + 1 < MAX_SHARED_CRASHES:
            crash(log, runner_id)
    first, second = log.join("a", 2), log.join("b", 2)
    for number in (2, 3, 4):
        log.submit(number)
    assert len(log.cycle().starts) == 3
    crash(log, RunnerId(f"crashing-{MAX_SHARED_CRASHES - 1}"))
    log.wait(LONG_S)
    log.submit(5)
    log.submit(6)
    decision = log.cycle()
    assert len(decision.starts) == 0 or not any(alone(decision))
    less_busy = min((first, second), key=lambda runner: (len(log.state.jobs_by_runner[runner]), runner))
    assert all(runner_id != less_busy for _, runner_id in started(decision))
    for aggregate in list(log.state.jobs_by_runner[less_busy]):
        number = next(n for n in range(2, 7) if aggregates.job(DEFAULT_TENANT, job(n)) == aggregate)
        log.complete(number, less_busy)
    decision = log.cycle()
    assert (1, less_busy) in started(decision)


def test_at_most_half_of_the_runners_are_for_quarantined_jobs() -> None:
    log = History()
    quarantine(log, 1, 2, 3, 4)
    for name in ("a", "b", "c", "d"):
        log.join(name, 4)
    log.submit(5)
    decision = log.cycle()
    assert started(decision)[:2] == [(1, "a"), (2, "b")]
    assert alone(decision) == [True, True, False]


def test_limits_hold_for_quarantined_jobs() -> None:
    log = History()
    quarantine(log, 1, 2)
    for name in ("a", "b", "c", "d"):
        log.join(name, 4)
    log.limit("owner", 1)
    assert started(log.cycle()) == [(1, "a")]
    log = History()
    quarantine(log, 1, 2)
    log.limit("global", 0)
    log.join("a", 4)
    assert not log.cycle()


def test_a_stop_a_fence_and_a_fault_of_the_engine_quarantine_no_job() -> None:
    log = History()
    log.submit(1)
    for number in range(MAX_REQUEUES):
        runner_id = log.join(f"r-{number}", 4)
        assert len(log.cycle().starts) == 1
        log.leave(runner_id)
        log.cycle()
        log.wait(LONG_S)
    assert not log.state.isolation_candidates


def test_a_runner_that_falls_silent_counts_as_crashed() -> None:
    log = History()
    log.submit(1)
    for number in range(MAX_SHARED_CRASHES):
        runner_id = log.join(f"r-{number}", 4)
        log.cycle()
        log.cycle(Observations({runner_id: 9.0}))
        log.wait(LONG_S)
    assert log.state.isolation_candidates


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_hostile_job_never_fails_another_one(data: st.DataObject) -> None:
    """Random runners and harmless jobs; the hostile job crashes every runner that has it."""
    log = History()
    hostile = data.draw(st.integers(1, 6))
    for number in range(1, 7):
        log.submit(number, owner=f"owner-{number % 3}")
    runners = 0
    for turn in range(120):
        must_end = turn >= 60
        log.wait(LONG_S)
        while len(log.state.runners) < 2:
            runners += 1
            log.join(f"r-{runners}", data.draw(st.integers(1, 4)))
        for start in log.cycle().starts:
            holders = log.state.jobs_by_runner[start.data.runner_id]
            is_alone = [log.state.jobs[job_id].life.is_alone for job_id in holders]
            assert not any(is_alone) or len(is_alone) == 1, "nothing runs beside a quarantined job"
        for runner_id in list(log.state.runners):
            held = sorted(log.state.jobs_by_runner.get(runner_id, ()))
            numbers = {n: log.state.jobs[a] for n in range(1, 7) for a in held if a.endswith(job(n))}
            if hostile in numbers:
                for ended in crash(log, runner_id).abandoned:
                    if isinstance(ended.data, JobFailed):
                        assert ended.job.life.id == job(hostile)
                        assert ended.data.failure.message.startswith("quarantined: ")
            else:
                for number, live in numbers.items():
                    if must_end or data.draw(st.booleans()):
                        log.complete(number, runner_id, attempt=live.life.attempt)
    assert job(hostile) not in {live.life.id for live in log.state.jobs.values()}, "it is quarantined in the end"
    assert SchedulerState.restore(log.state.snapshot()).isolation_candidates == log.state.isolation_candidates
    assert not list(check_decisions(log.stored))
