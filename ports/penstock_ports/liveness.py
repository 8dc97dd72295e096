"""Who is there, and answers: heartbeats, and plans that runners make."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from penstock_schemas.ids import RunnerId
from penstock_schemas.plans import PlanReply, PlanRequest
from penstock_schemas.views import RunnerHeartbeat, SchedulerBeat


class Heartbeats(Protocol):
    """Who is alive. Nothing here is remembered for longer than the lease."""

    async def beat(self, heartbeat: RunnerHeartbeat, *, deadline_s: float = 2.0) -> None:
        """Report that a runner is alive; returns when the report was received.

        Raises:
            Unavailable: it was not received before the deadline.

        """
        ...

    async def runners(self) -> Mapping[RunnerId, RunnerHeartbeat]:
        """Return the last heartbeat of every runner that is alive.

        Raises:
            Unavailable: it is not known who is alive.

        """
        ...

    async def silence(self, runner_id: RunnerId) -> None:
        """Forget a runner that left."""
        ...

    async def beat_scheduler(self, beat: SchedulerBeat, *, deadline_s: float = 2.0) -> None:
        """Report that the leading scheduler is alive."""
        ...

    async def scheduler(self) -> SchedulerBeat | None:
        """Return the leading scheduler's last beat; `None` when it is silent."""
        ...

    async def silence_scheduler(self) -> None:
        """Forget the leader: it stepped down, a standby may take over at once."""
        ...


PlanAnswer = Callable[[PlanRequest], Awaitable[PlanReply]]
"""Makes a plan; never raises but by cancellation."""


class Plans(Protocol):
    """Plans of jobs, requested by gateways and made by runners. Nothing of it is stored."""

    async def request(self, request: PlanRequest, *, deadline_s: float) -> PlanReply:
        """Have one of the runners that offer the request's engine make a plan.

        Raises:
            TooLarge: the request is larger than a message may be.
            Unavailable: no runner listens, or none answers in time.

        """
        ...

    async def serve(self, engines: Sequence[str], answer: PlanAnswer) -> None:
        """Answer requests for these engines, several at a time, for ever."""
        ...
