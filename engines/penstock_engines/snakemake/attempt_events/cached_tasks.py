"""The tasks of one attempt that take their outputs from the cache, or leave them there."""

import hashlib
import os
from pathlib import Path
from typing import Final

import anyio
import structlog
from msgspec import Struct

from penstock_engines.snakemake.attempt_events.progress import TaskProgress, described
from penstock_engines.snakemake.attempt_events.protocol import Protocol
from penstock_engines.snakemake.messages import CacheSought
from penstock_engines.snakemake.settings import CachedRules, CacheSharing, SnakemakeSettings
from penstock_execution.engine import Attempt, Emit, LogWritten
from penstock_execution.files.file_threads import in_thread
from penstock_execution.files.produced import Stamps
from penstock_execution.files.workflow_files import FileKind, WorkflowFolder
from penstock_execution.local_workspace import LocalWorkspace
from penstock_execution.provisioning import Answer
from penstock_execution.task_cache import CacheEntry, CacheLimits, TaskCache, scope_of
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.ids import JobId
from penstock_schemas.views import LogStream

COPY_S: Final = 600.0
"""How long the outputs of one task may be copied."""
READ_BYTES: Final = 1 << 20
PUTS_BEFORE_EVICTION: Final = 100
"""After so many new entries of one run the cache is searched for what is too much."""

_log = structlog.stdlib.get_logger()


class EngineCache(Struct, frozen=True, kw_only=True):
    """The cache of an engine, and the operator's policy for it."""

    cache: TaskCache
    root: Path
    every_rule: bool
    sharing: CacheSharing

    def scope_for(self, attempt: Attempt, place: LocalWorkspace) -> "CacheScope":
        """Return the part that an attempt uses; blocks where every rule counts: the workflow's files are read.

        Raises:
            OSError: they cannot be read.

        """
        owner = None if self.sharing is CacheSharing.TENANT else attempt.owner
        is_of_files = self.every_rule or self.sharing is CacheSharing.WORKFLOW
        digest = source_digest(place.work_dir, place.source_files) if is_of_files else None
        name = scope_of(attempt.tenant, owner, digest)
        return CacheScope(cache=self.cache, name=name, every_rule=self.every_rule)


def task_cache_of(settings: SnakemakeSettings, root: Path) -> EngineCache:
    """Return the cache that the settings of the engine describe."""
    limits = CacheLimits(max_bytes=settings.task_cache_max_mb << 20, max_days=settings.task_cache_max_days)
    return EngineCache(
        cache=TaskCache(root.absolute(), limits),
        root=root.absolute(),
        every_rule=settings.task_cache_rules is CachedRules.EVERY,
        sharing=settings.task_cache_shared_by,
    )


def source_digest(work_dir: Path, source: Stamps | None) -> str:
    """Return the SHA-256 of all files of a workflow's source as they are now.

    Where the source is not known, no two runs share it.

    Raises:
        OSError: a file cannot be read.

    """
    if source is None:
        return os.urandom(16).hex()
    digest = hashlib.sha256()
    with WorkflowFolder(work_dir) as folder:
        for name in sorted(source):
            kind = folder.status(name).kind
            digest.update(os.fsencode(name) + b"\0")
            if kind is FileKind.LINK:
                digest.update(os.fsencode(folder.link_target(name)))
            elif kind is FileKind.FILE:
                with folder.open_file(name) as opened:
                    content = hashlib.sha256()
                    while piece := opened.read(READ_BYTES):
                        content.update(piece)
                    digest.update(content.digest())
    return digest.hexdigest()


class CacheScope(Struct, frozen=True, kw_only=True):
    """The part of the cache that one run uses."""

    cache: TaskCache
    name: str
    """Who shares entries with this run, see `scope_of`."""
    every_rule: bool
    """Whether every rule counts, and not only those with `cache: true`."""


class CachedTasks:
    """Looks for the outputs of tasks, and keeps those of tasks that ended well.

    A task that failed or was killed leaves nothing: `keep` is called when the engine has seen its good end.

    Args:
        scope: `None`: there is no cache, and every task runs.
        work_dir: of the attempt.
        job_id: the job.
        limiter: of threads that wait for files.

    """

    def __init__(self, scope: CacheScope | None, work_dir: Path, job_id: JobId, limiter: anyio.CapacityLimiter) -> None:
        self._scope = scope
        self._work_dir = work_dir
        self._job_id = job_id
        self._limiter = limiter
        self._sought: dict[int, CacheSought] = {}
        self._puts = 0

    async def answer(self, sought: CacheSought, protocol: Protocol, progress: TaskProgress, emit: Emit) -> Answer:
        """Return the answer to an attempt, and record where the outputs come from if they are there now."""
        entry = await self.restore(sought)
        if entry is None:
            return Answer(number=sought.number)
        protocol.restored(sought.task)
        task = progress.restored(sought.task, entry.job_id)
        text = f"penstock: {described(task)} is taken from the cache: run {entry.job_id} made its outputs\n"
        emit(LogWritten(stream=LogStream.ENGINE, text=text))
        return Answer(number=sought.number, path=entry.key)

    async def restore(self, sought: CacheSought) -> CacheEntry | None:
        """Write the outputs of a task from the cache; `None`: it has to run."""
        scope, entry = self._scope, None
        if scope is None:
            return None
        try:
            entry = await in_thread(
                lambda: scope.cache.restore(scope.name, sought.key, self._work_dir, sought.outputs),
                deadline_s=COPY_S,
                limiter=self._limiter,
            )
        except OSError as error:
            _log.warning("cache_not_read", job_id=self._job_id, reason=str(error))
        if entry is None:
            self._sought[sought.task] = sought
        return entry

    async def keep(self, task: int) -> None:
        """Keep the outputs of a task that ended well, if it had sought them."""
        scope, sought = self._scope, self._sought.pop(task, None)
        if scope is None or sought is None:
            return
        try:
            await in_thread(lambda: self._put(scope, sought), deadline_s=COPY_S, limiter=self._limiter)
        except OSError as error:
            _log.warning("cache_not_written", job_id=self._job_id, reason=str(error))

    def _put(self, scope: CacheScope, sought: CacheSought) -> None:
        now = SYSTEM.now()
        scope.cache.put(scope.name, sought.key, self._work_dir, sought.outputs, job_id=self._job_id, made_at=now)
        self._puts += 1
        if self._puts % PUTS_BEFORE_EVICTION == 1:
            scope.cache.evict(now_s=now.timestamp())
