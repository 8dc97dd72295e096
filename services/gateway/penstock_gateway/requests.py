"""Reading a request: its body within bounds, and the headers that matter here."""

from typing import Any, Final

from litestar import Request

from penstock_gateway.problems import BodyTooLarge, Invalid, UnsupportedMediaType
from penstock_gateway.queries import MAX_SEQ
from penstock_schemas.api import Violation

AnyRequest = Request[Any, Any, Any]
JSON_TYPES: Final = ("application/json", "text/json")
MIN_SEQ_HEADER: Final = "penstock-min-seq"


class ClientGone(Exception):
    """The client closed the connection before it had sent everything; nobody reads the answer."""


async def read_json(request: AnyRequest, max_body_bytes: int, *, is_optional: bool = False) -> bytes:
    """Return the body of a request that carries JSON.

    Raises:
        BodyTooLarge: it has more than `max_body_bytes`; no more than that was read.
        UnsupportedMediaType: it says that it is something else.

    """
    body = await read_body(request, max_body_bytes)
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in JSON_TYPES or media_type.endswith("+json"):
        return body
    if is_optional and not body:
        return body
    shown = f"`{media_type}`" if media_type else "of no stated type"
    raise UnsupportedMediaType(f"the body is {shown}; send JSON with the header Content-Type: application/json")


async def read_body(request: AnyRequest, max_body_bytes: int) -> bytes:
    """Return the body, never holding more than `max_body_bytes` of it.

    Raises:
        BodyTooLarge: it has more.
        ClientGone: it did not come whole.

    """
    announced = request.headers.get("content-length", "")
    if _is_number(announced) and int(announced) > max_body_bytes:
        raise BodyTooLarge(_too_large(max_body_bytes))
    pieces: list[bytes] = []
    size_bytes = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("the connection was closed within the body")
        if message["type"] != "http.request":
            continue
        piece = message["body"]
        size_bytes += len(piece)
        if size_bytes > max_body_bytes:
            raise BodyTooLarge(_too_large(max_body_bytes))
        pieces.append(piece)
        if not message["more_body"]:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def min_seq_of(request: AnyRequest) -> int:
    """Return the sequence that the answer must not predate, from the header `Penstock-Min-Seq`; 0 without it.

    Raises:
        Invalid: it is no sequence.

    """
    text = request.headers.get(MIN_SEQ_HEADER)
    if text is None:
        return 0
    if not _is_number(text) or int(text) > MAX_SEQ:
        raise Invalid([Violation(pointer="Penstock-Min-Seq", detail="a sequence of the log is expected")])
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _too_large(max_body_bytes: int) -> str:
    return f"the body has more than the {max_body_bytes:,} bytes that this server takes; it was not read further"
