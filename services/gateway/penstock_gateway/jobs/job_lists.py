"""Lists of jobs: as they are now, never older than required, and as they were at a sequence of the log."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import anyio
from msgspec.structs import replace

from penstock_domain import aggregates
from penstock_domain.access import JobVisibility, needed_to_list, require_role, visible_owner
from penstock_domain.job.evolve import fold
from penstock_gateway.http.problems import NotYet
from penstock_gateway.index.index import Index
from penstock_gateway.index.job_status import DetailedStatus
from penstock_gateway.index.point_in_time import doubtful, page_of
from penstock_gateway.index.queries import JobQuery
from penstock_gateway.index.reading import Page
from penstock_gateway.jobs.log_end import require_reached
from penstock_ports import EventLog, PortError
from penstock_schemas.access import Principal
from penstock_schemas.ids import JobId
from penstock_schemas.views import Job

MOMENT_S: Final = 0.25
"""How long the first page of a list waits so that it misses nothing that others just wrote."""
LOADS: Final = 16
"""Jobs that one list loads from the log at the same time."""


class JobLists:
    """Pages of jobs, and how many there are."""

    def __init__(self, *, visibility: JobVisibility, log: EventLog, index: Index) -> None:
        self._visibility = visibility
        self._log = log
        self._index = index

    async def page(self, principal: Principal, query: JobQuery, *, min_seq: int = 0) -> Page:
        """Return one page of a list, not older than `min_seq`; jobs that `principal` does not see are not counted.

        Raises:
            Forbidden: the list is of another tenant, which `principal` may not list.
            BeyondLog: the log does not reach `min_seq`.
            NotYet, Unavailable: as `Index.reach` and `Index.page`.

        """
        visible = self._visible(principal, query)
        if min_seq > self._index.covered:
            await require_reached(self._log, min_seq)
            await self._index.reach(min_seq)
        return Page((), 0, None) if visible is None else await self._index.page(visible)

    async def page_then(self, principal: Principal, query: JobQuery) -> Page:
        """Return one page of a list as it was at `query.up_to_seq`; the jobs on it are as they were then, too.

        A page may hold fewer jobs than its size though others follow. Jobs that were deleted since are not in it.

        Raises:
            Forbidden: as `page`.
            Unavailable: the index is being rebuilt, or the log does not answer.

        """
        visible = self._visible(principal, query)
        if visible is None or visible.up_to_seq is None:
            return Page((), 0, None)
        await self._come_to(visible.up_to_seq)
        found = await self._index.candidates(visible)
        then = await self._then(doubtful(found, visible), visible.up_to_seq)
        return page_of(found, then, visible)

    async def moment(self) -> int:
        """Return the end of the log: a list up to there shows what is true now.

        It waits a moment for the lists to have come as far. Where the log or the view does not answer, the moment is
        what is known here.
        """
        seq = max(self._index.covered, self._index.own_seq)
        with anyio.move_on_after(MOMENT_S), suppress(PortError):
            seq = max(seq, await self._log.last_seq(deadline_s=MOMENT_S))
        await self._come_to(seq)
        return seq

    async def counts(self, principal: Principal) -> dict[DetailedStatus, int]:
        """Return the number of jobs that `principal` may see in its tenant, by detailed status.

        Raises:
            Unavailable: the index is being rebuilt.

        """
        return await self._index.counts(principal.tenant, visible_owner(principal, self._visibility))

    def _visible(self, principal: Principal, query: JobQuery) -> JobQuery | None:
        """Return the part of a list that `principal` sees; `None` when it is none of it."""
        action = f"list jobs of the tenant {query.tenant}"
        require_role(principal, needed_to_list(principal, query.tenant), action)
        owner = visible_owner(principal, self._visibility)
        if owner is None or query.owner == owner:
            return query
        return None if query.owner is not None else replace(query, owner=owner)

    async def _come_to(self, seq: int) -> None:
        """Wait a moment for the lists to have come to `seq`: one that is a little behind is better than none."""
        if seq > self._index.covered:
            with anyio.move_on_after(MOMENT_S), suppress(PortError, NotYet):
                await self._index.reach(seq)

    async def _then(self, jobs: Sequence[Job], seq: int) -> dict[JobId, Job]:
        """Return jobs as they were at `seq`."""
        then: dict[JobId, Job] = {}
        failed: list[PortError] = []
        places = anyio.Semaphore(LOADS)

        async def look(job: Job) -> None:
            async with places:
                try:
                    stored = await self._log.load(aggregates.job(job.tenant, job.id), min_version=job.head.version)
                except PortError as error:
                    failed.append(error)
                    return
            was = fold(event for event in stored if event.seq <= seq)
            if was is not None:
                then[job.id] = was

        async with anyio.create_task_group() as group:
            for job in jobs:
                group.start_soon(look, job)
        if failed:
            raise failed[0]
        return then
