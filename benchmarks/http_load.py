"""A small HTTP/1.1 client that keeps connections open and costs little, so that the server is what is measured.

It supports only the HTTP that Penstock's gateway sends: a Content-Length, no chunks.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import anyio

CONNECT_DEADLINE_S: Final = 5.0
REPLY_DEADLINE_S: Final = 60.0

OnReply = Callable[[int, bytes], None]
"""Takes the status and the body of a response."""


class BadReply(Exception):
    """The server sent something that this client does not support, or closed the connection."""


def build_request(method: str, path: str, body: object = None) -> bytes:
    """Return the bytes of a request with `body` as JSON."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if content:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    elif method == "POST":
        head += "Content-Length: 0\r\n"
    return head.encode() + b"\r\n" + content


class _Connection(asyncio.Protocol):
    """One connection: `send` a request, and `on_reply` is called with its answer."""

    def __init__(self, on_reply: OnReply, on_lost: Callable[[], None]) -> None:
        self._on_reply = on_reply
        self._on_lost = on_lost
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # what a TCP connection has, with any event loop

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self._received.lower().find(b"content-length:", 0, end)
        length = 0 if at < 0 else int(self._received[at + 15 : self._received.find(b"\r\n", at)])
        if len(self._received) < end + 4 + length:
            return
        status, body = int(self._received[9:12]), self._received[end + 4 : end + 4 + length]
        self._received = b""
        self._on_reply(status, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()

    def send(self, request: bytes) -> None:
        assert self._transport is not None
        self._transport.write(request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Client:
    """One connection, one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._replies: deque[tuple[int, bytes] | None] = deque()
        self._wake = anyio.Event()
        self._connection: _Connection | None = None

    async def __aenter__(self) -> "Client":
        self._connection = await _connect(self._port, self._replied, lambda: self._replied_with(None))
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._connection is not None:
            self._connection.close()

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and return the status and the body of its answer.

        Raises:
            BadReply: the server hung up.
            TimeoutError: it did not answer.

        """
        assert self._connection is not None
        self._connection.send(request)
        with anyio.fail_after(REPLY_DEADLINE_S):
            while not self._replies:
                self._wake = anyio.Event()
                await self._wake.wait()
        reply = self._replies.popleft()
        if reply is None:
            raise BadReply("the server hung up")
        return reply

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """Send a request and return the JSON of its answer.

        Raises:
            BadReply: the status is not one of success.

        """
        status, answer = await self.try_call(method, path, body)
        if status >= 300:
            raise BadReply(f"{method} {path}: {status} {answer}")
        return answer

    async def try_call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send a request and return the status and the JSON of its response, for any status."""
        status, raw = await self.send(build_request(method, path, body))
        return status, json.loads(raw or b"null")

    def _replied(self, status: int, body: bytes) -> None:
        self._replied_with((status, body))

    def _replied_with(self, reply: tuple[int, bytes] | None) -> None:
        self._replies.append(reply)
        self._wake.set()


class Sent:
    """What came of a load."""

    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        self.bodies: list[bytes] = []
        self.seconds = 0.0


async def drive(
    port: int, requests: Iterator[bytes], *, connections: int, expected: int = 201, keep: bool = False
) -> Sent:
    """Send all `requests` over `connections`, each with one request under way, as fast as they are answered.

    Raises:
        BadReply: an answer has another status than `expected`, or a connection was lost.

    """
    sent, done, failures, open_connections = Sent(), anyio.Event(), list[str](), list[_Connection]()
    running = connections

    def lane() -> tuple[OnReply, Callable[[], None], Callable[[], None]]:
        started = 0.0
        index = len(open_connections)

        def send_next() -> None:
            nonlocal started, running
            request = next(requests, None)
            if request is None or failures:
                running -= 1
                if running == 0:
                    done.set()
                return
            started = time.perf_counter()
            open_connections[index].send(request)

        def on_reply(status: int, body: bytes) -> None:
            sent.latencies_s.append(time.perf_counter() - started)
            if status != expected:
                failures.append(f"status {status}: {body[:300]!r}")
            if keep:
                sent.bodies.append(body)
            send_next()

        def on_lost() -> None:
            if not done.is_set():
                failures.append("the server hung up")
                done.set()

        return on_reply, on_lost, send_next

    starts: list[Callable[[], None]] = []
    for _ in range(connections):
        on_reply, on_lost, send_next = lane()
        open_connections.append(await _connect(port, on_reply, on_lost))
        starts.append(send_next)
    begin = time.perf_counter()
    for start in starts:
        start()
    await done.wait()
    sent.seconds = time.perf_counter() - begin
    for connection in open_connections:
        connection.close()
    if failures:
        raise BadReply(f"{len(failures)} failures; the first: {failures[0]}")
    return sent


async def _connect(port: int, on_reply: OnReply, on_lost: Callable[[], None]) -> _Connection:
    with anyio.fail_after(CONNECT_DEADLINE_S):
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(on_reply, on_lost), "127.0.0.1", port
        )
    return connection
