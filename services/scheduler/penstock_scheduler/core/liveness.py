"""Failure detection: which runners are silent, and since when, and whether the leader is.

Times are seconds of the reader's monotonic clock. Only completed reads count, so a process that was paused, or could
not read, declares no runner silent because of that.
"""

from collections.abc import Iterable, Mapping

from penstock_domain.lease import LEADER_GRACE_S, LEADER_SILENT_S, MAX_LEASE_S, MAX_READ_GAP_S, RUNNER_LOST_S
from penstock_schemas.ids import RunnerId
from penstock_schemas.views import RunnerHeartbeat, SchedulerBeat


class FailureDetector:
    """Detects silent runners from the heartbeats that one scheduler reads.

    The server keeps heartbeats in memory and forgets them when it restarts. So a runner without a heartbeat may have
    sent one after the last read, unless it had been silent for so long by then that it had fenced itself.
    """

    def __init__(self, lost_s: float = RUNNER_LOST_S) -> None:
        self._lost_s = lost_s
        self._counts: dict[RunnerId, int] = {}
        self._present: frozenset[RunnerId] = frozenset()
        """The runners that had a heartbeat at the last read."""
        self._alive_until: dict[RunnerId, float] = {}
        """The latest time at which each runner may have sent a heartbeat."""
        self._requested_at = 0.0
        self._answered_at = 0.0

    def observe(
        self,
        expected: Iterable[RunnerId],
        beats: Mapping[RunnerId, RunnerHeartbeat],
        *,
        requested_at: float,
        answered_at: float,
    ) -> None:
        """Process the heartbeats that were stored at some time between `requested_at` and `answered_at`.

        Args:
            expected: the runners that should be alive. One that was not expected before counts from now.
            beats: the last heartbeat of each runner that has one.
            requested_at: a silence lasts at least until here.
            answered_at: a new beat may be as young as this.

        """
        known, self._alive_until = self._alive_until, {}
        is_gap = requested_at - self._answered_at > MAX_READ_GAP_S
        for runner_id in expected:
            beat, until = beats.get(runner_id), known.get(runner_id)
            if until is None or (beat is not None and self._counts.get(runner_id) != beat.count):
                is_alive = True
            else:
                was_fenced = self._requested_at - until >= MAX_LEASE_S
                is_alive = beat is None and not was_fenced and (is_gap or runner_id in self._present)
            self._alive_until[runner_id] = answered_at if is_alive or until is None else until
            if beat is not None:
                self._counts[runner_id] = beat.count
        self._counts = {runner: count for runner, count in self._counts.items() if runner in self._alive_until}
        self._present = frozenset(beats)
        self._requested_at, self._answered_at = requested_at, answered_at

    def silent(self) -> dict[RunnerId, float]:
        """Return the runners that were silent for too long, with the seconds."""
        silent_for_s = {
            runner_id: round(self._requested_at - until, 3) for runner_id, until in self._alive_until.items()
        }
        return {runner_id: silent_s for runner_id, silent_s in silent_for_s.items() if silent_s >= self._lost_s}


class LeaderWatch:
    """Decides for a standby when the leadership is vacant."""

    def __init__(self, silent_s: float = LEADER_SILENT_S) -> None:
        self._silent_s = silent_s
        self._last: SchedulerBeat | None = None
        self._changed_at: float | None = None
        self._grace_until = 0.0

    def expect(self, *, now: float) -> None:
        """Begin a grace period: a leader was just elected, or heartbeats could not be read."""
        self._grace_until = now + LEADER_GRACE_S
        self._changed_at = now

    def is_vacant(self, beat: SchedulerBeat | None, *, now: float) -> bool:
        """Process the leader's last heartbeat, `None` when there is none; return whether to take over."""
        if beat is None:
            # The leader removed it on a clean stop, or there never was a leader: there is nothing to wait for.
            return now >= self._grace_until
        known = self._last
        if known is None or (known.holder, known.term, known.count) != (beat.holder, beat.term, beat.count):
            self._last, self._changed_at = beat, now
        return self._changed_at is not None and now - self._changed_at >= self._silent_s
