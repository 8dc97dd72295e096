"""Feeding the query index: it follows the jobs view, and rebuilds a file that is broken or of another log."""

import sqlite3
from contextlib import aclosing
from functools import partial
from typing import Final

import anyio
import structlog

from penstock_gateway.index.index import MAX_APPLIED, Index, in_thread
from penstock_gateway.index.store import IndexStore
from penstock_ports import PortError, PositionLost
from penstock_schemas.views import Job

MAX_FILLED: Final = 5000
"""Jobs that are written at once while the index is filled and no list is answered."""
FLUSH_INTERVAL_S: Final = 0.25
"""Own writes are in the file this soon; before that they are answered from memory."""
RETRY_S: Final = 1.0

log = structlog.get_logger()


class IndexFeeder:
    """Feeds an index from the jobs view and from its pending writes."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._is_useless = False

    async def run(self) -> None:
        """Follow the view for ever, and write what is pending soon after it came."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._flush_pending)
            group.start_soon(self._note_when_loaded)
            while True:
                try:
                    if self._is_useless:
                        await self._rebuild()
                    await self._follow()
                except PositionLost:
                    log.warning("index_is_of_another_log")
                    self._is_useless = True
                except sqlite3.OperationalError as error:  # locked, or the disk is full: the file itself is whole
                    log.warning("index_not_writable", reason=str(error))
                except (sqlite3.Error, OSError) as error:
                    log.warning("index_broken", reason=str(error))
                    self._is_useless = True
                except PortError as error:
                    log.warning("jobs_view_away", reason=str(error))
                await anyio.sleep(RETRY_S)

    async def _follow(self) -> None:
        await self._check_same_log()
        self._index.is_checked = True
        self._index.moved.beat()
        async with aclosing(self._index.view.changes(after=self._index.position)) as changes:
            async for position, jobs in changes:
                limit = MAX_APPLIED if self._index.is_loaded else MAX_FILLED
                whole = max(0, (len(jobs) - 1) // limit) * limit
                for first in range(0, whole, limit):
                    await self._apply(jobs[first : first + limit])
                await self._apply(jobs[whole:], position=position)
                for job in jobs:
                    self._index.watchers.beat(job.id)
                    self._index.pending.remove(job)  # it is in the file, from the view

    async def _note_when_loaded(self) -> None:
        """Note when everything is here that was there at the start, each time that the file is filled."""
        while True:
            if self._index.is_loaded:
                await self._index.moved.wait()
                continue
            try:
                await self._index.advance()
            except PortError as error:
                log.warning("jobs_view_away", reason=str(error))
                await anyio.sleep(RETRY_S)

    async def _check_same_log(self) -> None:
        """Throw the file away when its newest job is not the view's: it was filled from another log."""
        newest = self._index.store.newest()
        if newest is None or self._index.position == 0:
            return
        seen = await self._index.view.get(newest.id)
        if seen is None or seen.created_seq != newest.created_seq:
            raise PositionLost("the index was filled from another log")

    async def _apply(self, jobs: tuple[Job, ...], *, position: int | None = None) -> None:
        async with self._index.writing:
            await in_thread(partial(self._index.store.apply, jobs, position=position))
            if position is not None:
                self._index.position = position
        self._index.moved.beat()

    async def _flush_pending(self) -> None:
        while True:
            while not self._index.pending:
                await self._index.has_pending.wait()
            await anyio.sleep(FLUSH_INTERVAL_S)
            try:
                await self._index.flush()
            except sqlite3.Error as error:
                log.warning("index_not_writable", reason=str(error))

    async def _rebuild(self) -> None:
        async with self._index.writing:
            self._index.is_checked = False
            self._index.is_loaded = False
            self._index.covered = 0
            self._index.filling += 1
            self._index.store.destroy()
            self._index.store = await in_thread(partial(IndexStore, self._index.path, boot_id=self._index.boot_id))
            self._index.position = 0
            self._is_useless = False
        self._index.moved.beat()
