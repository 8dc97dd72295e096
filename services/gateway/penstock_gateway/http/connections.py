"""Connections within bounds: how many there may be, and how long each may take for a step.

uvicorn bounds the time between two requests. This protocol also bounds what comes before a request is known, what is
left of a body that nobody reads, and how long a client may leave an answer unread.
"""

import asyncio
import resource
import socket
from collections import Counter
from typing import Any, ClassVar, Final, Protocol, cast

import structlog
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from penstock_gateway.http.joined_writes import JoinedWrites
from penstock_gateway.http.requests import UPLOAD_STATE

HEAD_S: Final = 20.0
"""A request's line and headers come within this, from the first byte or, on a new connection, from its start."""
MAX_HEAD_BYTES: Final = 64 << 10
"""Of a request's line and headers."""
MAX_FRAMING_BYTES: Final = 64 << 10
"""Of what a chunked body has without a byte of content between: chunk extensions, and trailers after the last chunk."""
LINGER_S: Final = 5.0
MAX_LINGER_BYTES: Final = 16 << 20
"""What is left of a body after its response is skipped within these bounds, so that the client reads the response."""
REFUSED_LINGER_S: Final = 1.0
MAX_LINGERING: Final = 64
"""Refused connections that stay open for a moment, so that the client reads why."""
UNREAD_S: Final = 120.0
"""A client that takes nothing of its answer for so long is gone."""
KEEPALIVE_IDLE_S: Final = 60
KEEPALIVE_INTERVAL_S: Final = 15
KEEPALIVE_PROBES: Final = 4
"""The kernel probes a silent client, and ends the connection after so many probes without an answer."""
SEEN_EVERY_S: Final = 60.0
"""Refused connections are logged once in so long."""

_LOOPBACK: Final = ("127.", "::1", "::ffff:127.")

log = structlog.get_logger()


class ConnectionLimits(Struct, frozen=True, kw_only=True):
    """How many connections there may be at the same time."""

    maximum: int
    maximum_per_address: int
    """From one address that is neither this machine nor a trusted proxy; 0: as many as there may be."""
    trusted_proxies: frozenset[str] = frozenset()


class Evictable(Protocol):
    """A connection that can be ended to make room."""

    def evict(self) -> None:
        """End it at once, and count it out."""
        ...


