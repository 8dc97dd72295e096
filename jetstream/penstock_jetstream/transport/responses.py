"""What NATS answers, and what it does not."""

from collections import deque

import anyio
import msgspec
from msgspec import Struct

from penstock_jetstream import names
from penstock_jetstream.transport.client import Incoming
from penstock_ports import PortError, Unavailable


class NoAnswer(Unavailable):
    """One try brought no answer; whether the request had an effect is not known."""


class Refusal(PortError):
    """The server answered with an error."""

    def __init__(self, error: "ErrorReply") -> None:
        super().__init__(f"{error.description} ({error.err_code})")
        self.err_code = error.err_code
        self.is_passing = (
            error.code == 429 or error.code >= 500
        ) and error.err_code not in names.JETSTREAM_NOT_ENABLED | names.TOO_FEW_SERVERS
        """Trying again may help: there is no leader, or too much at once."""


class ErrorReply(Struct, frozen=True):
    """How the server reports an error."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class _MaybeError(Struct, frozen=True):
    error: ErrorReply | None = None


class JetStreamResponse:
    """What comes on a separate subject."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self._messages: deque[Incoming] = deque()
        self._error: NoAnswer | None = None
        self._arrived = anyio.Event()

    def put(self, message: Incoming) -> None:
        """Take what came."""
        self._messages.append(message)
        self._arrived.set()

    def fail(self, error: NoAnswer) -> None:
        """Nothing will come any more: the connection was lost."""
        self._error = error
        self._arrived.set()

    async def next(self) -> Incoming:
        """Return the next message.

        Raises:
            NoAnswer: the connection was lost.

        """
        while not self._messages:
            if self._error is not None:
                raise self._error
            self._arrived = anyio.Event()
            await self._arrived.wait()
        return self._messages.popleft()


def accepted(answer: bytes) -> bytes:
    """Return the answer of an API.

    Raises:
        Refusal: it is an error.

    """
    error = msgspec.json.decode(answer, type=_MaybeError).error
    if error is not None:
        raise Refusal(error)
    return answer
