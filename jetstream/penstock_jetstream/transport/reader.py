"""A reader that follows a stream without loss or duplicate, through any outage, in bounded memory.

It pulls through an ephemeral consumer in the server's memory that requests no acknowledgements. A request for more is
open at all times, so a message arrives as soon as it is stored. Whenever anything is odd (a gap in the consumer's
numbers, silence, a new connection, a lost consumer) the reader makes a new consumer after the last message it has.
"""

import itertools
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from typing import Final

import anyio
import msgspec
import structlog
from msgspec import Struct
from nats.aio.subscription import Subscription

from penstock_jetstream import names
from penstock_jetstream.transport.client import Incoming, description_of, header_of, status_of
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.responses import NoAnswer, Refusal
from penstock_ports import MAX_READ_EVENTS, Unavailable

_log: structlog.stdlib.BoundLogger = structlog.get_logger()

_NS: Final = 1_000_000_000
_CLOSE_S: Final = 1.0
_NEXT: Final = msgspec.json.encode(
    {
        "batch": names.READ_REQUEST_MESSAGES,
        "max_bytes": names.READ_REQUEST_BYTES,
        "expires": int(names.READ_REQUEST_EXPIRES_S * _NS),
        "idle_heartbeat": int(names.READ_HEARTBEAT_S * _NS),
    }
)
_ACK_TOKENS_V1: Final = 9
"""`$JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer sequence>.<time>.<pending>`; the second form has
two tokens more after `$JS.ACK`."""


class Received(Struct, frozen=True, gc=False):
    """A message as the reader got it."""

    seq: int
    subject: str
    payload: bytes
    headers: bytes = b""


class _Placement(Struct, frozen=True):
    leader: str = ""


class _Created(Struct, frozen=True):
    """The server's answer to the creation of a consumer."""

    num_pending: int = 0
    cluster: _Placement | None = None


class StreamReader:
    """Reads the messages of `stream` on `subject` above `after`."""

    def __init__(self, connection: Connection, stream: str, subject: str, *, after: int) -> None:
        self._connection = connection
        self._stream = stream
        self._subject = subject
        self._buffer: deque[Received] = deque()
        self._received = after
        """The last sequence that is in the buffer, or was."""
        self._session: Session | None = None

    async def batches(self) -> AsyncGenerator[list[Received], None]:
        """Yield what is at hand, 1 to 5,000 messages, for ever.

        An empty list follows when nothing arrived for `names.READ_IDLE_WAITS` seconds; the next one follows a message.
        """
        quiet_waits = 0
        try:
            while True:
                session = await self._ensure_session()
                try:
                    await session.refill()
                except NoAnswer as error:
                    session.broken = str(error)
                if self._buffer:
                    count = min(len(self._buffer), MAX_READ_EVENTS)
                    quiet_waits = 0
                    yield [self._buffer.popleft() for _ in range(count)]
                    continue
                await session.wait()
                quiet_waits += not self._buffer and session.broken is None
                if quiet_waits == names.READ_IDLE_WAITS:
                    quiet_waits += 1
                    yield []
        finally:
            await self._end_session()

    async def _ensure_session(self) -> "Session":
        waits = itertools.chain(names.RETRY_WAIT_S, itertools.repeat(names.RETRY_WAIT_S[-1]))
        while self._session is None or self._session.broken is not None:
            if self._session is not None:
                _log.info("reader_restarts", stream=self._stream, after=self._received, reason=self._session.broken)
            await self._end_session()
            await self._connection.wait_connected()
            session = Session(self._connection, self._stream, self._subject, self._take, after=self._received)
            try:
                await session.start()
            except (Unavailable, Refusal) as error:
                _log.info("reader_waits", stream=self._stream, after=self._received, reason=str(error))
                await session.end()
                await anyio.sleep(next(waits))
            else:
                self._session = session
        return self._session

    async def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.end()

    def _take(self, message: Received) -> None:
        # A consumer on a replica that lags begins where that replica ends.
        if message.seq > self._received:
            self._received = message.seq
            self._buffer.append(message)


