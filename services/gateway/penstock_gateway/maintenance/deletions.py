"""Deletion of jobs: it is recorded in the log first, then their files are removed; interrupted removals are resumed.

A note, `deletions/<tenant>/<job_id>`, is in the blob store from before the event until everything is removed. It only
names candidates: nothing is removed unless the log has the deletion.
"""

from typing import Final

import anyio
import structlog

from penstock_domain import aggregates
from penstock_domain.access import actor_of, needed_to_delete, require_role
from penstock_domain.deciders import JOB
from penstock_domain.job.decide import decide
from penstock_domain.job.errors import ResultsNeeded
from penstock_domain.job.evolve import fold
from penstock_gateway.index.index import Index
from penstock_gateway.jobs.jobs import Jobs
from penstock_ports import Blobs, EventLog, LogTail, PortError, TaskStore
from penstock_runtime.command_handler import CommandHandler
from penstock_runtime.runtime import Runtime
from penstock_schemas.access import Principal
from penstock_schemas.commands import DeleteJob
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.views import Job

NOTES: Final = "deletions/"
SWEEP_INTERVAL_S: Final = 60.0
MAX_SWEPT: Final = 1000
"""Interrupted deletions that one sweep resumes."""
PARALLEL_DELETES: Final = 8

log = structlog.get_logger()


class Deletions:
    """Deletes jobs, and finishes deletions that were interrupted.

    Args:
        jobs: finds the jobs that a caller may see.
        event_log: where a deletion is recorded.
        blobs: holds sources, logs and outputs.
        tasks: holds the views of tasks.
        logs: holds the live tail.
        index: updated by each deletion.
        runtime: the clock and the source of ids.

    """

    def __init__(
        self,
        *,
        jobs: Jobs,
        event_log: EventLog,
        blobs: Blobs,
        tasks: TaskStore,
        logs: LogTail,
        index: Index,
        runtime: Runtime,
    ) -> None:
        self._jobs = jobs
        self._log = event_log
        self._commands = CommandHandler(event_log, runtime=runtime)
        self._blobs = blobs
        self._tasks = tasks
        self._logs = logs
        self._index = index
        self._runtime = runtime
        self._unconfirmed: frozenset[str] = frozenset()

    async def delete(self, principal: Principal, job_id: JobId, *, reason: str | None = None) -> None:
        """Delete a job that is over; nothing happens when it is deleted already.

        When this returns the deletion is in the log, and the files of the job are removed or will be.

        Raises:
            UnknownJob: there is no such job, or none that `principal` sees.
            Forbidden: `principal` may not delete it.
            JobNotEnded: it is not over.
            ResultsNeeded: a retry that has not ended begins with its results, as far as this gateway knows.
            Conflict, LogFull, Unavailable: as `EventLog.append`.

        """
        job = await self._jobs.load(principal, job_id, with_deleted=True)
        require_role(principal, needed_to_delete(principal, job.tenant, job.spec.owner), f"delete job {job_id}")
        await self.delete_as(actor_of(principal), job, reason=reason)

    async def delete_as(self, actor: str, job: Job, *, reason: str | None = None) -> None:
        """Delete a job without a check of permissions.

        Raises:
            JobNotEnded, ResultsNeeded, Conflict, LogFull, Unavailable: as `delete`.

        """
        if decide(job, DeleteJob(now=self._runtime.now(), reason=reason)):
            self._require_unneeded(job)
            await self._blobs.put_bytes(_note(job.tenant, job.id), b"")
            await self._append(actor, job, reason)
        await self._remove_or_leave(job.tenant, job.id)

    def _require_unneeded(self, job: Job) -> None:
        for child in self._index.children(job.tenant, job.id):
            lineage = child.spec.lineage
            results = None if lineage is None else lineage.results
            if results is not None and not child.state.is_terminal and results.location.startswith(f"jobs/{job.id}/"):
                raise ResultsNeeded(
                    f"job {child.id} retries job {job.id} with its results and has not ended; delete it when that has"
                )

    async def run(self) -> None:
        """Resume interrupted deletions once every `SWEEP_INTERVAL_S`, for ever."""
        while True:
            try:
                await self.sweep()
            except PortError as error:
                log.warning("deletions_not_swept", reason=str(error))
            await anyio.sleep(SWEEP_INTERVAL_S)

    async def sweep(self) -> None:
        """Resume deletions that were interrupted.

        A note of a job that is not deleted is removed by the second sweep that finds it: at the first, its event may
        not be stored yet.

        Raises:
            Unavailable: the log or the blob store does not answer.

        """
        unconfirmed: set[str] = set()
        for info in (await self._blobs.list(NOTES))[:MAX_SWEPT]:
            tenant, _, job_id = info.key.removeprefix(NOTES).partition("/")
            job = fold(await self._log.load(aggregates.job(TenantId(tenant), JobId(job_id))))
            if job is not None and job.deleted_at is not None:
                await self._remove_or_leave(job.tenant, job.id)
            elif info.key in self._unconfirmed:
                await self._blobs.delete(info.key)
            else:
                unconfirmed.add(info.key)
        self._unconfirmed = frozenset(unconfirmed)

    async def _append(self, actor: str, job: Job, reason: str | None) -> None:
        handled = await self._commands.handle(
            JOB,
            aggregates.job(job.tenant, job.id),
            lambda _, now: DeleteJob(now=now, reason=reason),
            actor=actor,
        )
        if handled.state is not None:
            self._index.put(handled.state)

    async def _remove_or_leave(self, tenant: TenantId, job_id: JobId) -> None:
        """Remove the files of a deleted job; what cannot be removed now is left to the next sweep."""
        try:
            await self._remove(tenant, job_id)
        except PortError as error:
            log.warning("deletion_interrupted", job_id=job_id, reason=str(error))
        else:
            log.info("job_deleted", job_id=job_id)

    async def _remove(self, tenant: TenantId, job_id: JobId) -> None:
        await self._tasks.forget(tenant, job_id)
        await self._logs.forget(tenant, job_id)
        limiter = anyio.CapacityLimiter(PARALLEL_DELETES)
        failures: list[PortError] = []

        async def delete(key: str) -> None:
            async with limiter:
                try:
                    await self._blobs.delete(key)
                except PortError as error:
                    failures.append(error)

        found = await self._blobs.list(f"jobs/{job_id}/")  # not within the group: it would wrap a failure
        async with anyio.create_task_group() as group:
            for info in found:
                group.start_soon(delete, info.key)
        # Manifests are beside the folders that they describe, under the same prefix.
        if failures:
            raise failures[0]
        await self._blobs.delete(_note(tenant, job_id))


def _note(tenant: TenantId, job_id: JobId) -> str:
    return f"{NOTES}{tenant}/{job_id}"
