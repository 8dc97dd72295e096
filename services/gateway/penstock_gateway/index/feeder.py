"""The gateway's query index: fed from the jobs view and its own writes, never older than a request requires."""

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import anyio
import structlog
from anyio import to_thread

from penstock_gateway.http.problems import NotYet
from penstock_gateway.index.change_notifier import ChangeNotifier
from penstock_gateway.index.job_status import DetailedStatus
from penstock_gateway.index.pending_writes import PendingWrites
from penstock_gateway.index.point_in_time import Candidates
from penstock_gateway.index.queries import JobQuery, microseconds
from penstock_gateway.index.reading import Page
from penstock_gateway.index.store import IndexStore
from penstock_gateway.index.writing import bundle_digest
from penstock_ports import JobsView, PortError, PositionLost, Unavailable
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.views import Job

MAX_APPLIED: Final = 1000
"""Jobs that are written at once; a list waits for no more than that."""
MAX_FILLED: Final = 5000
"""Jobs that are written at once while the index is filled and no list is answered."""
FLUSH_INTERVAL_S: Final = 0.25
"""Own writes are in the file this soon; before that they are answered from memory."""
RETRY_S: Final = 1.0
REACH_S: Final = 2.0
"""How long a list waits for the view to reach the sequence that its client requires."""
POLL_S: Final = 0.01
LOAD_S: Final = 5.0
"""How long a list waits for an index that is being filled."""

T = TypeVar("T")
log = structlog.get_logger()


