"""What a runner decides: given what it holds, when this happens, then it does that."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock_runner.core.orders import (
    DRAINING_REASON,
    FULL_REASON,
    UNKNOWN_REASON,
    Action,
    AttemptKey,
    AttemptLeft,
    DrainBegun,
    DrainExpired,
    HaltCause,
    Order,
    ReturnAttempt,
    RunnerInput,
    RunnerLease,
    SessionState,
    StartAttempt,
    StartOrder,
    StopAttempt,
    handle,
    remaining_s,
    renew,
)
from penstock_schemas.events import AttemptAssigned, StopOrdered
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId
from penstock_schemas.jobs import RequeueCause

EMPTY = SessionState(slots=2)


def assigned(seq: int, job: str, attempt: int = 1, *, slots: int = 1) -> Order:
    data = AttemptAssigned(job_id=JobId(job), tenant=DEFAULT_TENANT, attempt=attempt, job_version=2, slots=slots)
    return Order(seq, EventId(f"event-{seq}"), data)


def stopped(seq: int, job: str, attempt: int = 1) -> Order:
    return Order(seq, EventId(f"event-{seq}"), StopOrdered(job_id=JobId(job), tenant=DEFAULT_TENANT, attempt=attempt))


def start(seq: int, job: str, attempt: int = 1) -> StartOrder:
    return StartOrder(
        job_id=JobId(job), tenant=DEFAULT_TENANT, attempt=attempt, job_version=2, cause=EventId(f"event-{seq}")
    )


def stop_of(seq: int, job: str, attempt: int = 1) -> ReturnAttempt:
    order = StartOrder(
        job_id=JobId(job), tenant=DEFAULT_TENANT, attempt=attempt, job_version=0, cause=EventId(f"event-{seq}")
    )
    return ReturnAttempt(order, RequeueCause.REFUSED, UNKNOWN_REASON)


def key(job: str, attempt: int = 1) -> AttemptKey:
    return AttemptKey(JobId(job), attempt)


def after(*inputs: RunnerInput, given: SessionState = EMPTY) -> tuple[SessionState, tuple[Action, ...]]:
    """Return the state after all of it, and the last one's actions."""
    state, actions = given, tuple[Action, ...]()
    for runner_input in inputs:
        state, actions = handle(state, runner_input)
    return state, actions


class TestWide:
    def test_an_attempt_takes_all_of_its_slots(self) -> None:
        state, actions = after(assigned(1, "a", slots=2), assigned(2, "b"))
        assert (state.running, state.free, actions) == (frozenset({key("a")}), 0, ())
        state, actions = after(AttemptLeft(key("a")), given=state)
        assert (state.running, state.free, actions) == (frozenset({key("b")}), 1, (StartAttempt(start(2, "b")),))

    def test_those_behind_a_wide_attempt_wait_for_it(self) -> None:
        state, actions = after(assigned(1, "a"), assigned(2, "b", slots=2), assigned(3, "c"))
        assert (state.running, state.free, actions) == (frozenset({key("a")}), 1, ())
        state, _ = after(AttemptLeft(key("a")), given=state)
        assert (state.running, state.free) == (frozenset({key("b")}), 0)
        state, _ = after(AttemptLeft(key("b")), given=state)
        assert (state.running, state.wide) == (frozenset({key("c")}), ())

    def test_the_end_of_a_wide_attempt_starts_several(self) -> None:
        state, actions = after(assigned(1, "a", slots=2), assigned(2, "b"), assigned(3, "c"), AttemptLeft(key("a")))
        assert actions == (StartAttempt(start(2, "b")), StartAttempt(start(3, "c")))
        assert state.free == 0

    def test_one_that_is_too_wide_is_refused_at_once(self) -> None:
        state, actions = after(assigned(1, "a", slots=3))
        (returned,) = actions
        assert isinstance(returned, ReturnAttempt)
        assert (returned.reason, state.running, state.backlog) == (FULL_REASON, frozenset(), ())


