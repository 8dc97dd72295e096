"""`/jobs/{job_id}`: cancel, hold, release, close and delete a job."""

from typing import Final

from litestar.types import ASGIApp

from penstock_gateway.http.operations import Route
from penstock_gateway.http.requests import Request
from penstock_gateway.http.responses import BytesResponse, EmptyResponse, encode
from penstock_gateway.jobs.engine_directory import EngineDirectory
from penstock_gateway.jobs.jobs import Jobs
from penstock_gateway.jobs.rendering import render
from penstock_gateway.maintenance.deletions import Deletions
from penstock_gateway.operations.jobs import CANCEL_JOB, CLOSE_JOB, DELETE_JOB, HOLD_JOB, RELEASE_JOB
from penstock_gateway.routes.jobs import job_headers
from penstock_schemas.api import CancelRequest, CloseRequest, HoldRequest
from penstock_schemas.ids import JobId
from penstock_schemas.views import Job


class JobCommandRoutes:
    """Handlers that change one job."""

    def __init__(self, *, jobs: Jobs, deletions: Deletions, engine_directory: EngineDirectory) -> None:
        self._jobs = jobs
        self._deletions = deletions
        self._engine_directory = engine_directory
        self.routes: Final = (
            Route(CANCEL_JOB, self.cancel),
            Route(HOLD_JOB, self.hold),
            Route(RELEASE_JOB, self.release),
            Route(CLOSE_JOB, self.close),
            Route(DELETE_JOB, self.delete),
        )

    async def cancel(self, request: Request, job_id: JobId, body: CancelRequest) -> ASGIApp:
        """Cancel a job."""
        return self._job(await self._jobs.cancel(request.principal, job_id, reason=body.reason), status=202)

    async def hold(self, request: Request, job_id: JobId, body: HoldRequest) -> ASGIApp:
        """Hold a job."""
        return self._job(await self._jobs.hold(request.principal, job_id, reason=body.reason))

    async def release(self, request: Request, job_id: JobId) -> ASGIApp:
        """Release a held job."""
        return self._job(await self._jobs.release(request.principal, job_id))

    async def close(self, request: Request, job_id: JobId, body: CloseRequest) -> ASGIApp:
        """Close a job whose events are damaged."""
        return self._job(await self._jobs.close(request.principal, job_id, reason=body.reason))

    async def delete(self, request: Request, job_id: JobId) -> ASGIApp:
        """Delete a job that is over."""
        await self._deletions.delete(request.principal, job_id, reason=request.query.one("reason"))
        return EmptyResponse(204, {})

    def _job(self, job: Job, *, status: int = 200) -> ASGIApp:
        body = render(job, waiting=self._engine_directory.waiting(job))
        return BytesResponse(encode(body), status=status, headers=job_headers(body, str(body.seq)))
