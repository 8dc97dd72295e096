"""Retention: jobs that ended long enough ago are deleted, by the policy that the operator set.

Every gateway looks for them, and none has to lead: a deletion is appended to the job as it was seen, so that of several
which see the same job one deletes it and the others find it deleted.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import anyio
import structlog
from msgspec import Struct

from penstock_domain.job.errors import Refused
from penstock_gateway.index.index import Index
from penstock_gateway.index.job_status import DetailedStatus
from penstock_gateway.maintenance.deletions import Deletions
from penstock_ports import PortError
from penstock_runtime.runtime import Runtime

SWEEP_INTERVAL_S: Final = 60.0
MAX_DELETED: Final = 200
"""Jobs that one sweep deletes."""
ACTOR: Final = "system:retention"

log = structlog.get_logger()


class RetentionPolicy(Struct, frozen=True, kw_only=True):
    """For how many days a job is kept after its end, by how it ended; 0: for ever."""

    completed_days: int = 0
    failed_days: int = 0
    cancelled_days: int = 0

    def cutoffs(self, now: datetime) -> Mapping[DetailedStatus, datetime]:
        """Return for each way to end since when a job may be kept."""
        days = {
            DetailedStatus.COMPLETED: self.completed_days,
            DetailedStatus.FAILED_BY_WORKFLOW: self.failed_days,
            DetailedStatus.FAILED_BY_SYSTEM: self.failed_days,
            DetailedStatus.PREEMPTED: self.failed_days,
            DetailedStatus.CANCELLED: self.cancelled_days,
        }
        return {status: now - timedelta(days=day) for status, day in days.items() if day}


class Retention:
    """Deletes what the policy does not keep.

    Args:
        policy: what is kept.
        index: knows when jobs ended.
        deletions: deletes them.
        runtime: the clock and the source of ids.

    """

    def __init__(self, policy: RetentionPolicy, *, index: Index, deletions: Deletions, runtime: Runtime) -> None:
        self._policy = policy
        self._index = index
        self._deletions = deletions
        self._runtime = runtime

    async def run(self) -> None:
        """Look for ever, now and then; return at once when everything is kept."""
        while self._policy.cutoffs(self._runtime.now()):
            try:
                await self.sweep()
            except PortError as error:
                log.warning("retention_not_swept", reason=str(error))
            await anyio.sleep(SWEEP_INTERVAL_S)

    async def sweep(self) -> int:
        """Delete up to `MAX_DELETED` jobs that are kept no longer; return how many.

        Raises:
            Unavailable, LogFull: the log does not take it, or the index does not answer.

        """
        deleted = 0
        for detailed_status, cutoff in self._policy.cutoffs(self._runtime.now()).items():
            for job in await self._index.ended_before(detailed_status, cutoff, limit=MAX_DELETED - deleted):
                try:
                    await self._deletions.delete_as(ACTOR, job, reason="the retention period has ended")
                except Refused as error:  # the index was behind
                    log.warning("retention_refused", job_id=job.id, reason=str(error))
                else:
                    deleted += 1
        return deleted
