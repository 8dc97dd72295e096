"""The query index as the gateway uses it: never older than requested, and with the gateway's own writes at once."""

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import anyio
import structlog
from anyio import to_thread

from penstock_gateway.http.problems import NotYet
from penstock_gateway.index.change_notifier import ChangeNotifier
from penstock_gateway.index.job_status import DetailedStatus
from penstock_gateway.index.point_in_time import Candidates
from penstock_gateway.index.queries import JobQuery, microseconds
from penstock_gateway.index.reading import Page
from penstock_gateway.index.store import IndexStore
from penstock_gateway.index.writing import bundle_digest
from penstock_ports import JobsView, Unavailable
from penstock_runtime.notify import Notifier
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.views import Job

MAX_APPLIED: Final = 1000
"""Jobs that are written at once; a list waits for no more than that."""
REACH_S: Final = 2.0
"""How long a list waits for the view to reach the sequence that its client requires."""
MAX_CHILDREN: Final = 200
"""Jobs that retry or repeat one job, of which it shows those that the caller may see."""
POLL_S: Final = 0.01
LOAD_S: Final = 5.0
"""How long a list waits for an index that is being filled."""

T = TypeVar("T")
log = structlog.get_logger()


class PendingWrites:
    """The newest form of each job that waits to be written, and the batch that is being written."""

    def __init__(self) -> None:
        self._waiting: dict[JobId, Job] = {}
        self._written: dict[JobId, Job] = {}
        self._derived: dict[JobId, JobId] = {}
        """The parents of the jobs that wait and have one, so that few are looked through for children."""

    def __bool__(self) -> bool:
        """Return whether anything waits or is being written."""
        return bool(self._waiting or self._written)

    @property
    def waiting(self) -> tuple[Job, ...]:
        """The jobs that wait."""
        return tuple(self._waiting.values())

    def add(self, job: Job) -> bool:
        """Add a job, unless a form as new waits already; return whether it was added."""
        known = self._waiting.get(job.id)
        if known is not None and known.head.seq >= job.head.seq:
            return False
        self._waiting[job.id] = job
        if job.spec.lineage is not None:
            self._derived[job.id] = job.spec.lineage.parent
        return True

    def children_of(self, parent: JobId) -> tuple[Job, ...]:
        """Return the jobs that retry or repeat a job."""
        found = (self.get(child) for child, its_parent in self._derived.items() if its_parent == parent)
        return tuple(job for job in found if job is not None)

    def get(self, job_id: JobId) -> Job | None:
        """Return a job that waits or is being written."""
        return self._waiting.get(job_id) or self._written.get(job_id)

    def remove(self, job: Job) -> None:
        """Remove a job that the file has in this form from another source, unless a newer form waits."""
        known = self._waiting.get(job.id)
        if known is not None and known.head.seq <= job.head.seq:
            del self._waiting[job.id]
            self._prune()

    def begin(self, limit: int) -> tuple[Job, ...]:
        """Return the next batch to be written; `end` or `undo` follows."""
        self._written = {job_id: self._waiting.pop(job_id) for job_id in tuple(islice(self._waiting, limit))}
        return tuple(self._written.values())

    def end(self) -> None:
        """Forget the batch: the file has it."""
        self._written = {}
        self._prune()

    def undo(self) -> None:
        """Let the batch wait again; a newer form that arrived meanwhile replaces an older one."""
        self._waiting = {**self._written, **self._waiting}
        self._written = {}

    def _prune(self) -> None:
        if self._derived:
            self._derived = {child: parent for child, parent in self._derived.items() if self.get(child) is not None}


