"""Who is silent, and since when: from what heartbeats were seen at which time of one's own clock.

Times are seconds of a monotonic clock. Only what was asked and answered counts, so a process that was paused, or could
not ask, takes nobody for silent because of that.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from penstock_schemas.ids import RunnerId
from penstock_schemas.views import RunnerHeartbeat, SchedulerBeat

BEAT_EVERY_S: Final = 1.0
SELF_FENCE_S: Final = 8.0
"""A runner that was not heard for so long has killed its work."""
RUNNER_LOST_S: Final = 11.0
"""A runner is lost when it was silent for so long: `SELF_FENCE_S` and the time that killing may take."""
LEADER_SILENT_S: Final = 4.0
"""A standby takes over when the leader was silent for so long."""
NEWCOMER_GRACE_S: Final = 2.0
"""So long may a new leader take to its first beat."""


class Silences:
    """The runners' silence, as one scheduler hears it."""

    def __init__(self, lost_s: float = RUNNER_LOST_S) -> None:
        self._lost_s = lost_s
        self._counts: dict[RunnerId, int] = {}
        self._alive_until: dict[RunnerId, float] = {}
        """The latest time at which a runner may have been heard, as far as we know."""
        self._asked_at = 0.0

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
        self._asked_at = asked_at
        alive: dict[RunnerId, float] = {}
        for runner_id in expected:
            beat = beats.get(runner_id)
            is_new = beat is not None and self._counts.get(runner_id) != beat.count
            if is_new or runner_id not in self._alive_until:
                alive[runner_id] = answered_at
            else:
                alive[runner_id] = self._alive_until[runner_id]
        self._alive_until = alive
        self._counts = {
            runner_id: beats[runner_id].count if runner_id in beats else self._counts.get(runner_id, -1)
            for runner_id in alive
        }

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
