"""`/jobs/{job_id}/retry` and `/jobs/{job_id}/rerun`: a new job of what another one was made of."""

from typing import Final

from litestar.types import ASGIApp

from penstock_gateway.http.operations import Route
from penstock_gateway.http.requests import IDEMPOTENCY_KEY, Request
from penstock_gateway.jobs.engine_directory import EngineDirectory
from penstock_gateway.jobs.submission.repeats import Repeats
from penstock_gateway.operations.jobs import RERUN_JOB, RETRY_JOB
from penstock_gateway.routes.jobs import submitted_response
from penstock_schemas.api import RerunRequest, RetryRequest
from penstock_schemas.ids import JobId


class RepeatRoutes:
    """Handlers that retry and repeat jobs."""

    def __init__(self, *, repeats: Repeats, engine_directory: EngineDirectory) -> None:
        self._repeats = repeats
        self._engine_directory = engine_directory
        self.routes: Final = (Route(RETRY_JOB, self.retry), Route(RERUN_JOB, self.rerun))

    async def retry(self, request: Request, job_id: JobId, body: RetryRequest) -> ASGIApp:
        """Make a job that continues one that failed."""
        key = request.header(IDEMPOTENCY_KEY)
        submitted = await self._repeats.retry(request.principal, job_id, body, header_key=key)
        return submitted_response(submitted, self._engine_directory)

    async def rerun(self, request: Request, job_id: JobId, body: RerunRequest) -> ASGIApp:
        """Make a job that runs a workflow again."""
        key = request.header(IDEMPOTENCY_KEY)
        submitted = await self._repeats.rerun(request.principal, job_id, body, header_key=key)
        return submitted_response(submitted, self._engine_directory)
