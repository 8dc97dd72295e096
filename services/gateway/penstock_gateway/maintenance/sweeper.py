"""The sweeper: removes blobs that nothing refers to, such as what a killed gateway left of an upload.

A reference to a blob is written within hours of the blob: the files of an upload, for a job or an entry of the
catalogue, have a separate prefix, and the bundles that submissions share are those of one day. So what was written
some days ago, and is referred to by nothing that the log holds, will never be referred to. To the files of a plan
nothing refers, and the pins of a source are only kept for its next run. What was there before the log stays, because
the store may have served another one. No gateway has to lead: a blob that two of them remove is gone all the same.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Final

import anyio
import structlog
from msgspec import Struct

from penstock_domain import aggregates
from penstock_domain.damage import is_unreadable
from penstock_domain.policy.pipelines import Pipeline, fold
from penstock_gateway.http.problems import NotYet
from penstock_gateway.index.index import Index
from penstock_ports import Blobs, EventLog, PortError, Unreadable, WrittenBlob
from penstock_runtime.runtime import Runtime
from penstock_schemas.ids import JobId, is_token
from penstock_schemas.views import Job

JOBS: Final = "jobs"
PIPELINES: Final = "pipelines"
BUNDLES: Final = "sources"
PLANS: Final = "plans"
PINS: Final = "remote-sources"
PINS_AFTER: Final = timedelta(days=365)
"""How old the manifest of a source's remote files must be: each run of the source that uses it writes it again."""
FIRST_PAUSE_S: Final = 60.0
"""A gateway that starts has better things to do."""
SWEEP_INTERVAL_S: Final = 600.0
PAGE: Final = 1000
MAX_PAGES: Final = 10
"""What one round looks at of each folder; the next one goes on from there."""
MAX_UPLOAD_FILES: Final = 20_000
"""More files of one job are not looked at together; no upload has as many."""
BEFORE_SOURCES: Final = "sourc"
"""Of a job that is there, only uploads can be loose: what comes before `source` in the order of keys is its own."""

BEFORE_LOG: Final = timedelta(days=1)
"""How long before the log's first event its files may have been written: no upload takes as long."""
READ_S: Final = 10.0

log = structlog.get_logger()


class Swept(Struct, frozen=True):
    """What one round did."""

    seen: int
    removed: tuple[str, ...]
    """Keys."""


