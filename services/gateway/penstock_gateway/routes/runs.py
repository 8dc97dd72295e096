"""`/jobs/{id}/...`: tasks, logs and outputs."""

import re
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote

from litestar import route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Struct

from penstock_gateway.http.handling import read_query
from penstock_gateway.http.parameters import parse_job_id, require_visible
from penstock_gateway.http.principals import principal_of
from penstock_gateway.http.problems import Invalid, NotFound
from penstock_gateway.http.requests import AnyRequest
from penstock_gateway.http.responses import (
    TEXT,
    BytesResponse,
    attachment_headers,
    encode,
    is_known,
    media_type_of,
    not_modified,
    stream_blob,
    text_reply,
)
from penstock_gateway.jobs.jobs import Jobs
from penstock_gateway.jobs.run_files import Runs, StoredText, own_stream
from penstock_gateway.operations.runs import DOWNLOAD_OUTPUT, LIST_OUTPUTS, LIST_TASKS, READ_LOG, READ_TASK_LOG
from penstock_gateway.routes.jobs import NO_STORE, READ
from penstock_ports import BlobMissing, Blobs
from penstock_schemas.access import Principal
from penstock_schemas.api import MAX_PAGE, MAX_WAIT_S, LogSource, OutputEntry, OutputList, TaskList, Violation
from penstock_schemas.ids import JobId
from penstock_schemas.views import LogStream

_TASK_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class RunServices(Struct, frozen=True, kw_only=True):
    """What these handlers work with."""

    jobs: Jobs
    runs: Runs
    blobs: Blobs
    presigned_s: int = 0
    """Seconds that a presigned URL is valid; 0: none is made."""

    async def presigned(self, key: str) -> str | None:
        """Return where the store itself serves a blob; `None` where that is not wanted or not possible."""
        return await self.blobs.presign(key, valid_s=self.presigned_s) if self.presigned_s else None


def is_task_id(text: str) -> bool:
    """Return whether a task may have this id."""
    return _TASK_ID.fullmatch(text) is not None


def run_routes(services: RunServices) -> list[HTTPRouteHandler]:
    """Return the handlers."""
    runs = services.runs

    @route("/jobs/{job_id:str}/tasks", http_method=READ)
    async def tasks(request: AnyRequest, job_id: FromPath[str]) -> ASGIApp:
        wanted = parse_job_id(job_id)
        given = read_query(request, LIST_TASKS)
        after, limit = given.integer("after"), given.integer("limit")
        given.check()
        found = await runs.tasks(principal_of(request), wanted, after=after, limit=limit)
        answer = TaskList(
            tasks=list(found.tasks),
            counts=await services.jobs.counts(found.job),
            next_after=found.next_after,
            done=found.job.state.is_terminal,
        )
        return BytesResponse(encode(answer), headers=NO_STORE)

    @route("/jobs/{job_id:str}/logs", http_method=READ)
    async def logs(request: AnyRequest, job_id: FromPath[str]) -> ASGIApp:
        wanted = parse_job_id(job_id)
        given = read_query(request, READ_LOG)
        wanted_streams = frozenset(given.choices("stream", LogStream))
        source = given.one("source")
        asked_source = None if source in (None, "auto") else given.choice("source", LogSource, source or "")
        as_text = given.one("format")
        if as_text not in (None, "json", "text"):
            given.refuse("format", "`json` or `text` is expected")
        after, limit = given.integer("after"), given.integer("limit")
        wait_s = given.seconds("wait", most=MAX_WAIT_S)
        given.check()
        if as_text == "text":
            return await _text_log(services, request, wanted, wanted_streams)
        answer = await runs.log(
            principal_of(request),
            wanted,
            after=after,
            wait_s=wait_s,
            limit=limit,
            streams=wanted_streams,
            source=asked_source,
        )
        return BytesResponse(encode(answer), headers=NO_STORE)

    @route("/jobs/{job_id:str}/tasks/{task_id:str}/{stream:str}", http_method=READ)
    async def task_log(
        request: AnyRequest, job_id: FromPath[str], task_id: FromPath[str], stream: FromPath[str]
    ) -> ASGIApp:
        wanted = parse_job_id(job_id)
        read_query(request, READ_TASK_LOG).check()
        if stream not in ("stdout", "stderr"):
            raise NotFound(f"there is nothing at {request.scope['path']}; a task has stdout and stderr")
        require_visible(task_id)
        if not is_task_id(task_id):
            raise Invalid([Violation(pointer="task_id", detail=f"`{task_id[:80]}` is no task id")])
        text = await runs.task_log(principal_of(request), wanted, task_id, LogStream(stream))
        return await send_text(services.blobs, text, request)

    @route("/jobs/{job_id:str}/outputs", http_method=READ)
    async def outputs(request: AnyRequest, job_id: FromPath[str]) -> ASGIApp:
        wanted = parse_job_id(job_id)
        read_query(request, LIST_OUTPUTS).check()
        manifest = await runs.outputs(principal_of(request), wanted)
        files = [
            OutputEntry(
                path=each.path,
                size_bytes=each.size_bytes,
                sha256=each.sha256,
                url=f"/jobs/{wanted}/outputs/{quote(each.path)}",
                download_url=await services.presigned(each.key),
                kind=each.kind,
            )
            for each in manifest.files
        ]
        total_bytes = sum(each.size_bytes for each in files)
        answer = OutputList(
            job_id=wanted,
            attempt=manifest.attempt,
            files=files,
            total_bytes=total_bytes,
            not_stored=list(manifest.not_stored),
            not_stored_count=manifest.not_stored_count,
            undeclared=list(manifest.undeclared),
            undeclared_count=manifest.undeclared_count,
            undeclared_bytes=manifest.undeclared_bytes,
        )
        return BytesResponse(encode(answer), headers=NO_STORE)

    @route("/jobs/{job_id:str}/outputs/{path:path}", http_method=READ)
    async def output(request: AnyRequest, job_id: FromPath[str], path: FromPath[str]) -> ASGIApp:
        wanted = parse_job_id(job_id)
        read_query(request, DOWNLOAD_OUTPUT).check()
        return await send_output(runs, services.blobs, request, wanted, path.removeprefix("/"))

    return [tasks, logs, task_log, outputs, output]


