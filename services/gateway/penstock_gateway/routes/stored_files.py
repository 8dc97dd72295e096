"""Responses that send stored files: outputs and logs, whole or one range of them."""

from litestar.types import ASGIApp

from penstock_gateway.http.problems import NotFound
from penstock_gateway.http.requests import Request
from penstock_gateway.http.responses import (
    TEXT,
    attachment_headers,
    is_known,
    media_type_of,
    not_modified,
    stream_blob,
    text_reply,
)
from penstock_gateway.jobs.run_files import Runs, StoredText
from penstock_ports import Blobs
from penstock_schemas.ids import JobId


async def send_output(runs: Runs, blobs: Blobs, request: Request, job_id: JobId, path: str) -> ASGIApp:
    """Return a file that a job produced, or the requested range of it.

    Raises:
        NotFound: the job has no such output.
        UnknownJob, Unavailable: as `Jobs.get`.

    """
    manifest = await runs.outputs(request.principal, job_id)
    found = next((file for file in manifest.files if file.path == path), None)
    if found is None:
        raise NotFound(f"job {job_id} has no output {path}: it was not found; /jobs/{job_id}/outputs lists them")
    etag = f'"{found.sha256}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache", **attachment_headers(path)}
    if is_known(request.header("if-none-match"), etag):
        return not_modified({"ETag": etag})
    if_range = request.header("if-range")
    return await stream_blob(
        blobs,
        found.key,
        size_bytes=found.size_bytes,
        media_type=media_type_of(path),
        range_header=request.header("range") if if_range in (None, etag) else None,
        headers=headers,
        sha256=found.sha256,
    )


async def send_text(blobs: Blobs, text: StoredText | None, request: Request) -> ASGIApp:
    """Return a stored text, or the requested range of it; `None` is an empty one.

    Raises:
        NotFound: it is not there.

    """
    if text is None:
        return text_reply(b"", request.header("range"))
    info = await blobs.info(text.key)
    if info is None:
        raise NotFound("the log was not found in the blob store")
    return await stream_blob(
        blobs,
        text.key,
        size_bytes=info.size_bytes,
        sha256=text.sha256,
        media_type=TEXT,
        range_header=request.header("range"),
        headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"},
    )
