"""The lease, with both production cores: nothing of a runner's work is left when a scheduler declares it lost.

The model has one clock. Heartbeats and their acknowledgements are delayed or lost, the server forgets what it stored,
and reads fail; the runner renews its lease with its core, the scheduler counts with `FailureDetector`.
"""

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_domain.lease import (
    HEARTBEAT_DEADLINE_S,
    HEARTBEAT_INTERVAL_S,
    HEARTBEAT_TTL_S,
    KILL_S,
    LEADER_GRACE_S,
    LEADER_HEARTBEAT_INTERVAL_S,
    LEADER_SILENT_S,
    LEASE_CHECK_S,
    MAX_LEASE_S,
    MAX_READ_GAP_S,
    MIN_LEASE_S,
    RUNNER_LOST_S,
)
from penstock_runner.core.orders import RunnerLease, renew
from penstock_runner.settings import RunnerSettings
from penstock_runtime.settings import BadSettings, read_settings
from penstock_scheduler.core.liveness import FailureDetector
from penstock_schemas.ids import RunnerId
from penstock_schemas.views import RunnerHeartbeat

A = RunnerId("a")
NOW = datetime(2026, 11, 21, tzinfo=UTC)
START_S = 1000.0
"""The model's clock begins well after zero, as a real one does."""
RESTARTS_APART_S = 3.0
"""A server that restarted needs this long until it can forget again."""

Delay = float | None
"""Seconds; `None` when the message is lost."""
delays = st.none() | st.integers(0, 25).map(lambda tenths: tenths / 10)


class World:
    """One runner, one server, one scheduler."""

    def __init__(self, lease_s: float) -> None:
        self.now_s = START_S
        self.lease = RunnerLease(lease_s, START_S)
        self.detector = FailureDetector()
        self.count = 0
        self.stored: RunnerHeartbeat | None = None
        self.lost_at_s: float | None = None
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.detector.observe([A], {}, requested_at=START_S, answered_at=START_S)

    def at(self, time_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (time_s, next(self._order), action))

    def run(self) -> None:
        while self._agenda and self.lost_at_s is None:
            self.now_s, _, action = heapq.heappop(self._agenda)
            action()

    def beat(self, delivery: Delay, answer: Delay) -> None:
        if self.now_s >= self.lease.ends_at_s:
            return
        sent_at_s, self.count = self.now_s, self.count + 1
        beat = RunnerHeartbeat(runner_id=A, count=self.count, time=NOW, name="a", slots=1, busy=0, engines={})
        if delivery is None:
            return
        self.at(sent_at_s + delivery, lambda: self.store(beat))
        if answer is not None and delivery + answer <= HEARTBEAT_DEADLINE_S:
            self.at(sent_at_s + delivery + answer, lambda: self.renew(sent_at_s))

    def store(self, beat: RunnerHeartbeat) -> None:
        self.stored = beat

    def renew(self, sent_at_s: float) -> None:
        self.lease = renew(self.lease, sent_at_s, now_s=self.now_s)

    def forget(self) -> None:
        self.stored = None

    def read(self, before_s: float, after_s: float) -> None:
        requested_at, beats = self.now_s, dict[RunnerId, RunnerHeartbeat]()

        def look() -> None:
            if self.stored is not None:
                beats[A] = self.stored

        def answer() -> None:
            self.detector.observe([A], beats, requested_at=requested_at, answered_at=self.now_s)
            if self.detector.silent():
                self.lost_at_s = self.now_s

        self.at(requested_at + before_s, look)
        self.at(requested_at + before_s + after_s, answer)


@settings(deadline=None)
@given(
    lease_s=st.floats(MIN_LEASE_S, MAX_LEASE_S),
    beats=st.lists(st.tuples(delays, delays), max_size=25),
    reads=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 20), st.integers(0, 20)), max_size=60),
    restarts=st.lists(st.integers(0, 60), max_size=6),
)
def test_a_lost_runner_has_killed_its_work(
    lease_s: float, beats: list[tuple[Delay, Delay]], reads: list[tuple[int, int, int]], restarts: list[int]
) -> None:
    world = World(lease_s)
    for index, (delivery, answer) in enumerate(beats):
        at_s = START_S + 0.05 + index * HEARTBEAT_INTERVAL_S
        world.at(at_s, lambda delivery=delivery, answer=answer: world.beat(delivery, answer))  # type: ignore[misc]
    read_s = START_S
    for pause, before, after in reads:
        read_s += pause / 10
        world.at(read_s, lambda before=before, after=after: world.read(before / 10, after / 10))  # type: ignore[misc]
        read_s += (before + after) / 10
    restart_s = START_S
    for pause in restarts:
        restart_s += RESTARTS_APART_S + pause / 10
        world.at(restart_s, world.forget)
    world.run()
    assert world.lost_at_s is None or world.lease.ends_at_s + KILL_S <= world.lost_at_s + 1e-6


def test_a_longer_lease_would_let_two_attempts_run() -> None:
    world = World(MAX_LEASE_S + 1)
    world.at(START_S, lambda: world.beat(0.0, 0.0))
    for second in range(9):
        world.at(START_S + 0.25 + second, lambda: world.read(0.0, 0.0))
    # One more heartbeat is seen, in a ninth second that the constants do not allow; then the server forgets.
    world.at(START_S + 8.5, lambda: world.beat(0.0, 0.0))
    world.at(START_S + 8.6, world.forget)
    for second in range(9, 13):
        world.at(START_S + 0.25 + second, lambda: world.read(0.0, 0.0))
    world.run()
    assert world.lost_at_s is not None
    assert world.lease.ends_at_s > world.lost_at_s


def test_the_constants_leave_time_for_the_kill() -> None:
    assert MAX_LEASE_S + KILL_S <= RUNNER_LOST_S
    assert LEASE_CHECK_S < KILL_S
    assert HEARTBEAT_INTERVAL_S + HEARTBEAT_DEADLINE_S < MAX_LEASE_S


def test_the_constants_of_heartbeats_fit_each_other() -> None:
    assert HEARTBEAT_INTERVAL_S < MAX_READ_GAP_S < MAX_LEASE_S, "one lost read is no gap"
    assert HEARTBEAT_TTL_S > MAX_LEASE_S, "a heartbeat is stored for longer than the lease that it renews"
    assert LEADER_HEARTBEAT_INTERVAL_S < LEADER_GRACE_S < LEADER_SILENT_S


def test_the_runner_takes_the_longest_lease_by_default_and_no_longer_one() -> None:
    assert read_settings(RunnerSettings, {}).lease_s == MAX_LEASE_S
    with pytest.raises(BadSettings, match=r"PENSTOCK_LEASE_S is '8.5': expected a number from 2.0 to 8.0"):
        read_settings(RunnerSettings, {"PENSTOCK_LEASE_S": "8.5"})
