"""Who is silent, and since when: from what heartbeats were seen at which time of one's own clock.

Times are seconds of a monotonic clock. Only what was asked and answered counts, so a process that was paused, or could
not ask, takes nobody for silent because of that.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from penstock_domain.lease import MAX_LEASE_S, RUNNER_LOST_S
from penstock_schemas.ids import RunnerId
from penstock_schemas.views import RunnerHeartbeat, SchedulerBeat

BEAT_EVERY_S: Final = 1.0
"""The leading scheduler beats, and a standby looks, this often."""
MAX_GAP_S: Final = 2.0
"""Between two answers no more may have passed for the second one to say what happened in between."""
LEADER_SILENT_S: Final = 4.0
"""A standby takes over when the leader was silent for so long."""
NEWCOMER_GRACE_S: Final = 2.0
"""So long may a new leader take to its first beat."""


class FailureDetector:
    """The runners' silence, as one scheduler hears it.

    Heartbeats are kept in memory, and a server that restarts forgets them. So a runner that is missing may have been
    heard after we asked last, unless it had been silent for so long by then that it had fenced itself.
    """

    def __init__(self, lost_s: float = RUNNER_LOST_S) -> None:
        self._lost_s = lost_s
        self._counts: dict[RunnerId, int] = {}
        self._present: frozenset[RunnerId] = frozenset()
        """Who was there at the last answer."""
        self._alive_until: dict[RunnerId, float] = {}
        """The latest time at which a runner may have been heard, as far as we know."""
        self._asked_at = 0.0
        self._answered_at = 0.0

    def heard(
        self,
        expected: Iterable[RunnerId],
        beats: Mapping[RunnerId, RunnerHeartbeat],
        *,
        asked_at: float,
        answered_at: float,
    ) -> None:
        """Take in the heartbeats that were there at some time between `asked_at` and `answered_at`.

        Args:
            expected: the runners that should be alive. One that was not expected before counts from now.
            beats: who was heard, and how often so far.
            asked_at: a silence lasts at least until here.
            answered_at: a new beat may be as young as this.

        """
        known, self._alive_until = self._alive_until, {}
        is_gap = asked_at - self._answered_at > MAX_GAP_S
        for runner_id in expected:
            beat, until = beats.get(runner_id), known.get(runner_id)
            if until is None or (beat is not None and self._counts.get(runner_id) != beat.count):
                is_alive = True
            else:
                was_fenced = self._asked_at - until >= MAX_LEASE_S
                is_alive = beat is None and not was_fenced and (is_gap or runner_id in self._present)
            self._alive_until[runner_id] = answered_at if is_alive or until is None else until
            if beat is not None:
                self._counts[runner_id] = beat.count
        self._counts = {each: count for each, count in self._counts.items() if each in self._alive_until}
        self._present = frozenset(beats)
        self._asked_at, self._answered_at = asked_at, answered_at

    def silent(self) -> dict[RunnerId, float]:
        """Return the runners that were silent for too long, with the seconds."""
        silences = {runner_id: round(self._asked_at - until, 3) for runner_id, until in self._alive_until.items()}
        return {runner_id: silent_s for runner_id, silent_s in silences.items() if silent_s >= self._lost_s}


class LeaderWatch:
    """A standby's watch: when the leader's place is free."""

    def __init__(self, silent_s: float = LEADER_SILENT_S) -> None:
        self._silent_s = silent_s
        self._last: SchedulerBeat | None = None
        self._changed_at: float | None = None
        self._grace_until = 0.0

    def expect(self, *, now: float) -> None:
        """Give time: somebody was just elected, or nobody could be heard."""
        self._grace_until = now + NEWCOMER_GRACE_S
        self._changed_at = now

    def is_vacant(self, beat: SchedulerBeat | None, *, now: float) -> bool:
        """Take in the leader's last beat, `None` when there is none, and say whether to take over."""
        if beat is None:
            # Silenced on a clean stop, or there never was a leader: nothing to wait for.
            return now >= self._grace_until
        known = self._last
        if known is None or (known.holder, known.term, known.count) != (beat.holder, beat.term, beat.count):
            self._last, self._changed_at = beat, now
        return self._changed_at is not None and now - self._changed_at >= self._silent_s
