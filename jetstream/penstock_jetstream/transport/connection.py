"""One connection to NATS that outlives every server: requests with deadlines, and word of every new beginning."""

import itertools
import random
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import anyio
import anyio.lowlevel
import msgspec
import nats.errors
import structlog
from nats.aio.client import Server
from nats.aio.subscription import Subscription
from nats.nuid import NUID

from penstock_jetstream import names
from penstock_jetstream.settings import NatsSettings, check_address
from penstock_jetstream.transport.client import Incoming, Receive, ReceivingClient, status_of
from penstock_jetstream.transport.credentials import check_credentials
from penstock_jetstream.transport.protocol import publication
from penstock_jetstream.transport.responses import JetStreamResponse, NoAnswer, Refusal, accepted
from penstock_jetstream.transport.retry import Retry
from penstock_ports import TooLarge, Unavailable
from penstock_runtime.notify import Notifier

_log: structlog.stdlib.BoundLogger = structlog.get_logger()

_CLOSE_S: Final = 2.0
_NOT_LET_IN: Final = "authorization"


class Connection:
    """The adapters' connection to NATS. Run `run()` beside it: it opens the connection again when it closed."""

    def __init__(self, settings: NatsSettings) -> None:
        self._settings = settings
        self._client = ReceivingClient()
        self._is_open = False
        """The client can be used: its answers are subscribed to."""
        self._inbox = "_INBOX." + NUID().next().decode()
        self._tokens = itertools.count()
        self._answers: dict[str, JetStreamResponse] = {}
        self._changed = Notifier()
        self._watchers: set[Callable[[], None]] = set()
        self._closed = anyio.Event()
        self._is_closing = False
        self._last_error = ""
        self._generation = 0

    @property
    def generation(self) -> int:
        """Counts the times that a server was reached: what lived in the server's memory may be gone with the last."""
        return self._generation

    @property
    def is_connected(self) -> bool:
        """Return whether there is a server at the moment."""
        return self._is_open and self._client.is_connected

    @property
    def server_version(self) -> str:
        """The version of the server that it is, or was last, connected to."""
        version = self._client.connected_server_version
        return f"{version.major}.{version.minor}.{version.patch}"

    @property
    def is_clustered(self) -> bool:
        """Return whether the server that it is, or was last, connected to is part of a cluster."""
        return self._client.is_clustered

    @contextmanager
    def watching(self, notify: Callable[[], None]) -> Generator[None, None, None]:
        """Call `notify` at each new generation."""
        self._watchers.add(notify)
        try:
            yield
        finally:
            self._watchers.discard(notify)

    async def wait_connected(self) -> None:
        """Wait until there is a server."""
        while not self.is_connected:
            await self._changed.wait()

    async def wait_generation(self, *, after: int) -> int:
        """Wait until a server was reached since the generation `after`; return the present one."""
        while self._generation <= after:
            await self._changed.wait()
        return self._generation

    async def open(self) -> None:
        """Connect.

        Raises:
            Unavailable: no server could be reached in time.
            BadAddress, BadCredentials: it cannot be reached like this at all.

        """
        check_address(self._settings)
        if self._settings.credentials is not None:
            check_credentials(self._settings.credentials)
        reach_s = self._settings.connect_s if self._settings.reach_s is None else self._settings.reach_s
        try:
            with anyio.fail_after(reach_s):
                await self._open()
        except TimeoutError:
            await self.close()
            raise Unavailable(
                f"no connection to NATS at {self._settings.shown_url} within {reach_s:g} s: "
                f"{self._last_error or 'no answer'}"
            ) from None

    async def run(self) -> None:
        """Open the connection again whenever the library gave it up. Ends by cancellation."""
        while True:
            await self._closed.wait()
            _log.warning("nats_closed", url=self._settings.shown_url, error=self._last_error)
            await self._open()

    async def close(self) -> None:
        """Leave: send what is left within a bounded time, and close the socket in any case."""
        self._is_closing = True
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(_CLOSE_S):
                await self._client.close()
            self._client.abort()
            await anyio.lowlevel.checkpoint()  # the event loop closes the socket in its next turn

    async def publish(self, subject: str, payload: bytes, *, headers: dict[str, str] | None = None) -> None:
        """Send a message that nobody answers; it is lost when there is no server.

        Raises:
            NoAnswer: there is no server.
            TooLarge: the server would not take it.

        """
        await self._publish(subject, payload, headers=headers)

    async def request(
        self,
        subject: str,
        payload: bytes,
        *,
        headers: dict[str, str] | None = None,
        deadline_s: float = names.ATTEMPT_S,
    ) -> Incoming:
        """Send one request, once, when there is a server; return the answer.

        Raises:
            NoAnswer: the deadline passed, the connection was lost, or nobody listens.

        """
        async with self.answers() as answer:
            try:
                with anyio.fail_after(deadline_s):
                    await self.wait_connected()
                    await self._publish(subject, payload, reply=answer.subject, headers=headers)
                    message = await answer.next()
            except TimeoutError:
                raise NoAnswer(f"no answer on {subject} within {deadline_s:.1f} s") from None
        if not message.data and status_of(message) == names.STATUS_NO_RESPONDERS:
            raise NoAnswer(f"nobody listens on {subject}")
        return message

    async def api(self, subject: str, body: object = None, *, deadline_s: float = names.ATTEMPT_S) -> bytes:
        """Send one request to the JetStream API and return its answer.

        Raises:
            NoAnswer: as for `request`.
            Refusal: it answered with an error.

        """
        payload = b"" if body is None else msgspec.json.encode(body)
        return accepted((await self.request(subject, payload, deadline_s=deadline_s)).data)

    async def query(self, subject: str, body: object = None, *, deadline_s: float) -> bytes:
        """Send a request that may be repeated to the JetStream API, until it is answered or the deadline passes.

        Raises:
            Unavailable: no answer before the deadline.
            Refusal: it answered with an error that will not pass.

        """
        retry = Retry(deadline_s)
        while True:
            try:
                return await self.api(subject, body, deadline_s=retry.attempt_s)
            except NoAnswer as error:
                await retry.wait(error)
            except Refusal as error:
                if not error.is_passing:
                    raise
                await retry.wait(error)

    @asynccontextmanager
    async def answers(self) -> AsyncGenerator[JetStreamResponse, None]:
        """Give a separate subject to receive answers on."""
        token = str(next(self._tokens))
        answer = JetStreamResponse(f"{self._inbox}.{token}")
        self._answers[token] = answer
        try:
            yield answer
        finally:
            del self._answers[token]

    async def send(self, subject: str, payload: bytes, *, reply: str, headers: dict[str, str] | None = None) -> None:
        """Send a message to be answered on `reply`.

        Raises:
            NoAnswer: there is no server.

        """
        await self._publish(subject, payload, reply=reply, headers=headers)

    async def subscribe(self, subject: str, receive: Receive, *, queue: str = "") -> Subscription:
        """Hand every message on `subject` to `receive`, until unsubscribed or a new generation.

        Of those who subscribe with the same `queue`, one gets each message.

        No message is held back: the subscriber bounds what can be on its way.
        """
        return await self._client.receive(subject, receive, queue=queue)

    async def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription, of any generation."""
        self._client.forget(subscription)
        with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_S):
            try:
                await subscription.unsubscribe()
            except nats.errors.Error:
                return  # it ended with its connection

    def new_inbox(self) -> str:
        """Return a subject that nobody else uses."""
        return self._client.new_inbox()

    async def _publish(
        self, subject: str, payload: bytes, *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        await self.write([self.encode(subject, payload, reply=reply, headers=headers)])

    def encode(self, subject: str, payload: bytes, *, reply: str = "", headers: dict[str, str] | None = None) -> bytes:
        """Return a message in the form that `write` takes.

        Raises:
            TooLarge: the server would not take it.
            ValueError: the subject or a header cannot be sent.

        """
        size_bytes = len(payload) + sum([len(key) + len(value) + 4 for key, value in (headers or {}).items()])
        if size_bytes + names.HEADER_ROOM_BYTES > self._client.max_payload:
            raise TooLarge(f"a message of {size_bytes:,} bytes; the server takes {self._client.max_payload:,}")
        return publication(subject, payload, reply=reply, headers=headers)

    async def write(self, messages: Sequence[bytes]) -> None:
        """Send messages that `encode` returned, together.

        Raises:
            NoAnswer: there is no server, or it was lost; some of them may have been sent.

        """
        for first in range(0, len(messages), names.WRITE_MESSAGES):
            # While there is no server the library would keep the messages and send them at any later time.
            if not self.is_connected:
                raise NoAnswer("there is no connection")
            try:
                await self._client.write(b"".join(messages[first : first + names.WRITE_MESSAGES]))
            except (nats.errors.Error, OSError) as error:
                raise NoAnswer(str(error)) from error

    async def _open(self) -> None:
        self._is_open = False
        self._closed = anyio.Event()
        self._client = ReceivingClient()
        await self._client.connect(
            servers=self._settings.servers,
            name=self._settings.name,
            user_credentials=None if self._settings.credentials is None else str(self._settings.credentials),
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            closed_cb=self._on_closed,
            connect_timeout=int(names.CONNECT_TRY_S),
            reconnect_time_wait=names.RECONNECT_WAIT_S[0],  # type: ignore[arg-type]  # seconds, with fractions
            max_reconnect_attempts=-1,
            ping_interval=names.PING_INTERVAL_S,
            pending_size=names.OUTBOUND_BUFFER_BYTES,
            flush_timeout=names.CONNECT_TRY_S,
            reconnect_to_server_handler=_next_server,
        )
        await self.subscribe(self._inbox + ".*", self._on_answer)
        self._is_open = True
        self._begin_generation()

    def _on_answer(self, message: Incoming) -> None:
        answer = self._answers.get(message.subject.rpartition(".")[2])
        if answer is not None:
            answer.put(message)

    async def _on_error(self, error: Exception) -> None:
        if isinstance(error, OSError) and _NOT_LET_IN in self._last_error.lower():
            return  # the server closed the connection after it had sent the reason
        text = str(error) or type(error).__name__
        if text != self._last_error and not self._is_closing:
            self._last_error = text
            _log.warning("nats_error", url=self._settings.shown_url, error=text)

    async def _on_disconnected(self) -> None:
        for answer in self._answers.values():
            answer.fail(NoAnswer("the connection was lost"))
        self._changed.beat()
        if not self._is_closing:
            _log.warning("nats_disconnected", url=self._settings.shown_url)

    async def _on_reconnected(self) -> None:
        self._last_error = ""
        self._begin_generation()
        _log.info("nats_reconnected", url=self._settings.shown_url)

    async def _on_closed(self) -> None:
        if not self._is_closing:
            self._closed.set()

    def _begin_generation(self) -> None:
        self._generation += 1
        self._changed.beat()
        for notify in tuple(self._watchers):
            notify()


def _next_server(servers: list[Server], _info: dict[str, Any]) -> tuple[Server, float]:
    return random.choice(servers), random.uniform(*names.RECONNECT_WAIT_S)  # noqa: S311  # to spread the load
