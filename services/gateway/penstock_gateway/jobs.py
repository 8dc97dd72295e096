"""Single jobs and lists of them: read never older than asked for, cancelled by the core's rules."""

import time
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Final

import anyio
from msgspec import Struct

from penstock_core import aggregates
from penstock_core.chain import Stored, link
from penstock_core.job import UnknownJob, decide, evolve, fold
from penstock_core.ports import Conflict, Entry, EventLog, PortError, TaskBoard
from penstock_gateway.index.feeder import Index
from penstock_gateway.index.reading import Page
from penstock_gateway.problems import NotYet
from penstock_gateway.queries import JobQuery
from penstock_gateway.watchers import Watchers
from penstock_schemas.commands import CancelJob
from penstock_schemas.ids import EventId, JobId, TenantId
from penstock_schemas.jobs import JobState, TaskCounts
from penstock_schemas.views import Job

MAX_TRIES: Final = 5
"""Appends of one command; every further one follows a conflict."""
REACH_S: Final = 2.0
"""How long a reader waits for the log to come as far as it asked."""
POLL_S: Final = 0.02
LOOK_AGAIN_S: Final = 1.0
"""A long-poll looks into the log this often, also when nothing woke it."""
COUNTS_S: Final = 0.05
"""The live counts of a running job are left out when they take longer than this."""


class History(Struct, frozen=True):
    """A part of a job's events."""

    events: tuple[Stored, ...]
    is_over: bool
    """Whether the job is over and these are its last events."""


class Jobs:
    """What can be asked of jobs, and told to them."""

    def __init__(
        self,
        *,
        tenant: TenantId,
        log: EventLog,
        tasks: TaskBoard,
        index: Index,
        watchers: Watchers,
        now: Callable[[], datetime],
        is_behind: Callable[[], bool],
    ) -> None:
        self._tenant = tenant
        self._log = log
        self._tasks = tasks
        self._index = index
        self._watchers = watchers
        self._now = now
        self._is_behind = is_behind

    async def get(self, job_id: JobId, *, min_seq: int = 0) -> Job:
        """Return a job, at least as it was at `min_seq`.

        Raises:
            UnknownJob: the log has no such job.
            NotYet: the log has not come to `min_seq`.
            Unavailable: it has to be asked and does not answer.

        """
        job = self._index.get(job_id)
        is_fresh = job is not None and (job.head.seq >= min_seq or self._index.covered >= min_seq)
        if job is not None and (job.state.is_terminal or (is_fresh and not self._is_behind())):
            return job
        if min_seq:
            await self._wait_for_log(min_seq)
        job = fold(await self._log.load(aggregates.job(self._tenant, job_id)))
        if job is None:
            raise UnknownJob(f"job {job_id} was not found")
        self._index.put(job)
        return job

    async def counts(self, job: Job) -> TaskCounts:
        """Return how far a job is: live while it runs, where that is quickly known."""
        if job.state not in (JobState.RUNNING, JobState.CANCELLING):
            return job.tasks
        counts: TaskCounts | None = None
        try:
            with anyio.move_on_after(COUNTS_S):
                counts = await self._tasks.counts(self._tenant, job.id)
        except PortError:
            pass  # best effort: the job itself is still right
        return job.tasks if counts is None else counts

    async def page(self, query: JobQuery, *, min_seq: int = 0) -> Page:
        """Return one page of a list, not older than `min_seq`.

        Raises:
            NotYet, Unavailable: as `Index.reach` and `Index.page`.

        """
        if min_seq > self._index.covered:
            await self._index.reach(min_seq)
        return await self._index.page(query)

    async def cancel(self, job_id: JobId, *, reason: str | None, actor: str) -> Job:
        """End a job, wherever it stands; nothing happens when it already ends for that reason.

        Raises:
            UnknownJob: the log has no such job.
            JobEnded: it is over, in another way.
            Conflict, LogFull, Unavailable: as `EventLog.append`.

        """
        aggregate = aggregates.job(self._tenant, job_id)
        for _ in range(MAX_TRIES):
            job = fold(await self._log.load(aggregate))
            if job is None:
                raise UnknownJob(f"job {job_id} was not found")
            now = self._now()
            decided = decide(job, CancelJob(now=now, reason=reason))
            if not decided:
                return job
            event = link(job.head, aggregate, decided[0], event_id=EventId(uuid.uuid4().hex), time=now, actor=actor)
            try:
                stored = await self._log.append((Entry(event, expected=job.head.seq),))
            except Conflict:
                continue
            ended = evolve(job, stored[0])
            assert ended is not None, "a job stays a job"
            self._index.put(ended)
            return ended
        raise Conflict(f"job {job_id} changed at every one of {MAX_TRIES} tries")

    async def history(self, job_id: JobId, *, after: int, wait_s: float, limit: int) -> History:
        """Return the events of a job above `after`; when there is none, wait up to `wait_s` for the first.

        Raises:
            UnknownJob: the log has no such job.
            Unavailable: the log does not answer.

        """
        deadline = time.monotonic() + wait_s
        while True:
            changed = self._watchers.next(job_id)
            stored = await self._log.load(aggregates.job(self._tenant, job_id))
            job = fold(stored)
            if job is None:
                raise UnknownJob(f"job {job_id} was not found")
            later = tuple(each for each in stored if each.seq > after)
            left_s = deadline - time.monotonic()
            if later or job.state.is_terminal or left_s <= 0 or self._watchers.is_draining:
                shown = later[:limit]
                return History(shown, job.state.is_terminal and len(shown) == len(later))
            await self._watchers.wait(changed, min(left_s, LOOK_AGAIN_S))

    async def _wait_for_log(self, min_seq: int) -> None:
        last_seq = await self._log.last_seq()
        with anyio.move_on_after(REACH_S):
            while last_seq < min_seq:
                await anyio.sleep(POLL_S)
                last_seq = await self._log.last_seq()
        if last_seq < min_seq:
            raise NotYet(f"the log has come to sequence {last_seq}, not yet to {min_seq}")