class TestAssigned:
    def test_starts_while_there_is_a_slot(self) -> None:
        state, actions = after(assigned(1, "a"))
        assert actions == (StartAttempt(start(1, "a")),)
        assert state.running == {key("a")}

    def test_waits_while_a_slot_is_still_being_cleared(self) -> None:
        state, actions = after(assigned(1, "a"), assigned(2, "b"), assigned(3, "c"))
        assert actions == ()
        assert state.backlog == (start(3, "c"),)

    def test_is_refused_beyond_the_backlog(self) -> None:
        _, actions = after(*(assigned(seq, job) for seq, job in enumerate("abcde", 1)))
        assert actions == (ReturnAttempt(start(5, "e"), RequeueCause.REFUSED, FULL_REASON),)

    def test_is_refused_while_draining(self) -> None:
        _, actions = after(DrainBegun(), assigned(1, "a"))
        assert actions == (ReturnAttempt(start(1, "a"), RequeueCause.REFUSED, DRAINING_REASON),)

    def test_twice_is_once(self) -> None:
        state, actions = after(assigned(1, "a"), assigned(1, "a"))
        assert actions == ()
        assert state.running == {key("a")}

    def test_twice_under_another_sequence_is_once(self) -> None:
        _, actions = after(assigned(1, "a"), assigned(2, "a"))
        assert actions == ()

    def test_twice_in_the_backlog_is_once(self) -> None:
        state, _ = after(assigned(1, "a"), assigned(2, "b"), assigned(3, "c"), assigned(4, "c"))
        assert state.backlog == (start(3, "c"),)

    def test_again_after_it_ended_is_no_new_order(self) -> None:
        _, actions = after(assigned(1, "a"), AttemptLeft(key("a")), assigned(1, "a"))
        assert actions == ()

    def test_of_a_later_attempt_is_another_one(self) -> None:
        state, actions = after(assigned(1, "a"), AttemptLeft(key("a")), assigned(2, "a", attempt=2))
        assert actions == (StartAttempt(start(2, "a", attempt=2)),)
        assert state.running == {key("a", 2)}


class TestStopped:
    def test_halts_what_runs(self) -> None:
        state, actions = after(assigned(1, "a"), stopped(2, "a"))
        assert actions == (StopAttempt(key("a"), HaltCause.CANCELLED),)
        assert state.running == {key("a")}, "it holds its slot until it is over"

    def test_takes_what_waits_out_of_the_backlog(self) -> None:
        state, actions = after(assigned(1, "a"), assigned(2, "b"), assigned(3, "c"), stopped(4, "c"))
        assert state.backlog == ()
        assert actions == (stop_of(4, "c"),)

    def test_of_an_attempt_that_is_not_here_is_reported_to_the_log(self) -> None:
        state, actions = after(stopped(1, "a"))
        assert actions == (stop_of(1, "a"),)
        assert not state.running

    def test_leaves_another_attempt_of_the_job_alone(self) -> None:
        state, actions = after(assigned(1, "a", attempt=2), stopped(2, "a", attempt=1))
        assert actions == (stop_of(2, "a"),)
        assert state.running == {key("a", 2)}

    def test_twice_is_once(self) -> None:
        _, actions = after(assigned(1, "a"), stopped(2, "a"), stopped(2, "a"))
        assert actions == ()


class TestLeft:
    def test_frees_the_slot(self) -> None:
        state, actions = after(assigned(1, "a"), AttemptLeft(key("a")))
        assert (state.running, actions) == (frozenset(), ())

    def test_starts_the_first_that_waits(self) -> None:
        state, actions = after(*(assigned(seq, job) for seq, job in enumerate("abcd", 1)), AttemptLeft(key("b")))
        assert actions == (StartAttempt(start(3, "c")),)
        assert state.backlog == (start(4, "d"),)


class TestDrain:
    def test_gives_back_what_waits_and_lets_run_what_runs(self) -> None:
        state, actions = after(assigned(1, "a"), assigned(2, "b"), assigned(3, "c"), DrainBegun())
        assert actions == (ReturnAttempt(start(3, "c"), RequeueCause.PREEMPTED, DRAINING_REASON),)
        assert state.running == {key("a"), key("b")}

    def test_halts_what_still_runs_at_its_end(self) -> None:
        _, actions = after(assigned(1, "a"), assigned(2, "b"), DrainBegun(), DrainExpired())
        assert actions == (StopAttempt(key("a"), HaltCause.PREEMPTED), StopAttempt(key("b"), HaltCause.PREEMPTED))

    def test_of_an_idle_runner_has_nothing_to_do(self) -> None:
        assert after(DrainBegun(), DrainExpired())[1] == ()


