"""Writes of a response that are sent together."""

import asyncio
from typing import cast

import pytest

from penstock_gateway.http.joined_writes import MAX_JOINED_BYTES, JoinedWrites


class _Transport:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


@pytest.fixture
async def transport() -> _Transport:
    return _Transport()


@pytest.fixture
async def joined(transport: _Transport) -> JoinedWrites:
    return JoinedWrites(cast("asyncio.Transport", transport), asyncio.get_running_loop())


async def test_head_and_body_are_one_write(transport: _Transport, joined: JoinedWrites) -> None:
    joined.write(b"head")
    joined.write(b"body")
    assert transport.sent == [b"headbody"]
    await asyncio.sleep(0)
    assert transport.sent == [b"headbody"]


async def test_a_head_without_a_body_is_sent_when_the_loop_has_run_once(
    transport: _Transport, joined: JoinedWrites
) -> None:
    joined.write(b"head")
    assert transport.sent == []
    await asyncio.sleep(0)
    assert transport.sent == [b"head"]


async def test_a_large_body_is_not_copied(transport: _Transport, joined: JoinedWrites) -> None:
    body = bytes(MAX_JOINED_BYTES + 1)
    joined.write(b"head")
    joined.write(body)
    assert transport.sent[0] == b"head"
    assert transport.sent[1] is body


async def test_what_is_held_is_sent_before_the_connection_is_closed(
    transport: _Transport, joined: JoinedWrites
) -> None:
    joined.write(b"head")
    joined.close()
    assert transport.sent == [b"head"]
    assert joined.is_closing()


async def test_order_is_kept(transport: _Transport, joined: JoinedWrites) -> None:
    for number in range(5):
        joined.write(b"%d" % number)
    await asyncio.sleep(0)
    assert b"".join(transport.sent) == b"01234"
