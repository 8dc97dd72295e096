"""The order in which nats-py writes its commands, on which the tests of the live feed depend."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import nats
from tests.barriers import settle
from tests.conftest import NatsServer
from tests.jetstream.servers import DEADLINE_S

from penstock_jetstream import NatsSettings


class Relay:
    """Passes bytes between a client and a server, and keeps what the client wrote."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self.written = bytearray()

    async def serve(self, client: anyio.abc.SocketStream) -> None:
        async with client, await anyio.connect_tcp(*self._server) as server, anyio.create_task_group() as group:
            group.start_soon(self._pass, client, server, self.written)
            await self._pass(server, client, bytearray())
            group.cancel_scope.cancel()

    async def _pass(self, source: anyio.abc.ByteStream, target: anyio.abc.ByteStream, kept: bytearray) -> None:
        try:
            async for piece in source:
                kept += piece
                await target.send(piece)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass


@asynccontextmanager
async def relayed(server: NatsServer) -> AsyncGenerator[tuple[Relay, str]]:
    url = server.new_settings().url
    user, _, address = url.removeprefix("nats://").rpartition("@")
    host, _, port = address.partition(":")
    relay = Relay(host, int(port))
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, relay.serve)
        own_port = listener.extra(anyio.abc.SocketAttribute.local_port)
        yield relay, NatsSettings(url=f"nats://{user}@127.0.0.1:{own_port}").url
        group.cancel_scope.cancel()


async def test_a_settled_connection_has_sent_its_subscription_before_the_last_ping(nats_server: NatsServer) -> None:
    async with relayed(nats_server) as (relay, url):
        # nats-py's options have no types.
        connection: Any = await nats.connect(url)  # pyright: ignore[reportUnknownMemberType]
        try:
            with anyio.fail_after(DEADLINE_S):
                await connection.subscribe("some.subject")
                await settle(connection)
            assert 0 < relay.written.find(b"SUB some.subject") < relay.written.rfind(b"PING")
        finally:
            await connection.close()