class Index:
    """Answers lists and single jobs, without a request to anywhere when it can.

    Args:
        path: the database file.
        boot_id: names the run of the machine.
        view: what it is fed from.
        watchers: notified of every job that changed.

    """

    def __init__(self, path: Path, *, boot_id: str, view: JobsView, watchers: ChangeNotifier) -> None:
        self.path: Final = path
        self.boot_id: Final = boot_id
        self.view: Final = view
        self.watchers: Final = watchers
        self.store = IndexStore(path, boot_id=boot_id)
        self.pending: Final = PendingWrites()
        self.writing: Final = anyio.Lock()
        """Held by the task that writes the file."""
        self.position = self.store.position
        """The position of the view up to which everything is in the file."""
        self.moved: Final = Notifier()
        self.has_pending: Final = Notifier()
        """Beats when something waits to be written and nothing did before."""
        self.is_checked = False
        """Whether the file is known to be of this log."""
        self.is_loaded = False
        """Whether it has everything that the view held when this process started."""
        self.filling = 0
        """Counts the files: what a caller waits for in one does not concern the next."""
        self.covered = 0
        """The sequence of the log up to which everything is known to be here."""
        self.own_seq = 0
        """The last sequence that this gateway wrote."""
        self.is_behind = False
        """Whether what this gateway wrote has been missing from the view for too long; `Readiness` observes it."""

    def put(self, job: Job) -> None:
        """Take in a job that this gateway just wrote, or folded from the log; every answer from now on has it."""
        self.own_seq = max(self.own_seq, job.head.seq)
        had_pending = bool(self.pending)
        if self.pending.add(job):
            self.watchers.beat(job.id)
            if not had_pending:
                self.has_pending.beat()

    def get(self, job_id: JobId) -> Job | None:
        """Return a job as far as it is known here."""
        found = self.pending.get(job_id)
        try:
            stored = self.store.get(job_id)
        except sqlite3.Error:
            return found  # the log has it; the feeder notices the broken file and rebuilds it
        if found is None or (stored is not None and stored.head.seq > found.head.seq):
            return stored
        return found

    def children(self, tenant: TenantId, parent: JobId) -> tuple[Job, ...]:
        """Return the newest jobs that retry or repeat a job, the newest first, as far as they are known here."""
        found = {job.id: job for job in self.pending.children_of(parent)}
        try:
            stored = self.store.children(tenant, parent, limit=MAX_CHILDREN)
        except sqlite3.Error:
            stored = ()  # as in `get`
        for job in stored:
            newer = self.pending.get(job.id)
            found[job.id] = job if newer is None or newer.head.seq < job.head.seq else newer
        kept = (job for job in found.values() if job.deleted_at is None)
        return tuple(sorted(kept, key=lambda job: -job.created_seq)[:MAX_CHILDREN])

    async def read_view(self, job_id: JobId) -> Job | None:
        """Return a job that is not known here as the view has it.

        Raises:
            Unavailable: the view does not answer.

        """
        return await self.view.get(job_id)

    async def page(self, query: JobQuery) -> Page:
        """Return one page of a list.

        Raises:
            Unavailable: the index is being built or filled, or cannot be written.

        """
        return await self._list(lambda: self.store.page(query))

    async def candidates(self, query: JobQuery) -> Candidates:
        """Return what may be on a page of a list as it was at `up_to_seq`.

        Raises:
            Unavailable: as `page`.

        """
        return await self._list(lambda: self.store.candidates(query))

    async def _list(self, read: Callable[[], T]) -> T:
        with anyio.move_on_after(LOAD_S):
            while not self.is_loaded:
                await self.moved.wait()
        if not self.is_loaded:
            raise Unavailable("the list of jobs is still being loaded")
        async with self._reading():
            return await to_thread.run_sync(read)

    async def counts(self, tenant: TenantId, owner: str | None) -> dict[DetailedStatus, int]:
        """Return the number of jobs of a tenant, or of one owner in it, by detailed status.

        Raises:
            Unavailable: the index is being rebuilt, or cannot be written.

        """
        async with self._reading():
            return self.store.counts(tenant, owner)

    async def ended_before(self, detailed_status: DetailedStatus, before: datetime, *, limit: int) -> tuple[Job, ...]:
        """Return jobs of every tenant that have this status and ended earlier, as far as the index has them.

        Raises:
            Unavailable: the index is being rebuilt, or cannot be written.

        """
        read = partial(self.store.ended_before, detailed_status, microseconds(before), limit=limit)
        async with self._reading():
            return await to_thread.run_sync(read)

    async def has_bundle(self, key: str) -> bool:
        """Return whether a job that is in the index and not deleted may have the bundle under this key.

        Raises:
            Unavailable: the index is being rebuilt, or cannot be written.

        """
        async with self._reading():
            return self.store.has_bundle(bundle_digest(key))

    @asynccontextmanager
    async def _reading(self) -> AsyncGenerator[None, None]:
        """Have everything that is pending in the file, to read from it within the block.

        Raises:
            Unavailable: the file is broken and being rebuilt, or cannot be written, as on a full disk.

        """
        try:
            await self.flush()
            yield
        except sqlite3.OperationalError as error:  # the file itself is whole
            raise Unavailable(f"the list of jobs cannot be read now: {error}") from error
        except sqlite3.Error as error:
            raise Unavailable(f"the list of jobs is being rebuilt ({error})") from error

    async def reach(self, min_seq: int) -> None:
        """Wait until everything up to `min_seq` is in the index.

        Raises:
            NotYet: the view did not come that far in time.
            Unavailable: the view does not answer.

        """
        with anyio.move_on_after(REACH_S):
            while self.covered < min_seq:
                await self.advance()
                if self.covered < min_seq:
                    await anyio.sleep(POLL_S)
        if self.covered < min_seq:
            raise NotYet(f"the list contains the log up to sequence {self.covered}, not yet up to {min_seq}")

    def close(self) -> None:
        """Write what is pending and close the file."""
        try:
            self.store.apply(self.pending.waiting)
            self.store.close()
        except sqlite3.Error as error:
            log.warning("index_not_closed", reason=str(error))

    async def advance(self) -> None:
        """Wait until the index has all that the view holds now, and note how far in the log that is."""
        while not self.is_checked:
            await self.moved.wait()
        filling = self.filling
        checkpoint = await self.view.checkpoint()
        target = await self.view.position()
        while self.position < target and self.filling == filling:
            await self.moved.wait()
        if self.filling != filling:
            return
        if not self.is_loaded:
            await self._complete()
            if self.filling != filling:
                return
        self.covered = max(self.covered, checkpoint)
        if not self.is_loaded:
            self.is_loaded = True
            self.moved.beat()
            log.info("index_loaded", position=self.position, covered=self.covered)

    async def _complete(self) -> None:
        try:
            async with self.writing:
                await in_thread(self.store.complete)
        except sqlite3.Error as error:
            raise Unavailable(f"the index of the list of jobs cannot be built: {error}") from error

    async def flush(self) -> None:
        """Write everything that is pending.

        Raises:
            sqlite3.Error: the file is broken or cannot be written; it stays pending.

        """
        if not self.pending:
            return
        async with self.writing:
            while jobs := self.pending.begin(MAX_APPLIED):
                try:
                    await in_thread(partial(self.store.apply, jobs))
                except BaseException:
                    self.pending.undo()
                    raise
                self.pending.end()


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread; a caller that is cancelled meanwhile goes on once it is done."""
    return await to_thread.run_sync(work)