async def send_output(runs: Runs, blobs: Blobs, request: AnyRequest, job_id: JobId, path: str) -> ASGIApp:
    """Return a file that a job produced, or the range of it that was asked for.

    Raises:
        NotFound: the job has no such output.
        UnknownJob, Unavailable: as `Jobs.get`.

    """
    manifest = await runs.outputs(principal_of(request), job_id)
    found = next((each for each in manifest.files if each.path == path), None)
    if found is None:
        raise NotFound(f"job {job_id} has no output {path}: it was not found; /jobs/{job_id}/outputs lists them")
    etag = f'"{found.sha256}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache", **attachment_headers(path)}
    if is_known(request.headers.get("if-none-match"), etag):
        return not_modified({"ETag": etag})
    if_range = request.headers.get("if-range")
    return await stream_blob(
        blobs,
        found.key,
        size_bytes=found.size_bytes,
        media_type=media_type_of(path),
        range_header=request.headers.get("range") if if_range in (None, etag) else None,
        headers=headers,
        sha256=found.sha256,
    )


async def _text_log(
    services: RunServices, request: AnyRequest, job_id: JobId, streams: frozenset[LogStream]
) -> ASGIApp:
    """Return the whole log as text: the stored one when the job is over, else what has come so far."""
    principal = principal_of(request)
    job = await services.jobs.get(principal, job_id)
    own = own_stream(streams)
    if job.state.is_terminal and (not streams or (own is not None and len(streams) == 1)):
        try:
            return await send_text(services.blobs, await services.runs.engine_log(job, own), request)
        except (NotFound, BlobMissing):
            pass  # it ended before there was a log to store; the live tail may still know something
    text = [piece async for piece in _live_text(services.runs, principal, job_id, streams)]
    return BytesResponse("".join(text).encode(), media_type=TEXT, headers=NO_STORE)


MAX_TEXT_PAGES: Final = 100
"""A running job's log as text has no more than this many pages of entries; the last ones can be long-polled."""


async def _live_text(
    runs: Runs, principal: Principal, job_id: JobId, streams: frozenset[LogStream]
) -> AsyncIterator[str]:
    after = 0
    for _ in range(MAX_TEXT_PAGES):
        page = await runs.log(
            principal, job_id, after=after, wait_s=0, limit=MAX_PAGE, streams=streams, source=LogSource.LIVE
        )
        for entry in page.entries:
            yield entry.text
        if not page.entries:
            return
        after = page.next_after


async def send_text(blobs: Blobs, text: StoredText | None, request: AnyRequest) -> ASGIApp:
    """Return a stored text, or the range of it that was asked for; `None` stands for an empty one.

    Raises:
        NotFound: it is not there.

    """
    if text is None:
        return text_reply(b"", request.headers.get("range"))
    info = await blobs.info(text.key)
    if info is None:
        raise NotFound("the log was not found in the blob store")
    return await stream_blob(
        blobs,
        text.key,
        size_bytes=info.size_bytes,
        sha256=text.sha256,
        media_type=TEXT,
        range_header=request.headers.get("range"),
        headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"},
    )
