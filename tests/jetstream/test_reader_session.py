"""One consumer of a reader: messages in its own numbers, and everything odd ends it."""

import pytest

from penstock_jetstream import NatsSettings, names
from penstock_jetstream.transport.client import Incoming
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.reader import Received, Session


class Consumer:
    """A session that is connected to nothing; the test is its server."""

    def __init__(self) -> None:
        self.taken: list[Received] = []
        connection = Connection(NatsSettings(url="nats://127.0.0.1:1"))
        self.session = Session(connection, "S", "a.>", self.taken.append, after=0)

    def deliver(self, seq: int, number: int, *, pending: int = 0, form: int = 1, data: bytes = b"x") -> None:
        place = "" if form == 1 else "domain.account."
        random = "" if form == 1 else ".random"
        reply = f"$JS.ACK.{place}S.C.1.{seq}.{number}.1700000000.{pending}{random}"
        self._receive(Incoming("a.b", reply, data))

    def status(self, line: str, **headers: int) -> None:
        written = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self._receive(Incoming("inbox", "", b"", f"NATS/1.0 {line}\r\n{written}\r\n".encode()))

    def _receive(self, message: Incoming) -> None:
        self.session._receive(message)  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.mark.parametrize("form", [1, 2])
def test_messages_are_taken_in_the_order_of_the_consumer(consumer: Consumer, form: int) -> None:
    consumer.deliver(10, 1, pending=1, form=form)
    consumer.deliver(17, 2, pending=0, form=form, data=b"")
    assert [message.seq for message in consumer.taken] == [10, 17]
    assert (consumer.session.broken, consumer.session.pending) == (None, 0)


def test_a_gap_ends_it_and_nothing_later_is_taken(consumer: Consumer) -> None:
    consumer.deliver(10, 1)
    consumer.deliver(12, 3)
    consumer.deliver(11, 2)
    assert [message.seq for message in consumer.taken] == [10]
    assert consumer.session.broken == "message 3 follows 1"


def test_a_heartbeat_shows_what_did_not_arrive(consumer: Consumer) -> None:
    consumer.deliver(10, 1)
    consumer.status(f"{names.STATUS_HEARTBEAT} Idle Heartbeat", **{names.LAST_CONSUMER: 1})
    assert consumer.session.broken is None
    consumer.status(f"{names.STATUS_HEARTBEAT} Idle Heartbeat", **{names.LAST_CONSUMER: 2})
    assert consumer.session.broken == "message 2 was delivered, 1 arrived"


def test_a_request_that_ended_is_made_again(consumer: Consumer) -> None:
    session = consumer.session
    session._requested = 100  # pyright: ignore[reportPrivateUsage]
    consumer.status("408 Request Timeout", **{names.PENDING_MESSAGES: 70})
    assert session.broken is None
    assert session._requested == 30  # pyright: ignore[reportPrivateUsage]


def test_another_status_ends_it(consumer: Consumer) -> None:
    consumer.status("409 Consumer Deleted")
    assert consumer.session.broken == "status 409: Consumer Deleted"


async def test_whole_waits_without_anything_end_it(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "READ_HEARTBEAT_S", 0.01)
    monkeypatch.setattr(names, "READ_SILENCE_S", 0.03)
    session = consumer.session
    for _ in range(2):
        await session.wait()
    assert session.broken is None
    await session.wait()
    assert session.broken == "the server fell silent"
