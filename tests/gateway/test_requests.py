"""Bodies that come slowly: one that progresses is read, one that only trickles is given up."""

from collections.abc import AsyncIterator
from typing import Any, cast

import anyio
import pytest

from penstock_gateway.http import requests
from penstock_gateway.http.problems import BodyTooSlow
from penstock_gateway.http.requests import MIN_PROGRESS_BYTES, Request, read_body

IDLE_S = 0.5


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "IDLE_S", IDLE_S)


def request_of(chunks: AsyncIterator[bytes]) -> Request:
    async def receive() -> Any:
        try:
            return {"type": "http.request", "body": await anext(chunks), "more_body": True}
        except StopAsyncIteration:
            return {"type": "http.request", "body": b"", "more_body": False}

    return Request(cast("Any", {"type": "http", "method": "POST", "path": "/", "headers": []}), receive)


async def every(pause_s: float, piece: bytes, count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        await anyio.sleep(pause_s)
        yield piece


@pytest.mark.slow
async def test_a_slow_body_that_progresses_is_read() -> None:
    count = 10  # each piece in time, all of them together not
    body = await read_body(request_of(every(IDLE_S / 8, bytes(MIN_PROGRESS_BYTES), count)), 1 << 20)
    assert len(body) == count * MIN_PROGRESS_BYTES


async def test_a_body_that_trickles_is_given_up() -> None:
    with anyio.fail_after(20), pytest.raises(BodyTooSlow, match=f"less than {MIN_PROGRESS_BYTES:,} bytes"):
        await read_body(request_of(every(IDLE_S / 50, b".", 10_000)), 1 << 20)


async def test_a_body_that_stops_is_given_up() -> None:
    with anyio.fail_after(20), pytest.raises(BodyTooSlow):
        await read_body(request_of(every(100, b".", 1)), 1 << 20)


async def test_a_small_body_may_end_at_any_time() -> None:
    assert await read_body(request_of(every(0, b".", 3)), 1 << 20) == b"..."


@pytest.mark.slow
async def test_a_reader_that_takes_its_time_is_no_slow_client() -> None:
    body = requests.Body(request_of(every(0, b".", 20)), 1 << 20)
    chunks = 0
    while await body.next_chunk() is not None:
        chunks += 1
        await anyio.sleep(IDLE_S / 10)  # the blob store, for instance
    assert chunks >= 20
