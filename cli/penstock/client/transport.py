"""Requests to one server, each within a deadline: sent, repeated where that is safe, and read."""

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from penstock_runtime.runtime import SYSTEM
from penstock_schemas.api import Problem

T = TypeVar("T")
Query = Mapping[str, str | int | float | Sequence[str] | None]

CONNECT_S: Final = 3.0
"""How long one attempt to connect may take, to a server that was reached before."""
REACH_S: Final = 2.6
"""How long a server that was never reached is tried: a wrong address is reported within 3 s."""
FIRST_CONNECT_S: Final = 1.3
"""How long one attempt to connect may take before that; a name may have two addresses."""
STALL_S: Final = 60.0
"""How long a server may take no byte of a stream, which is also how long one may take to connect for it."""
MAX_LONG_STREAMS: Final = 2
"""How often a stream is begun again that broke off after the deadline, which is not meant for sending so much."""
FIRST_PAUSE_S: Final = 0.1
LAST_PAUSE_S: Final = 2.0
_UNABLE: Final = frozenset({502, 503, 504})
JSON: Final = "application/json"


class ClientError(Exception):
    """A request failed; the text has the reason."""


class Unreachable(ClientError):
    """No answer before the deadline."""

    def __init__(self, message: str, *, is_connected: bool = True) -> None:
        super().__init__(message)
        self.is_connected = is_connected
        """Whether there was a connection at all."""


class RequestRefused(ClientError):
    """The server answered with an error."""

    def __init__(self, status: int, problem: Problem | None, url: str) -> None:
        super().__init__(problem.detail if problem else f"{url} answered {status}")
        self.status = status
        self.problem = problem


class ResourceNotFound(RequestRefused):
    """There is no such thing on the server."""


class Streamed(Protocol):
    """A body that is not in memory. It can be sent again, from its beginning."""

    @property
    def content_type(self) -> str:
        """What it is."""
        ...

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        ...

    def __iter__(self) -> Iterator[bytes]:
        """Yield it from its beginning."""
        ...


class Response(msgspec.Struct, frozen=True):
    """What a server sent back."""

    status: int
    body: bytes
    retry_after_s: float = 0.0
    """How long the server requires clients to wait."""


