"""A request: its address, headers and sender, and its body within bounds."""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Protocol, cast

import anyio
from litestar.types import HTTPReceiveMessage, Receive, Scope, WebSocketReceiveMessage

from penstock_gateway.http.operations import Operation
from penstock_gateway.http.parameters import QueryParameters
from penstock_gateway.http.problems import BodyTooLarge, BodyTooSlow, UnsupportedMediaType
from penstock_schemas.access import Principal

REQUEST: Final = "penstock.request"
"""The key of the scope under which the request is kept from layer to layer."""
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
"""The header that makes a submission repeatable."""
UPLOAD_STATE: Final = "penstock.upload_state"
"""The key of the scope under which the server keeps what knows whether the whole body has arrived."""
_SLASHES: Final = re.compile("/{2,}")
FORM_TYPE: Final = "multipart/form-data"
JSON_TYPES: Final = ("application/json", "text/json")
BODY_S: Final = 12 * 3600.0
"""A body comes whole within this. What is stored of it is young until then, and so the sweeper leaves it alone."""
IDLE_S: Final = 60.0
MIN_PROGRESS_BYTES: Final = 1024
"""A body of which less than this comes within `IDLE_S` is given up, unless that is its end."""


class ClientGone(Exception):
    """The client closed the connection before it had sent everything; nobody reads the answer."""


class Request:
    """One HTTP request.

    Every path may also be written with a `/` at its end; nothing is redirected, so a body arrives.

    Args:
        scope: the ASGI scope; its path is replaced by the one that is meant.
        receive: returns the messages of the body.

    """

    __slots__ = (
        "_principal",
        "_query",
        "headers",
        "is_admitted",
        "is_hidden",
        "is_lenient",
        "method",
        "operation",
        "path",
        "receive",
        "scope",
    )

    def __init__(self, scope: Scope, receive: Receive) -> None:
        raw = cast("dict[str, Any]", scope)
        path = str(raw["path"])
        if "//" in path:
            path = _SLASHES.sub("/", path)
        if path.endswith("/") and len(path) > 1:
            path = path[:-1]
        raw["path"] = path
        raw[REQUEST] = self
        self.scope: Final = raw
        self.receive: Final = receive
        self.method: Final = str(raw.get("method", "GET"))
        self.path: Final = path
        self.headers: Final = headers_of(raw["headers"])
        """By name in lower case; handlers read them with `header`."""
        self._query: QueryParameters | None = None
        self._principal: Principal | None = None
        self.operation: Operation | None = None
        """Set once the address is known to be served."""
        self.is_lenient = False
        """Whether unknown fields and parameters are ignored."""
        self.is_hidden = False
        """Whether the response denies that something exists that does."""
        self.is_admitted: Callable[[], Awaitable[bool]] = _always
        """Returns whether the sender would still be admitted: for responses that take long."""

    def header(self, name: str) -> str | None:
        """Return the value of a header; of several with this name, the last."""
        return self.headers.get(name.lower())

    @property
    def has_preferences(self) -> bool:
        """Whether there is a header `Prefer`."""
        return "prefer" in self.headers

    @property
    def has_query(self) -> bool:
        """Whether there is a query string that is not empty."""
        return bool(self.scope["query_string"])

    @property
    def query(self) -> QueryParameters:
        """The query parameters, as the operation declares them."""
        if self._query is None:
            declared = () if self.operation is None else self.operation.parameters
            self._query = QueryParameters(self.scope["query_string"], declared, is_lenient=self.is_lenient)
        return self._query

    @property
    def principal(self) -> Principal:
        """Who sent the request.

        Raises:
            TypeError: nobody was authenticated.

        """
        if self._principal is None:
            raise TypeError(f"{self.path} is served without authentication")
        return self._principal

    def authenticate(self, principal: Principal, is_admitted: Callable[[], Awaitable[bool]]) -> None:
        """Note who sent the request."""
        self._principal = principal
        self.is_admitted = is_admitted


def request_of(scope: Scope, receive: Receive) -> Request:
    """Return the request that an outer layer made of this scope, or a new one."""
    known = cast("dict[str, Any]", scope).get(REQUEST)
    return known if isinstance(known, Request) else Request(scope, receive)


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by name; of several with the same name, the last. ASGI has the names in lower case."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}


async def _always() -> bool:
    return True


def is_form(request: Request) -> bool:
    """Return whether a request carries a form of the type multipart/form-data."""
    return media_type_of(request) == FORM_TYPE


