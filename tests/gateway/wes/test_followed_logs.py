"""A log that is followed: sent as it comes, and given up when its reader is gone."""

from collections.abc import AsyncIterator
from typing import Any, cast

import anyio
from litestar.types import Message, Scope

from penstock_gateway.wes.logs import Followed

SCOPE = cast("Scope", {"type": "http"})


async def test_chunks_are_sent_as_they_come_and_the_body_ends() -> None:
    sent: list[Any] = []

    async def chunks() -> AsyncIterator[str]:
        yield "a\n"
        assert [message["body"] for message in sent[1:]] == [b"a\n"], "it is sent before the next one comes"
        yield "é\n"

    async def send(message: Message) -> None:
        sent.append(message)

    await Followed(chunks())(SCOPE, cast("Any", anyio.sleep_forever), send)

    assert (sent[0]["status"], dict(sent[0]["headers"])[b"cache-control"]) == (200, b"no-store")
    assert [(message["body"], message["more_body"]) for message in sent[1:]] == [
        (b"a\n", True),
        ("é\n".encode(), True),
        (b"", False),
    ]


async def test_a_reader_that_is_gone_ends_it() -> None:
    was_cancelled = False
    has_begun = anyio.Event()

    async def chunks() -> AsyncIterator[str]:
        nonlocal was_cancelled
        yield "a"
        has_begun.set()
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            was_cancelled = True
            raise

    messages = iter(["http.request", "http.disconnect"])

    async def receive() -> Any:
        await has_begun.wait()
        return {"type": next(messages)}

    async def send(_message: Message) -> None:
        return

    with anyio.fail_after(5):
        await Followed(chunks())(SCOPE, receive, send)
    assert was_cancelled
