"""One job as its runner uses it: the state that was read last, and the commands about its attempt."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import anyio

from penstock_domain import aggregates
from penstock_domain.deciders import JOB
from penstock_domain.job.errors import Refused
from penstock_ports import EventLog, Unavailable
from penstock_runtime.command_handler import CommandHandler, RetryPolicy, Target
from penstock_runtime.runtime import SYSTEM, Runtime
from penstock_schemas.commands import JobCommand
from penstock_schemas.ids import EventId, JobId, RunnerId, TenantId
from penstock_schemas.views import Job

RETRY_PAUSE_S: Final = 0.5
UNTIL_REPORTED: Final = RetryPolicy(max_conflicts=10, outage_pause_s=RETRY_PAUSE_S)
"""Each conflict means that another service changed the job; a runner shares it with a cancellation at most. An outage
is waited for without a bound: the runner's lease bounds it."""

Intent = Callable[[datetime], JobCommand]
"""Makes a command, given the time of the decision."""


class JobLog:
    """One job in the log, and its state as this runner read it last.

    Args:
        log: where the job is.
        tenant: the tenant of the job.
        job_id: the job.
        runner_id: this runner.
        cause: the event that led to the first command; the events of a command are the cause of the next one.
        runtime: the clock and the source of ids.

    """

    def __init__(
        self,
        log: EventLog,
        *,
        tenant: TenantId,
        job_id: JobId,
        runner_id: RunnerId,
        cause: EventId,
        runtime: Runtime = SYSTEM,
    ) -> None:
        self._log = log
        self._commands = CommandHandler(log, runtime=runtime)
        self._aggregate = aggregates.job(tenant, job_id)
        self._actor = f"runner:{runner_id}"
        self._is_current = False
        self._cause = cause
        self.job: Job | None = None
        """As read last; `None` when there is no such job, or before the first read."""

    async def load(self, *, min_version: int = 0) -> Job | None:
        """Read the job, at least up to `min_version`; wait for the log for as long as it takes.

        Raises:
            Unreadable: this version cannot read the job.

        """
        while True:
            try:
                self.job = JOB.fold(await self._log.load(self._aggregate, min_version=min_version))
            except Unavailable:
                await anyio.sleep(RETRY_PAUSE_S)
            else:
                self._is_current = True
                return self.job

    async def perform(self, intent: Intent) -> None:
        """Perform a command on the job; nothing is appended when its effect is there already.

        It waits for an unreachable or full log for as long as it takes: the runner's lease bounds it.

        Args:
            intent: makes the command; called again after each conflict.

        Raises:
            Refused: the job is not in a state in which the command is possible.
            TooLarge: an event of the decision is too large.
            TooManyConflicts: another service changed the job at each try.
            Unreadable: this version cannot read the job.

        """
        try:
            handled = await self._commands.handle_at(
                JOB,
                self._locate,
                lambda _, now: intent(now),
                actor=self._actor,
                cause=self._cause,
                retry=UNTIL_REPORTED,
            )
        except Refused:
            self._is_current = True  # the decision was the last step: nothing was appended since the job was read
            raise
        self.job = handled.state
        self._is_current = True
        if handled.events:
            self._cause = handled.events[-1]

    async def _locate(self) -> Target[Job]:
        job = self.job if self._is_current else await self.load()
        self._is_current = False  # if the append is interrupted, the job must be read again
        return Target(self._aggregate, job)
