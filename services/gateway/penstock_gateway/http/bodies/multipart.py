"""Bodies of the type multipart/form-data, read as they arrive; no part is held in memory unless `read` is called.

form = Form(request, FormLimits(max_bytes=settings.max_upload_bytes))
while (part := await form.next_part()) is not None:
    if part.name == "workflow_attachment":
        await upload.put(part.filename or "", part)  # streamed into the blob store
    else:
        fields[part.name] = await part.read()
"""

# The library has type hints, but no marker that declares them.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false

from collections import deque
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from typing import Final, cast

from msgspec import Struct
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser, parse_options_header

from penstock_gateway.http.problems import BodyTooLarge, Invalid, UnsupportedMediaType
from penstock_gateway.http.requests import FORM_TYPE, Body, Request
from penstock_schemas.api import Violation

MAX_BOUNDARY_CHARS: Final = 200
"""RFC 2046 allows 70; some clients are more generous."""
MAX_HEADER_BYTES: Final = 8 * 1024
"""Of one line; a nested name of 1,024 bytes takes three times that when it is escaped."""
MAX_HEADERS: Final = 16
MAX_NAME_CHARS: Final = 200
"""Of the name of a part; its file name is bounded as a path."""

_Event = MultipartSegment | bytes | bytearray | None
"""A part's head, a piece of it, its end."""


class FormLimits(Struct, frozen=True, kw_only=True):
    """What a form may have."""

    max_bytes: int
    """Of the whole body."""
    max_parts: int = 5100
    max_field_bytes: int = 16 << 20
    """Of a part that is read into memory."""


class Part:
    """One part of a form: iterate over it, or `read` it. What is left is skipped when the next one is requested."""

    def __init__(self, form: "MultipartForm", segment: MultipartSegment, limits: FormLimits) -> None:
        self.name = segment.name or ""
        self.filename = segment.filename
        """As the client wrote it, folders included; `None` when it gave none."""
        self.media_type = (segment.content_type or "").lower()
        self._form = form
        self._limits = limits
        self._is_over = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the content as it comes."""
        while not self._is_over:
            event = await self._form.next_event()
            if event is None:
                self._is_over = True
            elif not isinstance(event, MultipartSegment):
                yield bytes(event)

    async def read(self) -> bytes:
        """Return the content.

        Raises:
            BodyTooLarge: it has more bytes than a field may have.

        """
        chunks: list[bytes] = []
        size_bytes = 0
        async for chunk in self:
            size_bytes += len(chunk)
            if size_bytes > self._limits.max_field_bytes:
                raise BodyTooLarge(
                    f"the part `{self.name[:80]}` has more than the {self._limits.max_field_bytes:,} bytes of a field"
                )
            chunks.append(chunk)
        return b"".join(chunks)

    async def skip(self) -> None:
        """Skip what is left of it."""
        async for _ in self:
            pass


class MultipartForm:
    """A form, part by part.

    Raises:
        UnsupportedMediaType: the request does not carry one.
        BodyTooLarge: it is announced to have more bytes than it may.

    """

    def __init__(self, request: Request, limits: FormLimits) -> None:
        self._limits = limits
        self._parser = _parser(_boundary(request.header("content-type") or ""), limits)
        self._body = Body(request, limits.max_bytes)
        self._events: deque[_Event] = deque()
        self._part: Part | None = None

    async def next_part(self) -> Part | None:
        """Return the next part, `None` after the last one.

        Raises:
            Invalid: the body is malformed.
            BodyTooLarge, BodyTooSlow, ClientGone: as `Body.next_chunk`; or there are too many parts.

        """
        if self._part is not None:
            await self._part.skip()
        while True:
            event = await self._next()
            if isinstance(event, MultipartSegment):
                if len(event.name or "") > MAX_NAME_CHARS:
                    detail = f"the name of a part has more than {MAX_NAME_CHARS} characters"
                    raise Invalid([Violation(pointer="#", detail=detail)])
                self._part = Part(self, event, self._limits)
                return self._part
            if event is None:
                return None

    async def next_event(self) -> _Event:
        """Return the next piece of the present part, or its end."""
        return await self._next()

    async def _next(self) -> _Event:
        while not self._events:
            piece = await self._body.next_chunk()
            with _errors(self._limits):
                if piece != b"":
                    # The parser takes empty data as the end.
                    self._events.extend(self._parser.parse(piece or b""))
            if piece is None:
                return None
        return self._events.popleft()


def _boundary(content_type: str) -> str:
    parsed = parse_options_header(content_type)  # type: ignore[no-untyped-call]
    media_type, options = cast("tuple[str, dict[str, str]]", parsed)
    if media_type != FORM_TYPE:
        display = f"`{media_type[:80]}`" if media_type else "of no stated type"
        raise UnsupportedMediaType(f"the body is {display}; send {FORM_TYPE}")
    boundary = options.get("boundary", "")
    if not 1 <= len(boundary) <= MAX_BOUNDARY_CHARS or not boundary.isascii() or not boundary.isprintable():
        raise Invalid([Violation(pointer="Content-Type", detail=f"{FORM_TYPE} needs its parameter `boundary`")])
    return boundary


def _parser(boundary: str, limits: FormLimits) -> PushMultipartParser:
    return PushMultipartParser(
        boundary,
        max_header_size=MAX_HEADER_BYTES,
        max_header_count=MAX_HEADERS,
        max_segment_size=limits.max_bytes,
        max_segment_count=limits.max_parts,
    )


@contextmanager
def _errors(limits: FormLimits) -> Generator[None, None, None]:
    """Turn errors of the parser into problems."""
    try:
        yield
    except ParserLimitReached:
        raise BodyTooLarge(
            f"the form has more than this server takes: {limits.max_parts:,} parts (fields and files), each with "
            f"{MAX_HEADERS} headers of {MAX_HEADER_BYTES:,} bytes"
        ) from None
    except MultipartError as error:
        detail = (
            f"the body is no well-formed {FORM_TYPE}: {str(error).lower()}; does it begin and end with the `boundary` "
            "of Content-Type, and was it sent whole?"
        )
        raise Invalid([Violation(pointer="#", detail=detail)]) from None
