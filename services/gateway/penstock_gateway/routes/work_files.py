"""`/jobs/{job_id}/files`: the work directory of a job."""

from collections.abc import AsyncGenerator
from typing import Final

from litestar.types import ASGIApp, Receive, Scope, Send

from penstock_gateway.http.operations import Route
from penstock_gateway.http.requests import Request
from penstock_gateway.http.responses import NO_STORE, BytesResponse, attachment_headers, encode, is_head, media_type_of
from penstock_gateway.jobs.work_files import WorkFileReader
from penstock_gateway.operations.work_files import DOWNLOAD_WORK_FILE, LIST_WORK_FILES
from penstock_schemas.api import WorkFileEntry, WorkFileList
from penstock_schemas.ids import JobId


class WorkFileRoutes:
    """Handlers of work directories."""

    def __init__(self, work_files: WorkFileReader) -> None:
        self._work_files = work_files
        self.routes: Final = (
            Route(LIST_WORK_FILES, self.list_work_files),
            Route(DOWNLOAD_WORK_FILE, self.download),
        )

    async def list_work_files(self, request: Request, job_id: JobId) -> ASGIApp:
        """Return what is in a folder."""
        path = request.query.one("path") or "."
        found = await self._work_files.listing(request.principal, job_id, path)
        folder = "" if path == "." else f"{path}/"
        entries = found.entries or ()
        is_file = len(entries) == 1 and not entries[0].is_folder and path.rpartition("/")[2] == entries[0].name
        body = WorkFileList(
            job_id=job_id,
            path=path,
            entries=[
                WorkFileEntry(
                    path=path if is_file else f"{folder}{entry.name}",
                    is_folder=entry.is_folder,
                    size_bytes=entry.size_bytes,
                    note=entry.note,
                )
                for entry in entries
            ],
            is_cut=found.is_cut,
            kept_until=found.kept_until,
        )
        return BytesResponse(encode(body), headers=NO_STORE)

    async def download(self, request: Request, job_id: JobId, path: str) -> ASGIApp:
        """Send a file, chunk by chunk as the runner gives it."""
        size_bytes, chunks = await self._work_files.open(request.principal, job_id, path)
        headers = {**NO_STORE, **attachment_headers(path), "content-type": media_type_of(path)}
        return ChunkedFile(size_bytes, chunks, headers)


class ChunkedFile:
    """A response whose body comes in chunks. When they end too early, the connection is closed before its end."""

    def __init__(self, size_bytes: int, chunks: AsyncGenerator[bytes, None], headers: dict[str, str]) -> None:
        self._chunks = chunks
        self._headers = [(b"content-length", b"%d" % size_bytes)]
        self._headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; for HEAD without the body."""
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        try:
            if not is_head(scope):
                async for chunk in self._chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            await self._chunks.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