class AnyOrders(RuleBasedStateMachine):
    """A runner keeps its guarantees under all orders, repeated and in any sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.state = SessionState(slots=3)
        self.seq = 0
        self.begun: set[AttemptKey] = set()
        self.running: set[AttemptKey] = set()
        self.assigned: set[AttemptKey] = set()
        self.settled: set[AttemptKey] = set()

    def _happen(self, runner_input: RunnerInput) -> None:
        self.state, actions = handle(self.state, runner_input)
        for action in actions:
            match action:
                case StartAttempt(order):
                    assert order.key not in self.begun, "an attempt began twice"
                    assert not self.state.draining, "an attempt began while draining"
                    self.begun.add(order.key)
                    self.running.add(order.key)
                case ReturnAttempt(order):
                    assert order.key not in self.running, "a running attempt was given back"
                    self.settled.add(order.key)
                case StopAttempt(attempt_key):
                    assert attempt_key in self.running, "an attempt was halted that does not run"

    @rule(job=st.sampled_from("abcdefgh"))
    def assign(self, job: str) -> None:
        # The log gives an attempt once: a number that was given before only comes as the same order again.
        attempt = sum(1 for item in self.assigned if item.job_id == job) + 1
        self.seq += 1
        self.assigned.add(key(job, attempt))
        self._happen(assigned(self.seq, job, attempt))

    @precondition(lambda self: self.seq > 0)
    @rule(data=st.data(), job=st.sampled_from("abcdefgh"))
    def deliver_again(self, data: st.DataObject, job: str) -> None:
        self._happen(assigned(data.draw(st.integers(1, self.seq)), job))

    @rule(job=st.sampled_from("abcdefgh"), attempt=st.integers(1, 4))
    def stop(self, job: str, attempt: int) -> None:
        self.seq += 1
        self._happen(stopped(self.seq, job, attempt))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        left = data.draw(st.sampled_from(sorted(self.running)))
        self.running.remove(left)
        self._happen(AttemptLeft(left))

    @rule()
    def drain(self) -> None:
        self._happen(DrainBegun())

    @rule()
    def expire(self) -> None:
        self._happen(DrainExpired())

    @invariant()
    def what_runs_fits_into_the_slots(self) -> None:
        assert self.running == self.state.running
        assert len(self.running) <= self.state.slots

    @invariant()
    def the_backlog_waits_only_for_slots(self) -> None:
        assert len(self.state.backlog) <= self.state.slots
        assert not self.state.backlog or len(self.state.running) == self.state.slots

    @invariant()
    def no_order_is_forgotten(self) -> None:
        waiting = {order.key for order in self.state.backlog}
        assert self.assigned <= self.begun | waiting | self.settled


TestAnyOrders = AnyOrders.TestCase


class TestLease:
    def test_ends_counted_from_the_sending_of_what_was_received(self) -> None:
        lease = renew(RunnerLease(8.0, 100.0), 103.0, now_s=103.5)
        assert remaining_s(lease, 104.0) == 7.0
        assert remaining_s(lease, 111.0) == 0.0
        assert remaining_s(lease, 500.0) == 0.0

    def test_is_not_revived_once_it_is_over(self) -> None:
        lease = renew(RunnerLease(8.0, 100.0), 107.0, now_s=108.0)
        assert remaining_s(lease, 108.0) == 0.0

    @given(st.lists(st.floats(0, 8, exclude_max=True), min_size=1))
    def test_is_as_good_as_the_latest_beat_in_every_order_of_arrival(self, beats: list[float]) -> None:
        lease = RunnerLease(8.0, 0.0)
        for sent_at_s in beats:
            lease = renew(lease, sent_at_s, now_s=min(7.99, lease.ends_at_s - 0.01))
        assert lease.renewed_at_s == max(0.0, *beats)
