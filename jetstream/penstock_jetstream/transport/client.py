"""The library's client with a cheaper way for messages that arrive and leave.

A replay of the log receives millions of messages. For each of them the library matches up to two regular expressions,
parses the headers, builds an object with back references, and hands that to a task through a queue. This client splits
the line, keeps the header lines as they arrived, and calls the receiver at once. It sends a batch as one buffer.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError, ProtocolError
from nats.protocol.parser import Parser

_CRLF: Final = b"\r\n"
_HEADERS_BEGIN: Final = b"NATS/1.0"
_MAX_LINE_BYTES: Final = 1 << 20
"""A control line that is longer is not NATS's; the list of a cluster's servers is the longest one."""


class Incoming(Struct, frozen=True, gc=False):
    """A message that arrived."""

    subject: str
    reply: str
    data: bytes
    header_lines: bytes = b""
    """As they arrived, the status line included; empty without headers."""


Receive = Callable[[Incoming], None]


class ReceivingClient(Client):
    """The library's client; `receive` is the only way to subscribe that the fast path serves."""

    def __init__(self) -> None:
        super().__init__()
        self._receivers: dict[int, Receive] = {}
        self._errors: list[Exception] = []
        self._ps = _MessageParser(self)

    @property
    def is_clustered(self) -> bool:
        """Return whether the server is part of a cluster."""
        return bool(self._server_info.get("cluster"))

    async def receive(self, subject: str, receive: Receive, *, queue: str = "") -> Subscription:
        """Subscribe: call `receive` for each message as soon as it is parsed. It must not block."""
        sid = self._sid + 1  # the library takes it before its first await
        self._receivers[sid] = receive
        try:
            return await self.subscribe(  # pyright: ignore[reportUnknownMemberType]  # a future of unknown content
                subject, queue=queue, cb=_unexpected, pending_msgs_limit=0, pending_bytes_limit=0
            )
        except BaseException:
            self._receivers.pop(sid, None)
            raise

    async def write(self, commands: bytes) -> None:
        """Send commands that are encoded already.

        Raises:
            nats.errors.Error: the connection is closed.

        """
        if self.is_closed:
            raise ConnectionClosedError
        await self._send_command(commands)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    def abort(self) -> None:
        """Close the socket in the next turn of the event loop, and drop what was not sent.

        Closing the library's client waits until the server took everything, and leaves the socket open when that wait
        ends early.
        """
        writer: asyncio.StreamWriter | None = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    def forget(self, subscription: Subscription) -> None:
        """Dispatch no more messages of a subscription; one of an earlier client is not known here."""
        sid = subscription._id  # pyright: ignore[reportPrivateUsage]
        if self._subs.get(sid) is subscription:
            self._receivers.pop(sid, None)

    def dispatch(self, sid: int, message: Incoming) -> None:
        """Hand a message to its receiver."""
        receive = self._receivers.get(sid)
        if receive is None:
            return
        try:
            receive(message)
        except Exception as error:  # noqa: BLE001  # the boundary of one message: the connection goes on
            self._errors.append(error)

    async def report_errors(self) -> None:
        """Report what receivers raised."""
        while self._errors:
            await self._error_cb(self._errors.pop(0))


class _MessageParser(Parser):
    """The library's parser with a short way for messages; it parses everything else as before."""

    def __init__(self, client: ReceivingClient) -> None:
        super().__init__(client)  # pyright: ignore[reportUnknownMemberType]
        self._client = client

    async def parse(self, data: bytes = b"") -> None:
        """Parse what arrived, and dispatch the messages that are complete."""
        self.buf.extend(data)
        if len(self.buf) < self.needed:
            return  # a large message arrives in many chunks, which are not worth a look each
        received = bytes(self.buf)
        start, self.needed = 0, 0
        while (end := received.find(_CRLF, start)) >= 0:
            line = received[start:end]
            operation = line[:4].upper()
            if operation == b"HMSG" or operation == b"MSG ":
                start = self._parse_message(line, received, start, end + 2)
                if self.needed:
                    break
            else:
                self.buf = bytearray(received[start : end + 2])
                await super().parse()
                start = end + 2
        self.buf = bytearray(received[start:])
        await self._client.report_errors()
        if not self.needed and len(self.buf) > _MAX_LINE_BYTES:
            raise ProtocolError

    def _parse_message(self, line: bytes, received: bytes, start: int, begin: int) -> int:
        """Dispatch the message whose line starts at `start` and whose content begins at `begin`; return what follows.

        When it is not complete, `needed` is the size that the buffer must have.
        """
        words = line.split()
        has_headers = len(words[0]) == len(b"HMSG")
        try:
            sid, size = int(words[2]), int(words[-1])
            header_size = int(words[-2]) if has_headers else 0
            reply = words[3] if len(words) == 5 + has_headers else b""
        except (ValueError, IndexError):
            raise ProtocolError from None
        end = begin + size
        if end + 2 > len(received):
            self.needed = end + 2 - start
            return start
        message = Incoming(
            words[1].decode(),
            reply.decode(),
            received[begin + header_size : end],
            received[begin : begin + header_size],
        )
        self._client.dispatch(sid, message)
        return end + 2


def status_of(message: Incoming) -> str | None:
    """Return the status in a message's headers: what the server sends in place of content."""
    return _status_line(message)[0] or None


def description_of(message: Incoming) -> str:
    """Return the text beside the status."""
    return _status_line(message)[1]


def header_of(message: Incoming, name: str) -> str | None:
    """Return one header."""
    lines = message.header_lines
    start = lines.find(b"\r\n" + name.encode() + b":")
    if start < 0:
        return None
    begin = start + len(name) + 3
    return lines[begin : lines.find(_CRLF, begin)].decode("utf-8", "replace").strip()


def _status_line(message: Incoming) -> tuple[str, str]:
    line = message.header_lines.partition(_CRLF)[0].removeprefix(_HEADERS_BEGIN)
    status, _, description = line.decode("utf-8", "replace").strip().partition(" ")
    return status, description


async def _unexpected(message: Msg) -> None:
    """Do nothing. The library requires this callback; messages go to the receivers instead."""
    raise AssertionError(f"a message on {message.subject} took the library's way")
