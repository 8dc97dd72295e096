"""On the embedded server the services may do everything, and anybody else may listen to the live feed, or nothing."""

import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import nats
import pytest
from tests.barriers import settle
from tests.jetstream.servers import DEADLINE_S

from penstock_jetstream import NatsSettings, connect
from penstock_jetstream.server.embedded import EmbeddedServer

pytestmark = pytest.mark.system

PASSWORD = "pw-of-the-services"
FORBIDDEN = ("penstock.events.job.default.x", "$JS.API.STREAM.NAMES", "penstock.live.default.submitted.x", "x")


@asynccontextmanager
async def guarded(folder: Path, *, is_feed_open: bool) -> AsyncGenerator[EmbeddedServer, None]:
    server = EmbeddedServer(folder, password=PASSWORD, is_feed_open=is_feed_open)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def test_the_owner_may_do_everything(tmp_path: Path) -> None:
    async with guarded(tmp_path, is_feed_open=True) as server, connect(NatsSettings(url=server.url)) as cluster:
        assert (await cluster.status()).messages == 0
    assert stat.S_IMODE((tmp_path / "nats-server.conf").stat().st_mode) == 0o600


async def test_others_may_listen_to_the_live_feed_and_no_more(tmp_path: Path) -> None:
    errors: list[str] = []

    async def note(error: Exception) -> None:
        errors.append(str(error).lower())

    async with guarded(tmp_path, is_feed_open=True) as server:
        # nats-py's options have no types.
        owner: Any = await nats.connect(server.url)  # pyright: ignore[reportUnknownMemberType]
        address = NatsSettings(url=server.url).shown_url
        other: Any = await nats.connect(address, error_cb=note)  # pyright: ignore[reportUnknownMemberType]
        try:
            feed = await other.subscribe("penstock.live.>")
            for subject in FORBIDDEN:
                await other.publish(subject, b"forged")
            for subject in ("penstock.events.>", "$KV.>", ">"):
                await other.subscribe(subject)
            await settle(other)
            await owner.publish("penstock.live.default.held.x", b"true")
            assert (await feed.next_msg(timeout=DEADLINE_S)).data == b"true"
            with anyio.fail_after(DEADLINE_S):
                while len(errors) < len(FORBIDDEN) + 3:
                    await other.flush()
        finally:
            await other.close()
            await owner.close()
    for subject in FORBIDDEN:
        assert any(f'publish to "{subject.lower()}"' in message for message in errors), errors
    for subject in ("penstock.events.>", "$kv.>", ">"):
        assert any(f'subscription to "{subject}"' in message for message in errors), errors


@pytest.mark.parametrize("options", [b"{}", b'{"user":"penstock","pass":"guess"}'])
async def test_where_the_feed_is_closed_nobody_comes_in_without_the_password(tmp_path: Path, options: bytes) -> None:
    async with guarded(tmp_path, is_feed_open=False) as server:
        host, _, port = NatsSettings(url=server.url).shown_url.removeprefix("nats://").partition(":")
        with anyio.fail_after(DEADLINE_S):
            async with await anyio.connect_tcp(host, int(port)) as stream:
                await stream.send(b"CONNECT " + options + b"\r\nPING\r\n")
                answer = b"".join([piece async for piece in stream])
    assert b"-ERR 'Authorization Violation'" in answer
