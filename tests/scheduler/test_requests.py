"""Jobs that request several slots of one runner, or GPUs: they start when there is room, and nobody starves."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scheduler.history import History, job, started

from penstock_domain import aggregates
from penstock_domain.scheduling.capacity import Capacity, Request, why_never
from penstock_domain.scheduling.waiting import why
from penstock_scheduler.core.decision import Observations
from penstock_scheduler.core.free_slots import FreeSlots
from penstock_scheduler.core.replay import check_decisions
from penstock_scheduler.core.snapshots import compress, encode_state, restore_state
from penstock_scheduler.core.state import fold
from penstock_scheduler.core.summary import summarize
from penstock_schemas.api import Waiting, WaitReason
from penstock_schemas.ids import DEFAULT_TENANT
from penstock_schemas.views import Job


def slots_of(log: History, number: int) -> int:
    return log.state.jobs[aggregates.job(DEFAULT_TENANT, job(number))].life.slots


def gpus_of(log: History, number: int) -> tuple[str, ...]:
    return log.state.jobs[aggregates.job(DEFAULT_TENANT, job(number))].life.gpus


def waiting_of(log: History, number: int) -> Waiting | None:
    from penstock_domain.job.evolve import fold as fold_job

    name = aggregates.job(DEFAULT_TENANT, job(number))
    view: Job | None = fold_job(stored for stored in log.stored if stored.event.aggregate == name)
    assert view is not None
    return why(view, summarize(log.state), frozenset({"mock"}), 0.0, is_led=True)


def test_a_job_takes_as_many_slots_of_one_runner_as_hold_its_cores() -> None:
    log = History()
    log.join("small", 4, cores=1)
    log.join("large", 4, cores=4)
    log.submit(1, cores=6)
    log.submit(2, cores=3)
    log.submit(3)
    assert started(log.cycle()) == [(1, "large"), (2, "large"), (3, "small")]
    assert [slots_of(log, number) for number in (1, 2, 3)] == [2, 1, 1]
    assert log.state.free_slots(log.state.runners[log.join("other", 1)]) == 1


def test_a_runner_that_does_not_state_its_cores_gives_one_slot() -> None:
    log = History()
    log.join("old", 2)
    log.submit(1, cores=64)
    assert started(log.cycle()) == [(1, "old")]
    assert slots_of(log, 1) == 1


def test_a_wide_job_that_goes_first_gets_its_runner_though_narrow_ones_keep_coming() -> None:
    log = History()
    runner = log.join("r", 2, cores=1)
    for number in (1, 2):
        log.submit(number)
    log.cycle()
    log.submit(3, cores=2)
    for number in (4, 5, 6):
        log.submit(number)
    log.complete(1, runner)
    assert not log.cycle(), "the free slot is kept for the wide job"
    log.complete(2, runner)
    assert started(log.cycle()) == [(3, "r")]
    log.complete(3, runner)
    assert started(log.cycle()) == [(4, "r"), (5, "r")]
    assert not list(check_decisions(log.stored))


def test_narrow_jobs_overtake_on_other_runners_and_only_half_of_the_runners_are_reserved() -> None:
    log = History()
    runners = [log.join(f"r{number}", 2, cores=1) for number in range(4)]
    for number in range(1, 9):
        log.submit(number)
    log.cycle()
    for number in (1, 2, 3, 4):  # the first of each runner
        log.complete(number, log.state.jobs[aggregates.job(DEFAULT_TENANT, job(number))].life.runner_id or runners[0])
    for number in range(10, 20):
        log.submit(number, cores=2, owner=f"owner-{number}")
    for number in range(20, 30):
        log.submit(number)
    assert started(log.cycle()) == [(20, "r2"), (21, "r3")]


def test_a_job_that_no_runner_can_ever_hold_stops_nobody_else() -> None:
    log = History()
    log.join("r", 2, cores=1)
    log.submit(1, cores=64)
    log.submit(2, gpus=1)
    log.submit(3)
    assert started(log.cycle()) == [(3, "r")]
    waiting = waiting_of(log, 1)
    assert waiting is not None
    assert waiting.reason is WaitReason.NO_RUNNER
    assert "64 cores" in waiting.text
    assert "2 cores" in waiting.text
    waiting = waiting_of(log, 2)
    assert waiting is not None
    assert "1 GPU" in waiting.text


def test_a_job_that_waits_for_several_slots_shows_that() -> None:
    log = History()
    runner = log.join("r", 3, cores=1)
    for number in (1, 2, 3):
        log.submit(number)
    log.cycle()
    log.submit(4, cores=3)
    log.complete(1, runner)
    assert not log.cycle()
    waiting = waiting_of(log, 4)
    assert waiting is not None
    assert (waiting.reason, waiting.position) == (WaitReason.NO_SLOT, 1)
    assert "3 cores of one runner" in waiting.text
    assert "1 core free" in waiting.text


def test_gpus_are_given_to_one_job_each_and_come_back_with_its_end_and_with_its_runner() -> None:
    log = History()
    runner = log.join("r", 4, gpus=("0", "1", "7"))
    log.submit(1, gpus=2)
    log.submit(2, gpus=1)
    log.submit(3, gpus=1)
    log.submit(4)
    assert started(log.cycle()) == [(1, "r"), (2, "r")], "the fourth slot is reserved for the third job"
    assert (gpus_of(log, 1), gpus_of(log, 2)) == (("0", "1"), ("7",))
    log.complete(1, runner)
    assert started(log.cycle()) == [(3, "r"), (4, "r")]
    assert gpus_of(log, 3) == ("0",)
    other = log.join("other", 2, gpus=("a",))
    log.cycle(Observations({runner: 60.0}))
    assert other in log.state.runners
    log.wait(600)
    log.cycle()
    assert sorted(gpus_of(log, number) for number in (2, 3)) == [(), ("a",)]


def test_a_snapshot_keeps_requests_and_what_is_held() -> None:
    log = History()
    log.join("r", 4, cores=2, gpus=("0", "1"))
    log.submit(1, cores=4, gpus=1)
    log.submit(2, cores=8)
    log.cycle()
    raw = encode_state(log.state)
    restored = restore_state(compress(raw), seq=log.state.seq)
    assert encode_state(restored) == raw == encode_state(fold(log.stored))
    (runner,) = restored.runners.values()
    assert (restored.free_slots(runner), restored.free_gpus(runner)) == (2, ("1",))


def test_why_a_request_can_never_be_met() -> None:
    small, gpu = Capacity(slots=2, cores=2), Capacity(slots=1, cores=1, gpus=2)
    assert why_never(Request(cores=4), [small, gpu]) is None
    assert why_never(Request(cores=5), []) is None
    assert why_never(Request(cores=5, gpus=1), [small, gpu]) == (
        "it requests 5 cores and 1 GPU of one runner, and the largest connected runner has 4 cores and 2 GPUs"
    )
    assert why_never(Request(cores=2, gpus=1), [small, gpu]) is not None, "the two are of different runners"


REQUESTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2), st.booleans()), min_size=1, max_size=25)
RUNNERS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(RUNNERS, REQUESTS)
def test_every_job_that_fits_some_runner_starts_and_nothing_is_given_twice(
    runners: list[tuple[int, int, int]], requests: list[tuple[int, int, bool]]
) -> None:
    log = History()
    for number, (slots, cores, gpus) in enumerate(runners):
        log.join(f"r{number}", slots, cores=cores, gpus=tuple(map(str, range(gpus))))
    capacities = [Capacity(slots=slots, cores=cores, gpus=gpus) for slots, cores, gpus in runners]
    possible: set[int] = set()
    for number, (cores, gpus, is_urgent) in enumerate(requests, start=1):
        log.submit(number, cores=cores, gpus=gpus, priority=int(is_urgent), owner=f"owner-{number % 3}")
        if any(one.slots_for(Request(cores=cores, gpus=gpus)) is not None for one in capacities):
            possible.add(number)
    begun: set[int] = set()
    running: list[tuple[int, str]] = []
    for _ in range(3 * len(requests) + 3):
        new = started(log.cycle())
        begun |= {number for number, _ in new}
        running += new
        for runner in log.state.runners.values():
            assert log.state.free_slots(runner) >= 0
            held = [
                gpu for name in log.state.jobs_by_runner.get(runner.id, ()) for gpu in log.state.jobs[name].life.gpus
            ]
            assert len(held) == len(set(held))
            assert set(held) <= set(runner.gpus)
        if running:
            number, _ = running.pop(0)
            life = log.state.jobs[aggregates.job(DEFAULT_TENANT, job(number))].life
            assert life.runner_id is not None
            log.complete(number, life.runner_id)
    assert begun == possible
    assert not list(check_decisions(log.stored))
    assert FreeSlots(log.state, frozenset(), frozenset()).has("mock")
