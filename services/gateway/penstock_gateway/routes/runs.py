"""`/jobs/{job_id}/...`: tasks, logs and outputs."""

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote

from litestar.types import ASGIApp

from penstock_gateway.http.operations import Route
from penstock_gateway.http.problems import NotFound
from penstock_gateway.http.requests import Request
from penstock_gateway.http.responses import NO_STORE, TEXT, BytesResponse, encode, media_type_of
from penstock_gateway.jobs.jobs import Jobs
from penstock_gateway.jobs.run_files import Runs, own_stream
from penstock_gateway.operations.runs import (
    DOWNLOAD_OUTPUT,
    LIST_OUTPUTS,
    LIST_SOFTWARE,
    LIST_TASKS,
    READ_LOG,
    READ_TASK_FILE,
    READ_TASK_LOG,
)
from penstock_gateway.routes.stored_files import send_output, send_text
from penstock_ports import BlobMissing, Blobs
from penstock_schemas.access import Principal
from penstock_schemas.api import MAX_PAGE, MAX_WAIT_S, LogSource, OutputEntry, OutputList, TaskList
from penstock_schemas.ids import JobId
from penstock_schemas.views import LogStream

MAX_TEXT_PAGES: Final = 100
"""A running job's log as text has no more than this many pages of entries; the last ones can be long-polled."""


class RunRoutes:
    """Handlers of what a job does and produces.

    Args:
        jobs: reads jobs.
        runs: reads tasks, logs and outputs.
        blobs: the blob store.
        presigned_s: seconds for which presigned URLs are valid; 0: none is made.

    """

    def __init__(self, *, jobs: Jobs, runs: Runs, blobs: Blobs, presigned_s: int = 0) -> None:
        self._jobs = jobs
        self._runs = runs
        self._blobs = blobs
        self._presigned_s = presigned_s
        self.routes: Final = (
            Route(LIST_TASKS, self.list_tasks),
            Route(READ_LOG, self.read_log),
            Route(READ_TASK_LOG, self.read_task_log),
            Route(READ_TASK_FILE, self.read_task_file),
            Route(LIST_OUTPUTS, self.list_outputs),
            Route(DOWNLOAD_OUTPUT, self.download),
            Route(LIST_SOFTWARE, self.list_software),
        )

    async def list_tasks(self, request: Request, job_id: JobId) -> ASGIApp:
        """Return a page of tasks."""
        query = request.query
        page = await self._runs.tasks(
            request.principal, job_id, after=query.integer("after"), limit=query.integer("limit")
        )
        body = TaskList(
            tasks=list(page.tasks),
            counts=await self._jobs.counts(page.job),
            next_after=page.next_after,
            done=page.job.state.is_terminal,
        )
        return BytesResponse(encode(body), headers=NO_STORE)

    async def read_log(self, request: Request, job_id: JobId) -> ASGIApp:
        """Return a page of the log, or the whole log as text."""
        query = request.query
        streams = frozenset(query.choices("stream", LogStream))
        if query.one("format") == "text":
            return await self._text_log(request, job_id, streams)
        source = query.one("source")
        body = await self._runs.log(
            request.principal,
            job_id,
            after=query.integer("after"),
            wait_s=query.seconds("wait", maximum=MAX_WAIT_S),
            limit=query.integer("limit"),
            streams=streams,
            source=None if source in (None, "auto") else LogSource(source),
        )
        return BytesResponse(encode(body), headers=NO_STORE)

    async def read_task_log(self, request: Request, job_id: JobId, task_id: str, stream: str) -> ASGIApp:
        """Return what a task wrote."""
        text = await self._runs.task_log(request.principal, job_id, task_id, LogStream(stream))
        return await send_text(self._blobs, text, request)

    async def read_task_file(self, request: Request, job_id: JobId, task_id: str, path: str) -> ASGIApp:
        """Return a log or benchmark file of a task."""
        text = await self._runs.task_file(request.principal, job_id, task_id, path)
        return await send_text(self._blobs, text, request)

    async def list_outputs(self, request: Request, job_id: JobId) -> ASGIApp:
        """Return the files that a job produced."""
        manifest = await self._runs.outputs(request.principal, job_id)
        files = [
            OutputEntry(
                path=file.path,
                size_bytes=file.size_bytes,
                sha256=file.sha256,
                url=f"/jobs/{job_id}/outputs/{quote(file.path)}",
                download_url=await self._presigned(file.key),
                kind=file.kind,
                media_type=media_type_of(file.path),
                report=file.report,
            )
            for file in manifest.files
        ]
        body = OutputList(
            job_id=job_id,
            attempt=manifest.attempt,
            files=files,
            total_bytes=sum(file.size_bytes for file in files),
            not_stored=list(manifest.not_stored),
            not_stored_count=manifest.not_stored_count,
            undeclared=list(manifest.undeclared),
            undeclared_count=manifest.undeclared_count,
            undeclared_bytes=manifest.undeclared_bytes,
        )
        return BytesResponse(encode(body), headers=NO_STORE)

    async def list_software(self, request: Request, job_id: JobId) -> ASGIApp:
        """Return the software that was prepared for a job."""
        body = await self._runs.software(request.principal, job_id)
        return BytesResponse(encode(body), headers=NO_STORE)

    async def download(self, request: Request, job_id: JobId, path: str) -> ASGIApp:
        """Send a file that a job produced."""
        return await send_output(self._runs, self._blobs, request, job_id, path)

    async def _presigned(self, key: str) -> str | None:
        """Return where the store itself serves a blob; `None` where that is not configured or not possible."""
        return await self._blobs.presign(key, valid_s=self._presigned_s) if self._presigned_s else None

    async def _text_log(self, request: Request, job_id: JobId, streams: frozenset[LogStream]) -> ASGIApp:
        """Return the whole log as text: the stored one when the job is over, otherwise what has arrived so far."""
        job = await self._jobs.get(request.principal, job_id)
        own = own_stream(streams)
        if job.state.is_terminal and (not streams or (own is not None and len(streams) == 1)):
            try:
                return await send_text(self._blobs, await self._runs.engine_log(job, own), request)
            except (NotFound, BlobMissing):
                pass  # it ended before there was a log to store; the live tail may still have something
        text = [chunk async for chunk in self._live_text(request.principal, job_id, streams)]
        return BytesResponse("".join(text).encode(), media_type=TEXT, headers=NO_STORE)

    async def _live_text(
        self, principal: Principal, job_id: JobId, streams: frozenset[LogStream]
    ) -> AsyncIterator[str]:
        after = 0
        for _ in range(MAX_TEXT_PAGES):
            page = await self._runs.log(
                principal, job_id, after=after, wait_s=0, limit=MAX_PAGE, streams=streams, source=LogSource.LIVE
            )
            for entry in page.entries:
                yield entry.text
            if not page.entries:
                return
            after = page.next_after
