"""What is left on this runner's disk of jobs that were deleted."""

from collections.abc import Sequence
from typing import Final

import anyio
import structlog

from penstock_execution.files.file_threads import removed
from penstock_ports import JobsView, PortError
from penstock_runner.state_folder import StateFolder
from penstock_schemas.ids import JobId

INTERVAL_S: Final = 600.0
MAX_REQUESTED: Final = 500
"""Jobs that are requested from the view at a time."""

_log = structlog.stdlib.get_logger()


class Housekeeping:
    """Removes what deleted jobs left here: work that was kept, and what an attempt left that went on elsewhere."""

    def __init__(self, jobs: JobsView, folder: StateFolder) -> None:
        self._jobs = jobs
        self._folder = folder

    async def run(self) -> None:
        """Look for ever, now and then."""
        while True:
            try:
                await self.sweep()
            except PortError as error:
                _log.warning("deleted_work_not_removed", reason=str(error))
            await anyio.sleep(INTERVAL_S)

    async def sweep(self) -> int:
        """Remove the folders of deleted jobs; return how many jobs there were.

        Raises:
            Unavailable: the view does not answer.

        """
        here = await anyio.to_thread.run_sync(self._folder.job_ids)
        removed = 0
        for start in range(0, len(here), MAX_REQUESTED):
            removed += await self._remove_deleted(here[start : start + MAX_REQUESTED])
        return removed

    async def _remove_deleted(self, job_ids: Sequence[JobId]) -> int:
        deleted = [item.id for item in (await self._jobs.get_many(job_ids)).values() if item.deleted_at is not None]
        for job_id in deleted:
            await removed(self._folder.work_dir(job_id))
            await removed(self._folder.logs_of(job_id))
            _log.info("deleted_work_removed", job_id=job_id)
        return len(deleted)
