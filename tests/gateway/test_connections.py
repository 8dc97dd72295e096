"""Connections over real sockets: how many there may be, and how long each may take."""

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any

import anyio
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from litestar.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from penstock_gateway.http import connections
from penstock_gateway.http.connections import MAX_FRAMING_BYTES, MAX_HEAD_BYTES, ConnectionLimits, OpenConnections
from penstock_gateway.http.server import listen, make_server

LIMITS = ConnectionLimits(maximum=20, maximum_per_address=5)
GET = b"GET /%s HTTP/1.1\r\nhost: localhost\r\n\r\n"
DEADLINE_S = 20.0


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once, after the body (/read, /late, /headers), when released (/wait), or with much (/large)."""
    path, body = scope["path"], b"ok"
    if path == "/late":
        await anyio.sleep(0.1)  # meanwhile the rest of the body waits, to be read in one piece
    if path in ("/read", "/late", "/headers"):
        more, size = True, 0
        while more:
            message: Any = await receive()
            more, size = message.get("more_body", False), size + len(message.get("body", b""))
        body = b",".join(name for name, _ in scope["headers"]) if path == "/headers" else str(size).encode()
    elif path == "/wait":
        await anyio.sleep(1.0)
    elif path == "/large":
        body = bytes(64 << 20)
    status: Any = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
    await send(status)
    await send({"type": "http.response.body", "body": body, "more_body": False})


@contextmanager
def serving(limits: ConnectionLimits = LIMITS) -> Generator[tuple[str, int], None, None]:
    """Serve in a thread with its own event loop, like a separate process."""
    with listen("127.0.0.1", 0) as listening:
        server = make_server(app, graceful_s=1, limits=limits)
        thread = threading.Thread(target=lambda: uvloop.run(server.serve([listening])))
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            server.should_exit = True
            thread.join(DEADLINE_S)
            assert not thread.is_alive()


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[str, int], None, None]:
    for name in ("HEAD_S", "LINGER_S", "UNREAD_S", "REFUSED_LINGER_S"):
        monkeypatch.setattr(connections, name, 0.2)
    with serving() as address:
        yield address


def connect(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=DEADLINE_S)


def all_of(connection: socket.socket) -> bytes:
    """Return what comes until the server closes."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


def answer_of(connection: socket.socket) -> bytes:
    """Return one answer with the body `ok`."""
    received = b""
    while not received.endswith(b"ok"):
        piece = connection.recv(65536)
        assert piece, f"closed after {received!r}"
        received += piece
    return received


