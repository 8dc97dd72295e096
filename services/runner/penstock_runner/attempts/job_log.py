"""One job as its runner sees it: loaded, decided upon, appended to, and loaded again when somebody else was faster."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import anyio

from penstock_domain import aggregates
from penstock_domain.chain import link
from penstock_domain.job import decide
from penstock_domain.job_fold import evolve, fold
from penstock_ports import AppendEntry, Conflict, EventLog, LogFull, Unavailable
from penstock_runtime.runtime import SYSTEM, Runtime
from penstock_schemas.commands import JobCommand
from penstock_schemas.events import JobEventData
from penstock_schemas.ids import EventId, JobId, RunnerId, TenantId
from penstock_schemas.views import EMPTY_HEAD, Job

MAX_CONFLICTS: Final = 10
"""Each conflict means that somebody else did something to the job; a runner shares it with a cancel at most."""
RETRY_PAUSE_S: Final = 0.5

Intent = Callable[[datetime], JobCommand]
"""Makes the command, given the time of the decision."""


class TooManyConflicts(Exception):
    """The job moved on at every try."""


class JobLog:
    """The events of one job, as far as this runner has read them.

    Args:
        log: where they are.
        tenant: whose job it is.
        job_id: the job.
        runner_id: this runner.
        cause: the event that led to the first one that is appended here; each further one was led to by the one before.
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
        self._runtime = runtime
        self._aggregate = aggregates.job(tenant, job_id)
        self._actor = f"runner:{runner_id}"
        self._is_current = False
        self._cause = cause
        self.job: Job | None = None
        """As last read; `None` when there is none, or before the first read."""

    async def load(self, *, min_version: int = 0) -> Job | None:
        """Read the job anew, at least up to `min_version`; wait for the log for as long as it takes.

        Raises:
            Unreadable: the job cannot be read by this version.

        """
        while True:
            try:
                self.job = fold(await self._log.load(self._aggregate, min_version=min_version))
            except Unavailable:
                await anyio.sleep(RETRY_PAUSE_S)
            else:
                self._is_current = True
                return self.job

    async def perform(self, intent: Intent) -> None:
        """Decide what `intent` asks for and append what happens; nothing is appended when it already is so.

        It waits for an unreachable or full log for as long as it takes: the runner's lease is what bounds that.

        Args:
            intent: asked anew whenever the job had to be read again.

        Raises:
            Refused: the job is not in a state where this can be done.
            Unreadable: the job cannot be read by this version.
            TooManyConflicts: somebody else was faster every time.

        """
        conflicts = 0
        while conflicts < MAX_CONFLICTS:
            job = self.job if self._is_current else await self.load()
            now = self._runtime.now()
            happened = decide(job, intent(now))
            if not happened:
                return
            [data] = happened  # what a runner asks for makes one event
            try:
                await self._append(data, now)
            except Conflict:
                conflicts += 1
            except (Unavailable, LogFull):
                await anyio.sleep(RETRY_PAUSE_S)
            else:
                return
        raise TooManyConflicts(f"{self._aggregate} moved on {MAX_CONFLICTS} times")

    async def _append(self, data: JobEventData, now: datetime) -> None:
        head = EMPTY_HEAD if self.job is None else self.job.head
        event_id = EventId(self._runtime.new_id())
        event = link(head, self._aggregate, data, event_id=event_id, time=now, actor=self._actor, cause=self._cause)
        self._is_current = False  # whatever ends this append half-way: the job must be read again
        [stored] = await self._log.append([AppendEntry(event, head.seq)])
        self.job = evolve(self.job, stored)
        self._cause = event.id
        self._is_current = True