class Index:
    """Answers lists and single jobs, without a request to anywhere when it can.

    Args:
        path: the database file.
        boot_id: names the run of the machine.
        view: what it is fed from.
        watchers: notified of every job that changed.

    """

    def __init__(self, path: Path, *, boot_id: str, view: JobsView, watchers: ChangeNotifier) -> None:
        self._path = path
        self._boot_id = boot_id
        self._view = view
        self._watchers = watchers
        self._store = IndexStore(path, boot_id=boot_id)
        self._writing = anyio.Lock()
        self._pending = PendingWrites()
        self._position = self._store.position
        self._moved = anyio.Event()
        self._is_useless = False
        self._is_checked = False
        self._is_loaded = False
        self._filling = 0  # counts the files: what was waited for in one does not concern the next
        self._covered = 0
        self._own_seq = 0

    @property
    def is_loaded(self) -> bool:
        """Whether it has everything that the view held when this process started."""
        return self._is_loaded

    @property
    def covered(self) -> int:
        """The sequence of the log up to which everything is known to be here."""
        return self._covered

    @property
    def own_seq(self) -> int:
        """The last sequence that this gateway wrote."""
        return self._own_seq

    def put(self, job: Job) -> None:
        """Take in a job that this gateway just wrote, or folded from the log; every answer from now on has it."""
        self._own_seq = max(self._own_seq, job.head.seq)
        if self._pending.add(job):
            self._watchers.beat(job.id)

    def get(self, job_id: JobId) -> Job | None:
        """Return a job as far as it is known here."""
        found = self._pending.get(job_id)
        try:
            stored = self._store.get(job_id)
        except sqlite3.Error:
            return found  # the log has it; the feeder notices the broken file and rebuilds it
        if found is None or (stored is not None and stored.head.seq > found.head.seq):
            return stored
        return found

    async def read_view(self, job_id: JobId) -> Job | None:
        """Return a job that is not known here as the view has it.

        Raises:
            Unavailable: the view does not answer.

        """
        return await self._view.get(job_id)

    async def page(self, query: JobQuery) -> Page:
        """Return one page of a list.

        Raises:
            Unavailable: the index is being built or filled, or cannot be written.

        """
        return await self._list(lambda: self._store.page(query))

    async def candidates(self, query: JobQuery) -> Candidates:
        """Return what may be on a page of a list as it was at `up_to_seq`.

        Raises:
            Unavailable: as `page`.

        """
        return await self._list(lambda: self._store.candidates(query))

    async def _list(self, read: Callable[[], T]) -> T:
        with anyio.move_on_after(LOAD_S):
            while not self._is_loaded:
                await self._moved.wait()
        if not self._is_loaded:
            raise Unavailable("the list of jobs is still being loaded")
        async with self._reading():
            return await to_thread.run_sync(read)

    async def counts(self, tenant: TenantId, owner: str | None) -> dict[DetailedStatus, int]:
        """Return the number of jobs of a tenant, or of one owner in it, by detailed status.

        Raises:
            Unavailable: the index is being rebuilt, or cannot be written.

        """
        async with self._reading():
            return self._store.counts(tenant, owner)

    async def ended_before(self, detailed_status: DetailedStatus, before: datetime, *, limit: int) -> tuple[Job, ...]:
        """Return jobs of every tenant that have this status and ended earlier, as far as the index has them.

        Raises:
            Unavailable: the index is being rebuilt, or cannot be written.

        """
        read = partial(self._store.ended_before, detailed_status, microseconds(before), limit=limit)
        async with self._reading():
            return await to_thread.run_sync(read)

    async def has_bundle(self, key: str) -> bool:
        """Return whether a job that is in the index and not deleted may have the bundle under this key.

        Raises:
            Unavailable: the index is being rebuilt, or cannot be written.

        """
        async with self._reading():
            return self._store.has_bundle(bundle_digest(key))

    @asynccontextmanager
    async def _reading(self) -> AsyncGenerator[None, None]:
        """Have everything that is pending in the file, to read from it within the block.

        Raises:
            Unavailable: the file is broken and being rebuilt, or cannot be written, as on a full disk.

        """
        try:
            await self._flush()
            yield
        except sqlite3.OperationalError as error:  # the file itself is whole
            raise Unavailable(f"the list of jobs cannot be had just now: {error}") from error
        except sqlite3.Error as error:
            raise Unavailable(f"the list of jobs is being rebuilt ({error})") from error

    async def reach(self, min_seq: int) -> None:
        """Wait until everything up to `min_seq` is in the index.

        Raises:
            NotYet: the view did not come that far in time.
            Unavailable: the view does not answer.

        """
        with anyio.move_on_after(REACH_S):
            while self._covered < min_seq:
                await self._advance()
                if self._covered < min_seq:
                    await anyio.sleep(POLL_S)
        if self._covered < min_seq:
            raise NotYet(f"the list has come to sequence {self._covered}, not yet to {min_seq}")

    async def run(self) -> None:
        """Follow the view for ever, and write what is pending now and then."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._flush_now_and_then)
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

    def close(self) -> None:
        """Write what is pending and close the file."""
        try:
            self._store.apply(self._pending.waiting)
            self._store.close()
        except sqlite3.Error as error:
            log.warning("index_not_closed", reason=str(error))

    async def _follow(self) -> None:
        await self._check_same_log()
        self._is_checked = True
        self._notify_moved()
        async with aclosing(self._view.changes(after=self._position)) as changes:
            async for position, jobs in changes:
                limit = MAX_APPLIED if self._is_loaded else MAX_FILLED
                whole = max(0, (len(jobs) - 1) // limit) * limit
                for first in range(0, whole, limit):
                    await self._apply(jobs[first : first + limit])
                await self._apply(jobs[whole:], position=position)
                for job in jobs:
                    self._watchers.beat(job.id)
                    self._pending.remove(job)  # it is in the file, from the view

    async def _note_when_loaded(self) -> None:
        """Note when everything is here that was there at the start, each time that the file is filled."""
        while True:
            if self._is_loaded:
                await self._moved.wait()
                continue
            try:
                await self._advance()
            except PortError as error:
                log.warning("jobs_view_away", reason=str(error))
                await anyio.sleep(RETRY_S)

    async def _advance(self) -> None:
        """Wait until the index has all that the view holds now, and note how far in the log that is."""
        while not self._is_checked:
            await self._moved.wait()
        filling = self._filling
        checkpoint = await self._view.checkpoint()
        target = await self._view.position()
        while self._position < target and self._filling == filling:
            await self._moved.wait()
        if self._filling != filling:
            return
        if not self._is_loaded:
            await self._complete()
            if self._filling != filling:
                return
        self._covered = max(self._covered, checkpoint)
        if not self._is_loaded:
            self._is_loaded = True
            self._notify_moved()
            log.info("index_loaded", position=self._position, covered=self._covered)

    async def _complete(self) -> None:
        try:
            async with self._writing:
                await _in_thread(self._store.complete)
        except sqlite3.Error as error:
            raise Unavailable(f"the index of the list of jobs cannot be built: {error}") from error

    async def _check_same_log(self) -> None:
        """Throw the file away when its newest job is not the view's: it was filled from another log."""
        newest = self._store.newest()
        if newest is None or self._position == 0:
            return
        seen = await self._view.get(newest.id)
        if seen is None or seen.created_seq != newest.created_seq:
            raise PositionLost("the index was filled from another log")

    async def _apply(self, jobs: tuple[Job, ...], *, position: int | None = None) -> None:
        async with self._writing:
            await _in_thread(partial(self._store.apply, jobs, position=position))
            if position is not None:
                self._position = position
        self._notify_moved()

    async def _flush(self) -> None:
        if not self._pending:
            return
        async with self._writing:
            while jobs := self._pending.begin(MAX_APPLIED):
                try:
                    await _in_thread(partial(self._store.apply, jobs))
                except BaseException:
                    self._pending.undo()
                    raise
                self._pending.end()

    async def _flush_now_and_then(self) -> None:
        while True:
            await anyio.sleep(FLUSH_INTERVAL_S)
            try:
                await self._flush()
            except sqlite3.Error as error:
                log.warning("index_not_writable", reason=str(error))

    async def _rebuild(self) -> None:
        async with self._writing:
            self._is_checked = False
            self._is_loaded = False
            self._covered = 0
            self._filling += 1
            self._store.destroy()
            self._store = await _in_thread(partial(IndexStore, self._path, boot_id=self._boot_id))
            self._position = 0
            self._is_useless = False
        self._notify_moved()

    def _notify_moved(self) -> None:
        moved, self._moved = self._moved, anyio.Event()
        moved.set()


async def _in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread; a caller that is cancelled meanwhile goes on once it is done."""
    return await to_thread.run_sync(work)