@pytest.mark.slow
def test_requests_on_one_connection_are_answered(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        for _ in range(3):
            connection.sendall(GET % b"")
            assert answer_of(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(GET % b"" + GET % b"wait" + GET % b"")
        received = b""
        while received.count(b"ok") < 3:
            received += connection.recv(65536)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nhost: loc"])
def test_a_head_that_does_not_come_ends_the_connection(address: tuple[str, int], sent: bytes) -> None:
    with connect(address) as connection:
        connection.sendall(sent)
        assert all_of(connection) == b""


def test_a_head_that_does_not_come_after_an_answer_ends_the_connection(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(GET % b"")
        answer_of(connection)
        connection.sendall(b"GET / HTTP/1.1\r\n")
        assert all_of(connection) == b""


@pytest.mark.slow
def test_a_request_that_takes_longer_than_a_head_may_is_answered(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(GET % b"wait" + b"GET / HTTP/1.1\r\n")  # and the next one begins meanwhile
        assert answer_of(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(b"host: localhost\r\n\r\n")
        assert answer_of(connection).startswith(b"HTTP/1.1 200")


def test_a_body_may_take_longer_than_a_head(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(b"POST /read HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n")
        for _ in range(10):
            threading.Event().wait(0.05)  # slower than HEAD_S altogether
            connection.sendall(b".")
        received = b""
        while b"\r\n\r\n10" not in received:
            received += connection.recv(65536)


@pytest.mark.parametrize("head", [b"GET /%s HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nx: %s", b"GET / HTTP/1.1\r\n%s: x"])
def test_a_head_has_a_bound(address: tuple[str, int], head: bytes) -> None:
    with connect(address) as connection:
        connection.sendall(head % (b"a" * (MAX_HEAD_BYTES + 1)))
        assert all_of(connection).startswith(b"HTTP/1.1 431")


def test_the_bound_of_a_head_does_not_count_bodies(address: tuple[str, int]) -> None:
    """Pieces of a body are larger than a head may be, the last one too; the next request is answered as well."""
    size = 64 * MAX_HEAD_BYTES  # the kernel's window grows with it, and so do the pieces that are read
    with connect(address) as connection:
        for _ in range(5):
            head = b"POST /late HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % size
            connection.sendall(head + bytes(size))
            received = b""
            while not received.endswith(b"\r\n\r\n%d" % size):
                piece = connection.recv(65536)
                assert piece, f"closed after {received!r}"
                assert not received.startswith(b"HTTP/1.1 431")
                received += piece


CHUNKED = b"POST /read HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n"


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"0\r\n", b"a: b\r\n" * 1000),
        (b"0\r\na: ", b"b" * 5000),
        (b"0\r\n", b"b" * 5000),
        (b"1;", b"b" * 5000),
        (b"", b"1;" + b"a" * 5000),
    ],
    ids=["trailers", "trailer", "name", "extension", "extensions"],
)
def test_what_is_no_content_of_a_body_has_a_bound(address: tuple[str, int], begin: bytes, more: bytes) -> None:
    with connect(address) as connection:
        connection.sendall(CHUNKED + begin)
        with suppress(OSError):  # reset, or a broken pipe
            while True:
                connection.sendall(more)
        assert all_of(connection) == b""


def test_trailers_are_read_and_dropped(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(CHUNKED.replace(b"/read", b"/headers") + b"0\r\nauthorization: x\r\n\r\n" + GET % b"")
        received = answer_of(connection)
        assert b"\r\n\r\nhost,transfer-encodingHTTP/1.1 200" in received


def test_a_body_of_very_small_chunks_is_taken(address: tuple[str, int]) -> None:
    count = 4 * MAX_FRAMING_BYTES
    with connect(address) as connection:
        connection.sendall(CHUNKED + b"1\r\n.\r\n" * count + b"0\r\n\r\n")
        received = b""
        while not received.endswith(b"\r\n\r\n%d" % (count + 2)):
            piece = connection.recv(65536)
            assert piece, f"closed after {received!r}"
            received += piece


def test_small_chunks_are_passed_on_together(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece that is passed on is appended to a copy of those before it."""
    sizes: list[int] = []
    pass_on = HttpToolsProtocol.on_body

    def noted(protocol: HttpToolsProtocol, body: bytes) -> None:
        sizes.append(len(body))
        pass_on(protocol, body)

    monkeypatch.setattr(HttpToolsProtocol, "on_body", noted)
    count = 100_000
    with connect(address) as connection:
        connection.sendall(CHUNKED + b"1\r\n.\r\n" * count + b"0\r\n\r\n" + GET % b"")
        answer_of(connection)
    assert sum(sizes) == count + 2
    assert len(sizes) < count / 10


def test_the_rest_of_a_body_is_not_read_for_ever(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        assert answer_of(connection).startswith(b"HTTP/1.1 200")
        with suppress(OSError):  # reset, or a broken pipe
            while True:
                connection.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
        assert all_of(connection) == b""


def test_a_body_that_ends_after_its_answer_leaves_the_connection(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n12345")
        answer_of(connection)
        connection.sendall(b"67890" + GET % b"")
        assert answer_of(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.slow
def test_an_answer_that_nobody_reads_ends_the_connection(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(GET % b"large")
        with connect(address) as other:  # waits for the server's loop until the other one was given up
            other.sendall(GET % b"wait")
            answer_of(other)
        assert len(all_of(connection)) < 64 << 20


def test_more_requests_than_there_may_be_connections_are_refused_with_the_reason(address: tuple[str, int]) -> None:
    held = [connect(address) for _ in range(LIMITS.maximum)]
    for item in held:
        item.sendall(b"POST /read HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
        assert item.recv(100).startswith(b"HTTP/1.1 100")  # it is being answered
    with connect(address) as refused:
        received = all_of(refused)
    assert received.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 2" in received
    assert b"20 connections open" in received
    for item in held:
        item.sendall(b"ok")
        assert item.recv(100).startswith(b"HTTP/1.1 200"), "those that were there are served"
        item.close()


def test_an_idle_connection_makes_room_for_another() -> None:
    with ExitStack() as stack:
        address = stack.enter_context(serving())
        held = [stack.enter_context(connect(address)) for _ in range(LIMITS.maximum)]
        other = stack.enter_context(connect(address))
        other.sendall(GET % b"")
        assert answer_of(other).startswith(b"HTTP/1.1 200")
        assert all_of(held[0]) == b"", "the one that waited longest is closed"
        for item in held[1:]:
            item.sendall(GET % b"")
            assert answer_of(item).startswith(b"HTTP/1.1 200")


@pytest.mark.slow
async def test_many_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 1.0)
    limits = ConnectionLimits(maximum=100, maximum_per_address=0)
    with serving(limits) as address:
        async with _many(address, 600) as readers:
            with anyio.fail_after(DEADLINE_S):
                for reader in readers:
                    await _ended(reader)
        with connect(address) as connection:
            connection.sendall(GET % b"")
            assert answer_of(connection).startswith(b"HTTP/1.1 200")


@asynccontextmanager
async def _many(address: tuple[str, int], count: int) -> AsyncGenerator[list[asyncio.StreamReader], None]:
    opened = [await asyncio.open_connection(*address) for _ in range(count)]
    try:
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.close()


async def _ended(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionResetError):
        await reader.read()


@given(st.lists(st.tuples(st.sampled_from(["127.0.0.1", "::1", "10.0.0.1", "10.0.0.2", "192.0.2.1"]), st.booleans())))
def test_what_is_counted_in_is_counted_out(steps: list[tuple[str, bool]]) -> None:
    limits = ConnectionLimits(maximum=6, maximum_per_address=2, trusted_proxies=frozenset({"192.0.2.1"}))
    counted, open_now = OpenConnections(limits), list[str]()
    for address, comes in steps:
        if comes:
            is_bounded = address.startswith("10.")
            is_full = len(open_now) >= 6 or (is_bounded and open_now.count(address) >= 2)
            refusal = counted.admit(address, now=0.0)
            assert (refusal is not None) == is_full
            if refusal is None:
                open_now.append(address)
        elif address in open_now:
            open_now.remove(address)
            counted.leave(address)
