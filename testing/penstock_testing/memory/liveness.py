"""Heartbeats in a dictionary."""

from collections.abc import Callable, Mapping

from penstock_domain.lease import HEARTBEAT_TTL_S
from penstock_schemas.ids import RunnerId
from penstock_schemas.views import RunnerHeartbeat, SchedulerBeat


class MemoryHeartbeats:
    """A `Heartbeats`, ageing by the clock that it was given."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._runners: dict[RunnerId, tuple[float, RunnerHeartbeat]] = {}
        self._scheduler: tuple[float, SchedulerBeat] | None = None

    async def beat(self, heartbeat: RunnerHeartbeat, *, deadline_s: float = 2.0) -> None:
        """Report that a runner is alive."""
        self._runners[heartbeat.runner_id] = (self._clock(), heartbeat)

    async def runners(self) -> Mapping[RunnerId, RunnerHeartbeat]:
        """Return the last heartbeat of every runner that is alive."""
        return {
            runner_id: beat for runner_id, (received_at, beat) in self._runners.items() if self._is_fresh(received_at)
        }

    async def silence(self, runner_id: RunnerId) -> None:
        """Forget a runner that left."""
        self._runners.pop(runner_id, None)

    async def beat_scheduler(self, beat: SchedulerBeat, *, deadline_s: float = 2.0) -> None:
        """Report that the leading scheduler is alive."""
        self._scheduler = (self._clock(), beat)

    async def scheduler(self) -> SchedulerBeat | None:
        """Return the leading scheduler's last beat."""
        if self._scheduler is None or not self._is_fresh(self._scheduler[0]):
            return None
        return self._scheduler[1]

    async def silence_scheduler(self) -> None:
        """Forget the leader."""
        self._scheduler = None

    def _is_fresh(self, received_at: float) -> bool:
        return self._clock() - received_at < HEARTBEAT_TTL_S
