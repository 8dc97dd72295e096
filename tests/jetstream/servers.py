"""Servers that a test may harm."""

import itertools
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import msgspec
from tests.conftest import in_account

from penstock_jetstream import NatsSettings, names
from penstock_jetstream.server.embedded import EmbeddedServer
from penstock_jetstream.transport.connection import Connection

DEADLINE_S = 60.0


class _Cluster(msgspec.Struct):
    leader: str = ""


class _Info(msgspec.Struct):
    cluster: _Cluster


class ThreeServers:
    """A cluster of three on this machine."""

    def __init__(self, servers: tuple[EmbeddedServer, ...], folder: Path) -> None:
        self.servers = servers
        self._folder = folder
        self._accounts = itertools.count()
        self.settings = NatsSettings(url=",".join(server.url for server in servers), replicas=3, connect_s=DEADLINE_S)

    def folder(self, number: int) -> Path:
        """Return the data folder of a server."""
        return self._folder / f"n{number}"

    def new_settings(self) -> NatsSettings:
        """Return the way into an account that nobody used yet; the servers must have accounts."""
        number = next(self._accounts)
        urls = ",".join(in_account(server.url, number) for server in self.servers)
        return NatsSettings(url=urls, replicas=3, connect_s=DEADLINE_S)

    async def leader(self, stream: str = names.EVENTS) -> EmbeddedServer:
        """Return the server that leads a stream."""
        connection = Connection(self.settings)
        await connection.open()
        try:
            with anyio.fail_after(DEADLINE_S):
                while True:
                    answer = await connection.query(names.STREAM_INFO + stream, deadline_s=DEADLINE_S)
                    name = msgspec.json.decode(answer, type=_Info).cluster.leader
                    if name:
                        return self.servers[int(name.removeprefix("n"))]
        finally:
            await connection.close()


@asynccontextmanager
async def own_server(folder: Path, *, extra: str = "") -> AsyncGenerator[EmbeddedServer, None]:
    """Run one server."""
    server = EmbeddedServer(folder, extra=extra)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def three_servers(folder: Path, *, extra: str = "") -> AsyncGenerator[ThreeServers, None]:
    """Run a cluster of three."""
    ports = free_ports(6)
    routes = ", ".join(f"nats://127.0.0.1:{port}" for port in ports[3:])
    async with AsyncExitStack() as stack:
        servers = tuple(
            EmbeddedServer(
                folder / f"n{number}",
                port=ports[number],
                name=f"n{number}",
                extra=f"cluster {{ name: test, listen: 127.0.0.1:{ports[3 + number]}, routes: [{routes}] }}\n{extra}",
            )
            for number in range(3)
        )
        async with anyio.create_task_group() as tasks:
            for server in servers:
                stack.push_async_callback(server.stop)
                tasks.start_soon(server.start)
        yield ThreeServers(servers, folder)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