class Transport:
    """An HTTP connection pool to one server. It may be used by several threads at once."""

    def __init__(self, url: str, *, deadline_s: float, authorization: str | None, is_known: bool = False) -> None:
        """Take what `Client` takes; nothing is sent yet."""
        self._credentials = {} if authorization is None else {"Authorization": authorization}
        self.url = url.rstrip("/")
        self.deadline_s = deadline_s
        self._pool = urllib3.PoolManager(maxsize=4, retries=False)
        self._was_reached = is_known
        """Whether a server is there at all: then one that does not answer is waited for."""

    def close(self) -> None:
        """Close its connections."""
        self._pool.clear()

    def get(self, path: str, query: Query, shape: type[T], wait_s: float = 0.0) -> T:
        """Read something; a value of `None` in `query` is left out. A long-poll has `wait_s` on top of the deadline."""
        pairs = [
            (key, f"{item:.3f}" if isinstance(item, float) else str(item))
            for key, value in query.items()
            if value is not None
            for item in ([value] if isinstance(value, str | int | float) else value)
        ]
        url = self.url + path + (f"?{urlencode(pairs)}" if pairs else "")
        return self.decode(self.repeat("GET", url, None, wait_s), shape, url)

    def post(self, path: str, body: msgspec.Struct | None, shape: type[T]) -> T:
        """Send a command that may be repeated."""
        url = self.url + path
        raw = None if body is None else msgspec.json.encode(body)
        return self.decode(self.repeat("POST", url, raw, 0.0), shape, url)

    def stream(self, path: str, body: Streamed, shape: type[T]) -> T:
        """Send a command that may be repeated, piece by piece."""
        url = self.url + path
        return self.decode(self.repeat("POST", url, body, 0.0), shape, url)

    def repeat(self, method: str, url: str, body: bytes | Streamed | None, wait_s: float) -> Response:
        """Send a request that may be repeated, until it is answered or the deadline has passed.

        A server that was never reached is given up after `REACH_S`; one that was may just be starting again.

        A stream that took longer than that by itself gets a new deadline, `MAX_LONG_STREAMS` times.
        """
        started = SYSTEM.monotonic()
        ends = started + self.deadline_s
        long_streams = 0 if body is None or isinstance(body, bytes) else MAX_LONG_STREAMS
        pause = FIRST_PAUSE_S
        while True:
            begun = SYSTEM.monotonic()
            left = ends - begun
            try:
                answer = self.send(method, url, body, wait_s)
                if answer.status not in _UNABLE or left <= max(pause, answer.retry_after_s):
                    return self.checked(answer, url)
            except Unreachable as error:
                if not (error.is_connected or self._was_reached) and SYSTEM.monotonic() + pause - started > REACH_S:
                    raise
                if long_streams and SYSTEM.monotonic() - begun > self.deadline_s:
                    long_streams -= 1
                    ends = SYSTEM.monotonic() + self.deadline_s
                elif left <= pause:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, LAST_PAUSE_S)

    def send(self, method: str, url: str, body: bytes | Streamed | None, wait_s: float) -> Response:
        """Send a request once.

        Raises:
            Unreachable: no answer before the deadline.

        """
        headers = {"Accept": "application/json"} | self._credentials
        connect_s = min(CONNECT_S if self._was_reached else FIRST_CONNECT_S, self.deadline_s)
        if isinstance(body, bytes):
            headers["Content-Type"] = JSON
        elif body is not None:
            self._reach()
            headers |= {"Content-Type": body.content_type, "Content-Length": str(body.size_bytes)}
            connect_s = STALL_S  # it also bounds each piece that is sent
        timeout = urllib3.Timeout(connect=connect_s, read=self.deadline_s + wait_s)
        try:
            response = self._pool.request(method, url, body=body, headers=headers, timeout=timeout, redirect=False)
        except (HTTPError, OSError) as error:
            raise self._unreachable(error) from error
        self._was_reached = True
        return Response(response.status, response.data, _seconds(response.headers.get("retry-after")))

    def _reach(self) -> None:
        """Connect once, where that was never done, because a stream may take long to connect.

        Raises:
            Unreachable: there is no connection.

        """
        if self._was_reached:
            return
        parts = urlsplit(self.url)
        address = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection(address, timeout=FIRST_CONNECT_S).close()
        except OSError as error:
            raise Unreachable(f"{self.url} does not answer: {_reason(error)}", is_connected=False) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        is_connected = not isinstance(error, NewConnectionError | ConnectTimeoutError)
        return Unreachable(f"{self.url} does not answer: {_reason(error)}", is_connected=is_connected)

    def open(self, url: str, *, start: int = 0) -> urllib3.BaseHTTPResponse:
        """Begin a download from this server, from the byte `start` on; its content is still to be read.

        Raises:
            ClientError: the address is of another server, which gets no credentials.
            Refused, Unreachable: there is nothing to download.

        """
        if urlsplit(url)[:2] != urlsplit(self.url)[:2]:
            raise ClientError(f"the server named an output on another server, {url}")
        timeout = urllib3.Timeout(connect=CONNECT_S, read=self.deadline_s)
        headers = self._credentials | ({"Range": f"bytes={start}-"} if start else {})
        try:
            response = self._pool.request(
                "GET", url, headers=headers, timeout=timeout, preload_content=False, redirect=False
            )
        except (HTTPError, OSError) as error:
            raise self._unreachable(error) from error
        self._was_reached = True
        if response.status >= 300:
            raise self.refusal(Response(response.status, response.data), url)
        return response

    def checked(self, answer: Response, url: str) -> Response:
        """Return an answer that is no error.

        Raises:
            Refused: it is one.

        """
        if answer.status >= 300:
            raise self.refusal(answer, url)
        return answer

    def refusal(self, answer: Response, url: str) -> RequestRefused:
        """Return the message of an error response."""
        try:
            problem = msgspec.json.decode(answer.body, type=Problem)
        except msgspec.MsgspecError:
            problem = None
        return (ResourceNotFound if answer.status == 404 else RequestRefused)(answer.status, problem, url)

    def decode(self, answer: Response, shape: type[T], url: str) -> T:
        """Return what an answer holds.

        Raises:
            ClientError: it does not hold that.

        """
        try:
            return msgspec.json.decode(answer.body, type=shape)
        except msgspec.MsgspecError as error:
            raise ClientError(
                f"{url} did not answer as Penstock's API does ({error}): is it a Penstock server of this version?"
            ) from error


def segment(text: str) -> str:
    """Return a text as one segment of a path."""
    return quote(text, safe="")


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else 0.0


def _reason(error: Exception) -> str:
    """Return the innermost cause of a failed request, in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    cause: Any = error
    while isinstance(getattr(cause, "reason", None), Exception):
        cause = cause.reason
    inner = cause.__cause__ or cause.__context__
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror.lower()
    text = str(cause)
    return text.split(": ", 1)[-1] if text else type(cause).__name__
