"""Failure detection: only completed reads count, and a server that lost its memory makes no runner silent."""

from datetime import UTC, datetime

from penstock_domain.lease import LEADER_SILENT_S
from penstock_scheduler.core.liveness import FailureDetector, LeaderWatch
from penstock_schemas.ids import RunnerId
from penstock_schemas.views import RunnerHeartbeat, SchedulerBeat

NOW = datetime(2026, 11, 21, tzinfo=UTC)
A = RunnerId("a")


class Reader:
    """Reads heartbeats; each read is answered at once."""

    def __init__(self) -> None:
        self.detector = FailureDetector()

    def read(self, at: float, count: int | None) -> dict[RunnerId, float]:
        beats = (
            {}
            if count is None
            else {A: RunnerHeartbeat(runner_id=A, count=count, time=NOW, name="a", slots=1, busy=0, engines={})}
        )
        self.detector.observe([A], beats, requested_at=at, answered_at=at)
        return self.detector.silent()


def test_a_runner_that_stops_beating_is_silent_after_a_while() -> None:
    reader = Reader()
    for second in range(100, 111):
        assert reader.read(second, 1 if second < 110 else None) == {}
    assert reader.read(111, None) == {A: 11.0}


def test_a_runner_that_beats_is_never_silent() -> None:
    reader = Reader()
    assert not any(reader.read(100 + second, second) for second in range(60))


def test_a_runner_that_was_never_seen_counts_from_when_it_was_expected() -> None:
    reader = Reader()
    assert not any(reader.read(100 + second, None) for second in range(11))
    assert reader.read(111, None) == {A: 11.0}


def test_a_pause_of_ones_own_makes_nobody_silent() -> None:
    reader = Reader()
    reader.read(100, 1)
    assert reader.read(160, 2) == {}
    assert reader.read(161, 2) == {}


def test_the_same_beat_after_an_outage_was_a_silence() -> None:
    reader = Reader()
    reader.read(100, 1)
    assert reader.read(112, 1) == {A: 12.0}


def test_a_server_that_restarted_between_two_reads_makes_no_runner_silent() -> None:
    reader = Reader()
    reader.read(100, 1)
    # The runner sent a heartbeat at 106; then the server was restarted.
    assert reader.read(112, None) == {}
    assert reader.read(113, 9) == {}


def test_a_server_that_just_forgot_takes_no_runner_for_silent() -> None:
    reader = Reader()
    reader.read(100, 1)
    for second in (101, 102, 103):
        reader.read(second, 1)
    reader.read(104, None)
    for second in range(105, 115):
        assert reader.read(second, None) == {}
    assert reader.read(115, None) == {A: 11.0}


def test_a_runner_that_is_expected_no_more_is_forgotten() -> None:
    reader = Reader()
    reader.read(100, 1)
    reader.detector.observe([], {}, requested_at=120, answered_at=120)
    assert reader.detector.silent() == {}


def beat(count: int) -> SchedulerBeat:
    return SchedulerBeat(holder="s", term=1, count=count, time=NOW)


def test_a_standby_waits_while_the_leader_beats() -> None:
    watch = LeaderWatch()
    assert not any(watch.is_vacant(beat(second), now=100 + second) for second in range(30))


def test_a_standby_takes_over_when_the_beat_stands_still() -> None:
    watch = LeaderWatch()
    assert not watch.is_vacant(beat(1), now=100)
    assert not watch.is_vacant(beat(1), now=103.9)
    assert watch.is_vacant(beat(1), now=100 + LEADER_SILENT_S)


def test_a_standby_takes_over_at_once_when_there_is_no_leader() -> None:
    assert LeaderWatch().is_vacant(None, now=100)


def test_a_new_leader_gets_time_for_its_first_beat() -> None:
    watch = LeaderWatch()
    watch.expect(now=100)
    assert not watch.is_vacant(None, now=101)
    assert watch.is_vacant(None, now=102)
