"""What all runs on a runner share for their remote files: the hosts and mirrors of the operator, and a cache."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio.to_thread

from penstock_ports import Blobs
from penstock_runner.remote_sources.pin_store import PinStore
from penstock_runner.remote_sources.run_sources import RunSources
from penstock_schemas.ids import TenantId
from penstock_schemas.jobs import Source
from penstock_schemas.views import Job
from penstock_sources.egress.addresses import SourceHosts
from penstock_sources.remote.file_cache import FileCache
from penstock_sources.remote.mirrors import Mirror
from penstock_sources.remote.remote_files import RemoteFiles
from penstock_sources.spool import Spool

CACHE: Final = "remote-files"
"""The folder of the cache in the runner's own folder."""
SPOOL: Final = "remote-spool"


class RunnerSources:
    """Makes the provider of each run's remote files.

    Args:
        allowed: the hosts that may be fetched from.
        mirrors: what is taken from elsewhere.
        blobs: keeps pins and contents.
        folder: the runner's own folder.

    """

    def __init__(self, allowed: SourceHosts, mirrors: Sequence[Mirror], blobs: Blobs, folder: Path) -> None:
        self._spool = Spool(folder / SPOOL)
        self._files = RemoteFiles(allowed, mirrors, self._spool)
        self._cache = FileCache(folder / CACHE)
        self._blobs = blobs

    @property
    def is_possible(self) -> bool:
        """Whether the operator allows any place to fetch from."""
        return self._files.is_possible

    async def prepare(self) -> None:
        """Make the cache, and remove what a killed process left.

        Raises:
            OSError: the disk does not take it.

        """
        await anyio.to_thread.run_sync(self._spool.clear)
        await anyio.to_thread.run_sync(self._cache.prepare)

    def of_job(self, job: Job) -> RunSources:
        """Return the provider of one attempt of a job."""
        lineage = job.spec.lineage
        store = PinStore(
            self._blobs,
            tenant=job.tenant,
            job_id=job.id,
            source=job.spec.source,
            parent=None if lineage is None else lineage.parent,
        )
        return RunSources(self._files, self._cache, store, is_plan=False)

    def of_plan(self, *, tenant: TenantId, source: Source | None) -> RunSources:
        """Return the provider of a plan: it uses what earlier runs of the same source pinned, and pins nothing."""
        store = PinStore(self._blobs, tenant=tenant, job_id=None, source=source)
        return RunSources(self._files, self._cache, store, is_plan=True)