class OpenConnections:
    """Counts the connections of one server."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._by_address: Counter[str] = Counter()
        self._idle: dict[Evictable, None] = {}
        """In the order in which they became idle."""
        self._total = 0
        self._refused = 0
        self._lingering = 0
        self._logged_at = float("-inf")

    def admit(self, address: str, *, now: float) -> str | None:
        """Count a new connection, or return why it is refused; a refused one must not be counted out.

        Where there is no room, the connection that has waited longest for a request is ended.
        """
        if self._total >= self._limits.maximum and self._idle:
            next(iter(self._idle)).evict()
        reason = self._refusal(address)
        if reason is None:
            self._total += 1
            self._by_address[address] += 1
            return None
        self._refused += 1
        if now - self._logged_at >= SEEN_EVERY_S:
            self._logged_at = now
            log.warning("connections_refused", reason=reason, address=address, count=self._refused)
            self._refused = 0
        return reason

    def note_idle(self, connection: Evictable) -> None:
        """Note that a connection waits for a request."""
        self._idle.pop(connection, None)
        self._idle[connection] = None

    def note_busy(self, connection: Evictable) -> None:
        """Note that a connection has a request, or is gone."""
        self._idle.pop(connection, None)

    def leave(self, address: str) -> None:
        """Count a connection out."""
        self._total -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def may_linger(self) -> bool:
        """Return whether a refused connection may stay until its client has read why; count it until `lingered`."""
        if self._lingering >= MAX_LINGERING:
            return False
        self._lingering += 1
        return True

    def lingered(self) -> None:
        """Count a refused connection out."""
        self._lingering -= 1

    def _refusal(self, address: str) -> str | None:
        limits = self._limits
        if self._total >= limits.maximum:
            return f"the server has {limits.maximum} connections open, which is its limit; try again later"
        is_bounded = limits.maximum_per_address and not (
            address.startswith(_LOOPBACK) or address in limits.trusted_proxies or not address
        )
        if is_bounded and self._by_address[address] >= limits.maximum_per_address:
            return f"{address} has {limits.maximum_per_address} connections open; close some, or reuse them"
        return None


class BoundedProtocol(HttpToolsProtocol):
    """HTTP over one connection. `open_connections` is set by `bounded_protocol`."""

    open_connections: ClassVar[OpenConnections]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or answer 503 and close it."""
        self._address: str | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._framing_bytes = 0
        self._pieces: list[bytes] = []
        self._is_in_head = True
        self._has_ended_message = False
        """Whether the data that came last ended a message."""
        self._is_answering = False
        self._is_refused = False
        self._lingered_bytes = 0
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        reason = self.open_connections.admit(address, now=self.loop.time())
        if reason is not None:
            self._refuse(503, "Service Unavailable", reason, retry_after_s=2)
            return
        self._address = address
        self.open_connections.note_idle(self)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection out."""
        self.open_connections.note_busy(self)
        if self._address is not None:
            self.open_connections.leave(self._address)
            self._address = None
        if self._is_refused and self._linger_timer is not None:
            self.open_connections.lingered()
        for timer in (self._head_timer, self._linger_timer, self._unread_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, as long as it is within the bounds."""
        if self._is_refused:
            return
        if self._linger_timer is not None:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > MAX_LINGER_BYTES:
                self.transport.close()
                return
        elif self._is_in_head and not self._is_answering and self._head_timer is None:
            self._await_head()
        self._has_ended_message = False
        self._framing_bytes += len(data)
        super().data_received(data)
        self._pass_on()
        if self._framing_bytes > MAX_FRAMING_BYTES and not self._is_in_head:
            self._give_up()
            return
        # What ends a message is body, and may be large: the little of a next head behind it is not counted.
        if self._is_in_head and not self._has_ended_message and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                detail = f"the request's line and headers have more than {MAX_HEAD_BYTES:,} bytes"
                self._refuse(431, "Request Header Fields Too Large", detail)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of the head. One that follows the body is not a header of the request, and is dropped."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Take content of a body; all that came at once is passed on as one piece, however small its chunks are."""
        self._framing_bytes = 0
        self._pieces.append(body)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._framing_bytes = 0
        self._is_in_head = False
        self._is_answering = True
        self.open_connections.note_busy(self)
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()
        self.cycle.transport = cast("asyncio.Transport", JoinedWrites(self.transport, self.loop))
        self.scope[UPLOAD_STATE] = self.cycle  # type: ignore[typeddict-unknown-key]

    def on_message_complete(self) -> None:
        """Expect the head of another request."""
        self._pass_on()
        super().on_message_complete()
        self._is_in_head = self._has_ended_message = True
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
            self._lingered_bytes = 0
            self._await_request()

    def on_response_complete(self) -> None:
        """Skip what is left of the request's body, within bounds."""
        self._is_answering = len(self.pipeline) > 0
        super().on_response_complete()
        if not self._is_in_head and not self._is_answering and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._linger_timer = self.loop.call_later(LINGER_S, self.transport.close)
        elif not self._is_answering and not self.transport.is_closing():
            self.open_connections.note_idle(self)

    def evict(self) -> None:
        """End the connection at once, and count it out."""
        self.open_connections.note_busy(self)
        if self._address is not None:
            self.open_connections.leave(self._address)
            self._address = None
        self.transport.abort()

    def pause_writing(self) -> None:
        """Wait for a client that does not read, but not for ever."""
        super().pause_writing()
        self._unread_timer = self.loop.call_later(UNREAD_S, self._give_up)

    def resume_writing(self) -> None:
        """Go on writing."""
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        super().resume_writing()

    def _pass_on(self) -> None:
        if self._pieces:
            body = b"".join(self._pieces)
            self._pieces.clear()
            super().on_body(body)

    def _await_request(self) -> None:
        """Expect another request for as long as between any two of them."""
        self.open_connections.note_idle(self)
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self._give_up)

    def _give_up(self) -> None:
        self.transport.abort()

    def _refuse(self, status: int, phrase: str, detail: str, *, retry_after_s: int | None = None) -> None:
        """Answer without any request, and close."""
        self._is_refused = True
        retry = "" if retry_after_s is None else f"retry-after: {retry_after_s}\r\n"
        body = f"{detail}\n".encode()
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
            f"content-length: {len(body)}\r\n{retry}connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        if self.open_connections.may_linger():
            # Closed at once, with something unread, the kernel would take the answer back.
            self._linger_timer = self.loop.call_later(REFUSED_LINGER_S, self.transport.close)
        else:
            self.transport.close()


def bounded_protocol(limits: ConnectionLimits) -> type[BoundedProtocol]:
    """Return the protocol of one server, whose connections are counted together."""
    members: dict[str, Any] = {"open_connections": OpenConnections(limits)}
    return type("BoundedProtocol", (BoundedProtocol,), members)


def enable_keepalive(listening: socket.socket) -> None:
    """Let the kernel end accepted connections whose client is gone."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
    ):
        option = getattr(socket, name, None)  # not every system has each of them
        if option is not None:
            listening.setsockopt(socket.IPPROTO_TCP, option, value)


def room_for(wanted: int) -> int:
    """Return how many connections there may be of those wanted: the process needs open files for other things, too."""
    file_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if file_limit == resource.RLIM_INFINITY else max(1, min(wanted, file_limit * 3 // 4))
