"""The registration of this runner in the log: joined, draining, left."""

from typing import Final

import structlog

from penstock_domain import aggregates
from penstock_domain.deciders import RUNNER
from penstock_domain.runner import DrainRunner, JoinRunner, LeaveRunner, RunnerCommand
from penstock_ports import EventLog, Unreadable
from penstock_runtime.command_handler import CommandHandler, RetryPolicy
from penstock_runtime.runtime import SYSTEM, Runtime
from penstock_schemas.events import RunnerJoined
from penstock_schemas.ids import RunnerId

UNTIL_STORED: Final = RetryPolicy(max_conflicts=None, outage_pause_s=0.5)
"""A runner repeats a command about itself until it is stored; its lease, or its shutdown deadline, bounds it."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger("penstock_runner")


class RunnerRegistration:
    """Registers one runner. It waits for an unreachable log for as long as it takes: the caller bounds that."""

    def __init__(self, log: EventLog, runner_id: RunnerId, *, runtime: Runtime = SYSTEM) -> None:
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
