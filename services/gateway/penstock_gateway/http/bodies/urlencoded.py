"""Bodies of the type application/x-www-form-urlencoded: the fields of a form that brings no files."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

from anyio import to_thread
from msgspec import Struct

from penstock_gateway.http.problems import Invalid
from penstock_gateway.http.requests import Request, media_type_of, read_body
from penstock_schemas.api import Violation

MEDIA_TYPE: Final = "application/x-www-form-urlencoded"
MAX_BYTES: Final = 4 << 20
"""Of the whole body. Fields alone need no more; files come as multipart/form-data."""
MAX_FIELDS: Final = 200
THREAD_BYTES: Final = 64 << 10
"""A larger body is taken apart in a thread, so that other requests do not wait for it."""
PIECE_BYTES: Final = 16 << 10
"""Of a value, decoded at once."""


class Field(Struct, frozen=True):
    """One field of a form."""

    name: str
    content: bytes
    filename: None = None
    """A field is never a file."""

    async def read(self) -> bytes:
        """Return the content."""
        return self.content


class UrlencodedForm:
    """A form, field by field.

    Args:
        request: carries the form.
        max_bytes: of the body; never more than `MAX_BYTES` are read.

    """

    def __init__(self, request: Request, max_bytes: int) -> None:
        self._request = request
        self._max_bytes = min(max_bytes, MAX_BYTES)
        self._fields: Iterator[Field] | None = None

    async def next_part(self) -> Field | None:
        """Return the next field, `None` after the last one.

        Raises:
            Invalid: there are more than `MAX_FIELDS`, or a name is not UTF-8.
            BodyTooLarge, BodyTooSlow, ClientGone: as `read_body`.

        """
        if self._fields is None:
            body = await read_body(self._request, self._max_bytes)
            is_small = len(body) <= THREAD_BYTES
            self._fields = iter(parse_fields(body) if is_small else await to_thread.run_sync(parse_fields, body))
        return next(self._fields, None)


def is_urlencoded(request: Request) -> bool:
    """Return whether a request carries such a form."""
    return media_type_of(request) == MEDIA_TYPE


def parse_fields(body: bytes) -> tuple[Field, ...]:
    """Return the fields of a body, in their order.

    Raises:
        Invalid: there are more than `MAX_FIELDS`, or a name is not UTF-8.

    """
    if body.count(b"&") >= MAX_FIELDS:
        raise Invalid([Violation(pointer="#", detail=f"the form has more than {MAX_FIELDS} fields")])
    pairs = (pair.partition(b"=") for pair in body.strip().split(b"&") if pair)
    return tuple(Field(_name(name), _decoded(value)) for name, _, value in pairs)


def _decoded(text: bytes) -> bytes:
    """Return a decoded text, decoded in parts: each call holds the interpreter, and with it all requests."""
    spaced = text.replace(b"+", b" ")
    parts: list[bytes] = []
    start = 0
    while start < len(spaced):
        end = start + PIECE_BYTES
        cut = spaced.rfind(b"%", end - 2, end)  # an escape has three bytes, and stays in one piece
        end = end if cut <= start else cut
        parts.append(unquote_to_bytes(spaced[start:end]))
        start = end
    return b"".join(parts)


def _name(text: bytes) -> str:
    try:
        return _decoded(text).decode()
    except UnicodeDecodeError:
        raise Invalid([Violation(pointer="#", detail="the name of a field is not valid UTF-8")]) from None
