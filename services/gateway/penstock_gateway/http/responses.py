"""Responses as ASGI applications: bytes that are ready, and blobs that are streamed."""

import base64
import hashlib
import mimetypes
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Final, cast
from urllib.parse import quote

import msgspec
import structlog
from litestar.types import HTTPScope, Receive, Scope, Send

from penstock_gateway.http.ranges import parse_range
from penstock_ports import Blobs, BlobStream

JSON: Final = "application/json"
NO_STORE: Final = {"cache-control": "no-store"}
NO_CACHE: Final = {"cache-control": "no-cache"}
TEXT: Final = "text/plain; charset=utf-8"
_TEXT_HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff", "accept-ranges": "bytes"}
_encoder = msgspec.json.Encoder()

log = structlog.get_logger()


class BytesResponse:
    """A response whose whole body is at hand."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(
        self, body: bytes, *, status: int = 200, media_type: str = JSON, headers: dict[str, str] | None = None
    ) -> None:
        self._body = body
        self._status = status
        self._headers = [(b"content-type", media_type.encode()), (b"content-length", b"%d" % len(body))]
        if headers:
            self._headers.extend((name.lower().encode(), value.encode("latin-1")) for name, value in headers.items())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; for HEAD without the body."""
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        body = b"" if is_head(scope) else self._body
        await send({"type": "http.response.body", "body": body, "more_body": False})


class EmptyResponse:
    """A response without a body."""

    __slots__ = ("_headers", "_status")

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self._status = status
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class StreamedBlob:
    """A blob, or the requested range of it, opened before anything is sent."""

    __slots__ = ("_headers", "_key", "_sha256", "_stack", "_status", "_stream")

    def __init__(
        self,
        stream: BlobStream,
        stack: AsyncExitStack,
        status: int,
        headers: dict[str, str],
        *,
        key: str,
        sha256: str | None = None,
    ) -> None:
        self._stream = stream
        self._key = key
        self._sha256 = sha256
        self._stack = stack
        self._status = status
        self._headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it piece by piece."""
        async with self._stack:
            await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
            if not is_head(scope):
                async for piece in self._checked():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _checked(self) -> AsyncGenerator[bytes, None]:
        """Yield the pieces, the last one only when all of them have the hash that they must have.

        So a blob that was changed never arrives whole: the client sees a body that breaks off.
        """
        content_hash = hashlib.sha256()
        held = b""
        async for piece in self._stream:
            content_hash.update(piece)
            if held:
                yield held
            held = piece
        if self._sha256 is not None and content_hash.hexdigest() != self._sha256:
            log.error("blob_changed", key=self._key, stored_sha256=self._sha256, found_sha256=content_hash.hexdigest())
            raise BlobChanged(f"the blob {self._key} is not what was stored: it has another SHA-256")
        if held:
            yield held


class BlobChanged(Exception):
    """A blob is not what was stored."""


def is_head(scope: Scope) -> bool:
    """Return whether a request is answered without a body."""
    return cast("HTTPScope", scope)["method"] == "HEAD"  # nothing here answers a WebSocket


def encode(value: object) -> bytes:
    """Return `value` as JSON."""
    return _encoder.encode(value)


def not_modified(headers: dict[str, str]) -> EmptyResponse:
    """Return the response for a client that has it already."""
    return EmptyResponse(304, headers)


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Return whether a client already has what `etag` names."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))


def media_type_of(path: str) -> str:
    """Return the content type of a file, by its name."""
    media_type, encoding = mimetypes.guess_type(path)
    if encoding is not None or media_type is None:
        return "application/octet-stream"
    return f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type


def attachment_headers(path: str) -> dict[str, str]:
    """Return headers that make a browser save a file under its name, and never run it as a page of this server."""
    name = path.rsplit("/", 1)[-1]
    plain = "".join(char if char.isascii() and char.isprintable() and char not in '"\\' else "_" for char in name)
    return {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }


def text_reply(content: bytes, range_header: str | None) -> BytesResponse:
    """Return a text, or the requested range of it.

    Raises:
        RangeNotSatisfiable: the range is outside of it.

    """
    wanted = parse_range(range_header, len(content))
    if wanted is None:
        return BytesResponse(content, media_type=TEXT, headers=_TEXT_HEADERS)
    start, length = wanted
    content_range = f"bytes {start}-{start + length - 1}/{len(content)}"
    part = content[start : start + length]
    return BytesResponse(part, status=206, media_type=TEXT, headers={**_TEXT_HEADERS, "content-range": content_range})


async def stream_blob(
    blobs: Blobs,
    key: str,
    *,
    size_bytes: int,
    media_type: str,
    range_header: str | None,
    headers: dict[str, str] | None = None,
    sha256: str | None = None,
) -> StreamedBlob:
    """Open a blob for sending, with the requested range.

    With `sha256` a whole one is checked on the way, and every response has it as `Repr-Digest`: a client that fetches
    ranges can check what it puts together.

    Raises:
        BlobMissing: there is none.
        RangeNotSatisfiable: the range is outside of it.

    """
    wanted = parse_range(range_header, size_bytes)
    start, length = (0, None) if wanted is None else wanted
    stack = AsyncExitStack()
    stream = await stack.enter_async_context(blobs.open(key, start=start, length=length))
    sent = size_bytes if length is None else length
    all_headers = {
        "Content-Type": media_type,
        "Content-Length": str(sent),
        "Accept-Ranges": "bytes",
        **(headers or {}),
    }
    if sha256 is not None:
        all_headers["Repr-Digest"] = repr_digest(sha256)
    if wanted is not None:
        all_headers["Content-Range"] = f"bytes {start}-{start + sent - 1}/{size_bytes}"
    if sent < size_bytes:
        sha256 = None  # a part has no hash to be checked against
    return StreamedBlob(stream, stack, 200 if wanted is None else 206, all_headers, key=key, sha256=sha256)


def repr_digest(sha256: str) -> str:
    """Return a hexadecimal SHA-256 as the header `Repr-Digest` of RFC 9530 has it: of the whole, ranges or not."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"
