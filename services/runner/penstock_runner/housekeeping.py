"""Removal of the files that deleted jobs left in workspaces."""

from collections.abc import Sequence
from typing import Final

import anyio
import structlog

from penstock_execution.workspace import Workspaces
from penstock_ports import JobsView, PortError
from penstock_schemas.ids import JobId

INTERVAL_S: Final = 600.0
MAX_REQUESTED: Final = 500
"""Jobs that are requested from the view at a time."""

_log = structlog.stdlib.get_logger()


class Housekeeping:
    """Removes the files of deleted jobs: kept work, and what remained where a job continued on another runner."""

    def __init__(self, jobs: JobsView, workspaces: Sequence[Workspaces]) -> None:
        self._jobs = jobs
        self._workspaces = tuple(dict.fromkeys(workspaces))

    async def run(self) -> None:
        """Remove what there is, at intervals, without end."""
        while True:
            try:
                await self.sweep()
            except (PortError, OSError) as error:
                _log.warning("deleted_work_not_removed", reason=str(error))
            await anyio.sleep(INTERVAL_S)

    async def sweep(self) -> int:
        """Remove the files of deleted jobs; return how many jobs there were.

        Raises:
            Unavailable: the view does not answer.
            OSError: the files cannot be listed.

        """
        removed = 0
        for workspaces in self._workspaces:
            job_ids = await workspaces.job_ids()
            for start in range(0, len(job_ids), MAX_REQUESTED):
                removed += await self._remove_deleted(workspaces, job_ids[start : start + MAX_REQUESTED])
        return removed

    async def _remove_deleted(self, workspaces: Workspaces, job_ids: Sequence[JobId]) -> int:
        deleted = [item.id for item in (await self._jobs.get_many(job_ids)).values() if item.deleted_at is not None]
        for job_id in deleted:
            await workspaces.of_attempt(job_id, 1).remove()
            _log.info("deleted_work_removed", job_id=job_id)
        return len(deleted)
