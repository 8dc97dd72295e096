"""How arriving bytes become messages."""

from collections.abc import Iterator

import pytest
from nats.errors import ProtocolError

from penstock_jetstream.transport.client import Incoming, ReceivingClient, description_of, header_of, status_of

PLAIN = b"MSG a.b 1 5\r\nhello\r\n"
WITH_REPLY = b"MSG a.b 1 $JS.ACK.x 0\r\n\r\n"
HEADERS = b"NATS/1.0\r\nNats-Sequence: 7\r\nNats-Subject:c.d\r\n\r\n"
WITH_HEADERS = b"HMSG a.b 1 inbox %d %d\r\n%sbody\r\n" % (len(HEADERS), len(HEADERS) + 4, HEADERS)
STATUS = b"NATS/1.0 404 No Messages\r\n\r\n"
WITH_STATUS = b"HMSG a.b 1 %d %d\r\n%s\r\n" % (len(STATUS), len(STATUS), STATUS)
WIRE = PLAIN + b"+OK\r\n" + WITH_REPLY + WITH_HEADERS + WITH_STATUS
EXPECTED = [
    Incoming("a.b", "", b"hello"),
    Incoming("a.b", "$JS.ACK.x", b""),
    Incoming("a.b", "inbox", b"body", HEADERS),
    Incoming("a.b", "", b"", STATUS),
]


class Receiver:
    """A client that is connected to nothing and keeps what its only subscription receives."""

    def __init__(self) -> None:
        self.received: list[Incoming] = []
        self._client = ReceivingClient()
        self._client._receivers[1] = self.received.append  # pyright: ignore[reportPrivateUsage]

    async def parse(self, chunks: Iterator[bytes]) -> list[Incoming]:
        for chunk in chunks:
            await self._client._ps.parse(chunk)  # pyright: ignore[reportPrivateUsage]
        return self.received


@pytest.mark.parametrize("size", [1, 2, 7, 31, len(WIRE)])
async def test_messages_are_found_however_they_are_divided(size: int) -> None:
    chunks = (WIRE[start : start + size] for start in range(0, len(WIRE), size))
    assert await Receiver().parse(chunks) == EXPECTED


async def test_a_message_of_another_subscription_is_dropped() -> None:
    assert await Receiver().parse(iter([b"MSG a.b 2 5\r\nhello\r\n", PLAIN])) == EXPECTED[:1]


@pytest.mark.parametrize("line", [b"MSG a.b one 5\r\n", b"HMSG a.b 1 x\r\n", b"NONSENSE\r\n"])
async def test_a_line_that_is_not_of_the_protocol_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        await Receiver().parse(iter([line]))


async def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(ProtocolError):
        await Receiver().parse(iter([b"INFO " + b"x" * (1 << 20)]))


async def test_a_receiver_that_fails_does_not_stop_the_next_message() -> None:
    client, errors, received = ReceivingClient(), list[Exception](), list[bytes]()

    async def note(error: Exception) -> None:
        errors.append(error)

    def receive(message: Incoming) -> None:
        if not message.data:
            raise ValueError("empty")
        received.append(message.data)

    client._error_cb = note  # pyright: ignore[reportPrivateUsage]
    client._receivers[1] = receive  # pyright: ignore[reportPrivateUsage]
    await client._ps.parse(WITH_REPLY + PLAIN)  # pyright: ignore[reportPrivateUsage]
    assert received == [b"hello"]
    assert [str(error) for error in errors] == ["empty"]


def test_headers_are_read_from_their_lines() -> None:
    message = EXPECTED[2]
    assert header_of(message, "Nats-Sequence") == "7"
    assert header_of(message, "Nats-Subject") == "c.d"
    assert header_of(message, "Sequence") is None
    assert status_of(message) is None
    assert status_of(EXPECTED[0]) is None
    assert header_of(EXPECTED[0], "Nats-Sequence") is None
    assert status_of(EXPECTED[3]) == "404"
    assert description_of(EXPECTED[3]) == "No Messages"