def media_type_of(request: Request) -> str:
    """Return the media type of a request's body, in lower case and without parameters; empty when it is not stated."""
    return (request.header("content-type") or "").partition(";")[0].strip().lower()


async def read_json(request: Request, max_body_bytes: int, *, is_optional: bool = False) -> bytes:
    """Return the body of a request that carries JSON.

    Raises:
        BodyTooLarge: it has more than `max_body_bytes`; no more than that was read.
        UnsupportedMediaType: its type is not JSON, or it is compressed.

    """
    body = await read_body(request, max_body_bytes)
    media_type = media_type_of(request)
    if media_type in JSON_TYPES or media_type.endswith("+json"):
        return body
    if is_optional and not body:
        return body
    display = f"`{media_type}`" if media_type else "of no stated type"
    raise UnsupportedMediaType(f"the body is {display}; send JSON with the header Content-Type: application/json")


async def read_body(request: Request, max_body_bytes: int) -> bytes:
    """Return the body, never holding more than `max_body_bytes` of it.

    Raises:
        BodyTooLarge: it has more.
        BodyTooSlow: it does not come.
        ClientGone: it did not come whole.

    """
    body = Body(request, max_body_bytes)
    chunks: list[bytes] = []
    while (chunk := await body.next_chunk()) is not None:
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class UploadState(Protocol):
    """What the server knows about the body of a request."""

    more_body: bool
    """Whether a part of it has not arrived."""


class Body:
    """The body of a request, chunk by chunk as it arrives.

    Raises:
        BodyTooLarge: it is announced to have more than `max_bytes`.
        UnsupportedMediaType: it is compressed.

    """

    def __init__(self, request: Request, max_bytes: int) -> None:
        coding = request.header("content-encoding") or ""
        if coding.strip().lower() not in ("", "identity"):
            raise UnsupportedMediaType(f"the body is encoded with `{coding[:80]}`; send it as it is")
        announced = request.header("content-length") or ""
        if _is_number(announced) and int(announced) > max_bytes:
            raise BodyTooLarge(_too_large(max_bytes))
        self._request = request
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._is_over = False
        self._upload: UploadState | None = request.scope.get(UPLOAD_STATE)
        self._deadline: float | None = None
        """Set when the body is waited for: most bodies arrive together with the head."""
        self._progress_bytes = 0
        self._waited_s = 0.0
        """Since the last `MIN_PROGRESS_BYTES`, for the client alone."""

    async def next_chunk(self) -> bytes | None:
        """Return the next chunk, `None` after the last one.

        Raises:
            BodyTooLarge: it has more than `max_bytes`.
            BodyTooSlow: less than `MIN_PROGRESS_BYTES` arrived for `IDLE_S`, or not everything within `BODY_S`.
            ClientGone: it will not come whole.

        """
        if self._is_over:
            return None
        if self._upload is not None and not self._upload.more_body:
            message = await self._request.receive()  # everything has arrived, so there is nothing to wait for
        else:
            message = await self._wait()
        if message["type"] == "http.disconnect":
            raise ClientGone("the connection was closed before the whole body had arrived")
        if message["type"] != "http.request":
            return b""
        self._is_over = not message["more_body"]
        self._size_bytes += len(message["body"])
        if self._size_bytes - self._progress_bytes >= MIN_PROGRESS_BYTES:
            self._progress_bytes = self._size_bytes
            self._waited_s = 0.0
        if self._size_bytes > self._max_bytes:
            raise BodyTooLarge(_too_large(self._max_bytes))
        return message["body"]

    async def _wait(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        started = anyio.current_time()
        if self._deadline is None:
            self._deadline = started + BODY_S
        if started > self._deadline:
            raise BodyTooSlow(f"the body took longer than {BODY_S / 3600:.0f} hours; nothing was stored")
        try:
            with anyio.fail_after(IDLE_S - self._waited_s):
                return await self._request.receive()
        except TimeoutError:
            raise BodyTooSlow(
                f"less than {MIN_PROGRESS_BYTES:,} bytes of the body arrived within {IDLE_S:.0f} seconds; nothing was "
                "stored"
            ) from None
        finally:
            self._waited_s = min(IDLE_S, self._waited_s + anyio.current_time() - started)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _too_large(max_body_bytes: int) -> str:
    return f"the body has more than the {max_body_bytes:,} bytes that this server accepts; the rest was not read"