class Sweeper:
    """Removes blobs that nothing refers to.

    Args:
        after: how old they must be; nothing: they stay for ever.
        blobs: the blob store.
        index: knows which jobs there are, and which bundles they brought.
        event_log: gives the sequence that the index must have reached, and the catalogue's entries.
        runtime: the clock and the source of ids.

    """

    def __init__(self, after: timedelta, *, blobs: Blobs, index: Index, event_log: EventLog, runtime: Runtime) -> None:
        self._after = after
        self._blobs = blobs
        self._index = index
        self._log = event_log
        self._runtime = runtime
        self._began_at: datetime | None = None
        self._places = dict.fromkeys((JOBS, PIPELINES, BUNDLES, PLANS, PINS), "")
        self._removed = 0

    async def run(self) -> None:
        """Sweep for ever, now and then; return at once when everything stays."""
        if not self._after:
            return
        await anyio.sleep(FIRST_PAUSE_S)
        while True:
            try:
                await self.sweep()
            except (PortError, NotYet, TimeoutError) as error:
                log.warning("blobs_not_swept", reason=str(error))
            await anyio.sleep(SWEEP_INTERVAL_S)

    async def sweep(self) -> Swept:
        """Look at the next blobs, and remove those of them that nothing refers to.

        Raises:
            Unavailable, TimeoutError, NotYet: something does not answer, or the index is behind the log.

        """
        cutoff, began_at = self._runtime.now() - self._after, await self._log_began_at()
        seen, removed = 0, list[str]()
        if began_at is None:
            return Swept(seen, ())
        for folder in self._places:
            for _ in range(MAX_PAGES):
                page = await self._blobs.page(folder, after=self._places[folder], limit=PAGE)
                seen += len(page)
                before = min(cutoff, self._runtime.now() - PINS_AFTER) if folder == PINS else cutoff
                old = [item for item in page if began_at - BEFORE_LOG <= item.written_at < before]
                removed += await self._sweep_page(folder, old, cutoff)
                self._places[folder] = page[-1].key if len(page) == PAGE else ""
                if len(page) < PAGE:
                    break
        if removed:
            self._removed += len(removed)
            log.info("blobs_swept", removed=len(removed), removed_since_start=self._removed, seen=seen)
        return Swept(seen, tuple(removed))

    async def _log_began_at(self) -> datetime | None:
        """Return the time of the log's first event; `None` while there is none."""
        if self._began_at is None and await self._log.last_seq() > 0:
            with anyio.fail_after(READ_S):
                async with aclosing(self._log.read()) as batches:
                    async for batch in batches:
                        readable = (stored.event.time for stored in batch if not is_unreadable(stored))
                        self._began_at = next(readable, None)
                        if self._began_at is not None:
                            break
        return self._began_at

    async def _sweep_page(self, folder: str, old: Sequence[WrittenBlob], cutoff: datetime) -> list[str]:
        unfinished = await self._remove([item.key for item in old if not item.is_finished])
        old = [item for item in old if item.is_finished]
        return [*unfinished, *(await self._sweep_finished(folder, old, cutoff))] if old else unfinished

    async def _sweep_finished(self, folder: str, old: Sequence[WrittenBlob], cutoff: datetime) -> list[str]:
        # From here on the index knows every job that can refer to what is so old.
        await self._index.reach(await self._log.last_seq())
        if folder == JOBS:
            return await self._sweep_jobs(old, cutoff)
        if folder == PIPELINES:
            return await self._sweep_entries(old)
        if folder in (PLANS, PINS):
            return await self._remove([item.key for item in old])
        return await self._remove([item.key for item in old if not await self._index.has_bundle(item.key)])

    async def _sweep_jobs(self, old: Sequence[WrittenBlob], cutoff: datetime) -> list[str]:
        removed: list[str] = []
        for job_id, keys in _by_owner(old).items():
            job = self._index.get(JobId(job_id)) if _is_id(job_id) else None
            if all(belongs_to(job, key) for key in keys):
                continue
            # One young file shows that the upload goes on; its first files may be older.
            start = f"{JOBS}/{job_id}/{BEFORE_SOURCES if job is not None and job.deleted_at is None else ''}"
            whole = await self._blobs.page(f"{JOBS}/{job_id}", after=start, limit=MAX_UPLOAD_FILES)
            loose = [item for item in whole if not belongs_to(job, item.key)]
            if all(item.written_at < cutoff for item in loose):
                removed += await self._remove([item.key for item in loose])
        return removed

    async def _sweep_entries(self, old: Sequence[WrittenBlob]) -> list[str]:
        removed: list[str] = []
        for name, keys in _by_owner(old).items():
            try:
                pipeline = await self._pipeline(name)
            except Unreadable as error:
                log.warning("entry_not_swept", pipeline=name, reason=str(error))
                continue
            removed += await self._remove([key for key in keys if not is_of_entry(pipeline, key)])
        return removed

    async def _pipeline(self, name: str) -> Pipeline | None:
        return fold(await self._log.load(aggregates.pipeline(name))) if is_token(name) else None

    async def _remove(self, keys: Sequence[str]) -> list[str]:
        for key in keys:
            await self._blobs.delete(key)
            log.info("blob_swept", key=key)
        return list(keys)


def belongs_to(job: Job | None, key: str) -> bool:
    """Return whether a blob below `jobs/<job_id>/` belongs to that job; of uploads, only to its own."""
    if job is None or job.deleted_at is not None:
        return False
    part = key.split("/")[2]
    if not (part == "source" or part.startswith(("source-", "source."))):
        return True
    return job.spec.source is not None and _is_at(key, job.spec.source.location)


def is_of_entry(pipeline: Pipeline | None, key: str) -> bool:
    """Return whether a blob below `pipelines/<name>/` belongs to a version of that pipeline."""
    versions = () if pipeline is None else pipeline.versions.values()
    return any(_is_at(key, version.entry.source.location) for version in versions)


def _is_at(key: str, location: str) -> bool:
    """Return whether a blob is a source's bundle or manifest, or one of the files that a manifest there lists."""
    return key == location or key.startswith(f"{location.removesuffix('.json')}/")


def _by_owner(blobs: Iterable[WrittenBlob]) -> Mapping[str, Sequence[str]]:
    """Return keys by their second part: the job or the catalogue name that they belong to."""
    found: dict[str, list[str]] = {}
    for blob in blobs:
        found.setdefault(blob.key.split("/")[1], []).append(blob.key)
    return found


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
