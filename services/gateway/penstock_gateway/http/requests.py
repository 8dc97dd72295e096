"""Reading a request: its body within bounds, and the headers that matter here."""

from typing import Any, Final

import anyio
from litestar import Request
from litestar.types import HTTPReceiveMessage, WebSocketReceiveMessage

from penstock_gateway.http.problems import BodyTooLarge, BodyTooSlow, UnsupportedMediaType

AnyRequest = Request[Any, Any, Any]
JSON_TYPES: Final = ("application/json", "text/json")
BODY_S: Final = 12 * 3600.0
"""A body comes whole within this. What is stored of it is young until then, and so the sweeper leaves it alone."""
IDLE_S: Final = 60.0
MIN_PIECE_BYTES: Final = 1024
"""A body of which less than this comes within `IDLE_S` is given up, unless that is its end."""


class ClientGone(Exception):
    """The client closed the connection before it had sent everything; nobody reads the answer."""


def media_type_of(request: AnyRequest) -> str:
    """Return the media type of a request's body, in lower case and without parameters; empty when it is not stated."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(request: AnyRequest, max_body_bytes: int, *, is_optional: bool = False) -> bytes:
    """Return the body of a request that carries JSON.

    Raises:
        BodyTooLarge: it has more than `max_body_bytes`; no more than that was read.
        UnsupportedMediaType: it says that it is something else, or is compressed.

    """
    body = await read_body(request, max_body_bytes)
    media_type = media_type_of(request)
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
        BodyTooSlow: it does not come.
        ClientGone: it did not come whole.

    """
    body = Body(request, max_body_bytes)
    pieces: list[bytes] = []
    while (piece := await body.next_piece()) is not None:
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Body:
    """The body of a request, piece by piece as it comes.

    Raises:
        BodyTooLarge: it is announced to have more than `max_bytes`.
        UnsupportedMediaType: it is compressed.

    """

    def __init__(self, request: AnyRequest, max_bytes: int) -> None:
        coding = request.headers.get("content-encoding", "")
        if coding.strip().lower() not in ("", "identity"):
            raise UnsupportedMediaType(f"the body is encoded with `{coding[:80]}`; send it as it is")
        announced = request.headers.get("content-length", "")
        if _is_number(announced) and int(announced) > max_bytes:
            raise BodyTooLarge(_too_large(max_bytes))
        self._request = request
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._is_over = False
        self._deadline = anyio.current_time() + BODY_S
        self._progress_bytes = 0
        self._waited_s = 0.0
        """Since the last `MIN_PIECE_BYTES`, for the client alone."""

    async def next_piece(self) -> bytes | None:
        """Return the next piece, `None` after the last one.

        Raises:
            BodyTooLarge: it has more than `max_bytes`.
            BodyTooSlow: less than `MIN_PIECE_BYTES` came for `IDLE_S`, or not everything within `BODY_S`.
            ClientGone: it will not come whole.

        """
        if self._is_over:
            return None
        if anyio.current_time() > self._deadline:
            raise BodyTooSlow(f"the body did not come whole within {BODY_S / 3600:.0f} hours; nothing was stored")
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("the connection was closed within the body")
        if message["type"] != "http.request":
            return b""
        self._is_over = not message["more_body"]
        self._size_bytes += len(message["body"])
        if self._size_bytes - self._progress_bytes >= MIN_PIECE_BYTES:
            self._progress_bytes = self._size_bytes
            self._waited_s = 0.0
        if self._size_bytes > self._max_bytes:
            raise BodyTooLarge(_too_large(self._max_bytes))
        return message["body"]

    async def _receive(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        began = anyio.current_time()
        try:
            with anyio.fail_after(IDLE_S - self._waited_s):
                return await self._request.receive()
        except TimeoutError:
            raise BodyTooSlow(
                f"less than {MIN_PIECE_BYTES:,} bytes of the body came within {IDLE_S:.0f} seconds; nothing was stored"
            ) from None
        finally:
            self._waited_s = min(IDLE_S, self._waited_s + anyio.current_time() - began)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _too_large(max_body_bytes: int) -> str:
    return f"the body has more than the {max_body_bytes:,} bytes that this server takes; it was not read further"