class Session:
    """One consumer, from its making to the first oddity."""

    def __init__(
        self, connection: Connection, stream: str, subject: str, take: Callable[[Received], None], *, after: int
    ) -> None:
        self.broken: str | None = None
        """Why it is of no more use."""
        self.server = ""
        """The server whose copy of the stream the consumer reads; empty on a single server."""
        self.pending = 0
        """Messages that this copy had behind the last one when it was sent."""
        self._connection = connection
        self._stream = stream
        self._subject = subject
        self._take = take
        self._after = after
        self._inbox = connection.new_inbox()
        self._name = "reader-" + self._inbox.rpartition(".")[2]
        self._subscription: Subscription | None = None
        self._watching: AbstractContextManager[None] | None = None
        self._is_made = False
        self._delivered = 0
        """The consumer's number of the last message."""
        self._requested = 0
        """Messages requested that did not come yet."""
        self._arrived = anyio.Event()
        self._has_received = False
        self._quiet_waits = 0

    async def start(self) -> None:
        """Make the consumer.

        Raises:
            Unavailable, Refusal: it could not be made.

        """
        self._watching = self._connection.watching(lambda: self._break("there is a new connection"))
        self._watching.__enter__()
        self._subscription = await self._connection.subscribe(self._inbox, self._receive)
        config = {
            "name": self._name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._after + 1,
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subject": self._subject,
            "max_deliver": -1,
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(names.CONSUMER_IDLE_S * _NS),
        }
        body = {"stream_name": self._stream, "config": config, "action": "create"}
        answer = await self._connection.api(f"{names.CONSUMER_CREATE}{self._stream}.{self._name}.{self._subject}", body)
        self._is_made = True
        created = msgspec.json.decode(answer, type=_Created)
        self.pending = created.num_pending
        self.server = "" if created.cluster is None else created.cluster.leader

    async def refill(self) -> None:
        """Request more messages when few requested ones are outstanding.

        Raises:
            NoAnswer: there is no server.

        """
        if self.broken is None and self._requested <= names.READ_REQUEST_MESSAGES // 2:
            subject = f"{names.CONSUMER_NEXT}{self._stream}.{self._name}"
            await self._connection.send(subject, _NEXT, reply=self._inbox)
            self._requested += names.READ_REQUEST_MESSAGES

    async def wait(self) -> None:
        """Wait until something arrives or is odd."""
        if self.broken is not None:
            return
        self._arrived = anyio.Event()
        self._has_received = False
        with anyio.move_on_after(names.READ_HEARTBEAT_S):
            await self._arrived.wait()
        # Whole waits are counted, not time: a busy event loop is no reason to distrust the server.
        self._quiet_waits = 0 if self._has_received else self._quiet_waits + 1
        if self._quiet_waits * names.READ_HEARTBEAT_S >= names.READ_SILENCE_S:
            self._break("the server fell silent")

    async def end(self) -> None:
        """Forget the consumer."""
        if self._watching is not None:
            self._watching.__exit__(None, None, None)
        if self._subscription is not None:
            await self._connection.unsubscribe(self._subscription)
        if self._is_made:
            with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_S):
                try:
                    await self._connection.publish(f"{names.CONSUMER_DELETE}{self._stream}.{self._name}", b"")
                except NoAnswer:
                    return  # the server forgets it by itself

    def _receive(self, message: Incoming) -> None:
        self._has_received = True
        if self.broken is not None:
            return
        if message.data or message.reply.startswith("$JS.ACK."):
            self._receive_message(message)
        else:
            self._receive_status(message)

    def _receive_message(self, message: Incoming) -> None:
        tokens = message.reply.split(".")
        first = 5 if len(tokens) == _ACK_TOKENS_V1 else 7
        seq, number = int(tokens[first]), int(tokens[first + 1])
        if number != self._delivered + 1:
            self._break(f"message {number} follows {self._delivered}")
            return
        self._delivered = number
        self._requested -= 1
        self.pending = int(tokens[first + 3])
        self._take(Received(seq, message.subject, message.data, message.header_lines))
        self._arrived.set()

    def _receive_status(self, message: Incoming) -> None:
        status = status_of(message)
        if status == names.STATUS_HEARTBEAT:
            delivered = header_of(message, names.LAST_CONSUMER)
            if delivered is not None and int(delivered) > self._delivered:
                self._break(f"message {delivered} was delivered, {self._delivered} arrived")
            return
        unserved = header_of(message, names.PENDING_MESSAGES)
        if unserved is not None:  # a request ended: it was too old, or had all the bytes it requested
            self._requested -= int(unserved)
            self._arrived.set()
        else:
            self._break(f"status {status}: {description_of(message)}")

    def _break(self, reason: str) -> None:
        self.broken = self.broken or reason
        self._arrived.set()
