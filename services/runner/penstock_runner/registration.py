"""The registration of this runner in the log: joined, draining, left."""

from collections.abc import Callable
from contextlib import aclosing
from typing import Final

import anyio
import structlog

from penstock_domain import aggregates
from penstock_domain.deciders import RUNNER
from penstock_domain.runner import DrainRunner, JoinRunner, LeaveRunner, RunnerCommand
from penstock_ports import EventLog, PortError, Unreadable
from penstock_runtime.command_handler import CommandHandler, RetryPolicy
from penstock_runtime.runtime import SYSTEM, Runtime
from penstock_schemas.events import RecordDamaged, RunnerJoined, RunnerLeft, RunnerLost
from penstock_schemas.ids import RunnerId

UNTIL_STORED: Final = RetryPolicy(max_conflicts=None, outage_pause_s=0.5)
"""A runner repeats a command about itself until it is stored; its lease, or its shutdown deadline, bounds it."""
CHECK_S: Final = 30.0
"""How often an idle runner reads whether the log still has its registration."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger("penstock_runner")


class RunnerRegistration:
    """Registers one runner. It waits for an unreachable log for as long as it takes: the caller bounds that."""

    def __init__(self, log: EventLog, runner_id: RunnerId, *, runtime: Runtime = SYSTEM) -> None:
        self._log = log
        self._commands = CommandHandler(log, runtime=runtime)
        self._runner_id = runner_id
        self.is_joined = False

    async def join(self, joined: RunnerJoined) -> None:
        """Register the runner; it can be given work from now on."""
        await self._perform(JoinRunner(joined=joined))
        self.is_joined = True

    async def drain(self) -> None:
        """Record that the runner takes no further work."""
        await self._perform(DrainRunner(runner_id=self._runner_id, reason="stop requested"))

    async def leave(self, reason: str, *, is_crash: bool = False) -> None:
        """Record that none of its work is running any more; nothing happens if it never joined or is gone already."""
        await self._perform(LeaveRunner(runner_id=self._runner_id, reason=reason, is_crash=is_crash))

    async def until_ended(self) -> None:
        """Return when the log has the end of this runner, or an event of it that cannot be read."""
        async with aclosing(self._log.read(aggregates=aggregates.runner(self._runner_id))) as batches:
            async for batch in batches:
                if any(isinstance(stored.event.data, RunnerLost | RunnerLeft | RecordDamaged) for stored in batch):
                    return

    async def until_lost(self, is_idle: Callable[[], bool]) -> None:
        """Return when the log has no event of this runner any more: then no scheduler gives it work.

        It is examined at times at which `is_idle` holds: a runner that works is known.
        """
        while True:
            await anyio.sleep(CHECK_S)
            if not is_idle():
                continue
            try:
                state = await self._commands.load(RUNNER, aggregates.runner(self._runner_id))
            except PortError as error:
                _log.warning("registration_not_checked", runner_id=self._runner_id, reason=str(error))
            else:
                if state is None:
                    return

    async def _perform(self, command: RunnerCommand) -> None:
        try:
            await self._commands.handle(
                RUNNER,
                aggregates.runner(self._runner_id),
                lambda _, __: command,
                actor=f"runner:{self._runner_id}",
                retry=UNTIL_STORED,
            )
        except Unreadable as error:
            # Nothing can be appended after an event that cannot be read. The scheduler declares a silent runner lost.
            _log.error("runner_events_damaged", runner_id=self._runner_id, reason=str(error))
