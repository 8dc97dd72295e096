"""Connecting: clear errors, streams that are as they must be, and a connection that outlives everything."""

import asyncio
import os
import signal
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.conftest import NatsServer
from tests.jetstream.servers import DEADLINE_S, ThreeServers, free_ports, own_server

from penstock_jetstream import NatsSettings, connect, layout, names
from penstock_jetstream.settings import BadAddress, check_address
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.responses import NoAnswer
from penstock_ports import TooLarge, Unavailable
from penstock_testing.events import new_aggregate, submission


async def test_a_program_whose_user_waits_gives_up_reaching_a_server_earlier() -> None:
    (port,) = free_ports(1)
    settings = NatsSettings(url=f"nats://127.0.0.1:{port}", connect_s=600.0, reach_s=0.2)
    with pytest.raises(Unavailable, match=r"within 0\.2 s"):
        async with connect(settings):
            pass


async def test_a_server_that_is_not_there_is_named() -> None:
    (port,) = free_ports(1)
    with pytest.raises(Unavailable, match=rf"127\.0\.0\.1:{port} within 0\.2 s.*refused|Connect call failed"):
        async with connect(NatsSettings(url=f"nats://me:secret@127.0.0.1:{port}", connect_s=0.2)):
            pass


@pytest.mark.parametrize(
    "url",
    ["", "http://a:1", "nats://", "nats://a:port", "nats://a:0", "nats://a:70000", "nats://[::1", "nats://]", "["],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(BadAddress, match=r"PENSTOCK_NATS_URL holds .*expected"):
        check_address(NatsSettings(url=url))


@given(st.text() | st.from_regex(r"(nats://)?(u:p@)?[\[\]:/a-f0-9.,]{0,12}", fullmatch=True))
def test_any_address_is_judged(url: str) -> None:
    with suppress(BadAddress):
        check_address(NatsSettings(url=url))


async def test_a_password_is_not_shown() -> None:
    settings = NatsSettings(url="nats://me:secret@a:1, tls://token@b:2,nats://c:3")
    assert settings.shown_url == "nats://a:1,tls://b:2,nats://c:3"


async def test_a_wrong_password_is_reported(nats_server: NatsServer) -> None:
    url = nats_server.server.url.replace("nats://", "nats://nobody:wrong@")
    with pytest.raises(Unavailable, match="Authorization"):
        async with connect(NatsSettings(url=url, connect_s=1.0)):
            pass


@pytest.mark.slow
async def test_the_reason_of_a_refused_connection_is_kept_after_it_is_closed() -> None:
    tries = 0

    async def turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        if tries > 1:
            reset = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            writer.transport.abort()
            return
        writer.write(b'INFO {"version": "2.15.1", "max_payload": 1048576, "auth_required": true}\r\n')
        await reader.read(1)
        writer.write(b"-ERR 'Authorization Violation'\r\n")
        await writer.drain()
        writer.close()

    # Not a listener of anyio: when that is cancelled while a client connects, asyncio raises and leaks the socket.
    async with await asyncio.start_server(turn_away, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable, match="Authorization"):
            async with connect(NatsSettings(url=f"nats://127.0.0.1:{port}", connect_s=2.0)):
                pass
    assert tries > 1


@pytest.mark.system
async def test_an_account_without_jetstream_is_reported(tmp_path: Path) -> None:
    extra = "accounts { A { users: [{user: a, password: b}] } }"
    async with own_server(tmp_path, extra=extra) as server:
        with pytest.raises(layout.LayoutError, match="enable it"):
            async with connect(NatsSettings(url=server.url.replace("//", "//a:b@"))):
                pass


async def test_many_services_may_start_at_once(nats_settings: NatsSettings) -> None:
    async def start() -> None:
        async with connect(nats_settings) as cluster:
            await cluster.log.append([submission(new_aggregate())])

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(start)
    async with connect(nats_settings) as cluster:
        assert await cluster.log.last_seq() == 8


async def test_the_bound_of_the_log_changes_only_when_it_is_set(nats_server: NatsServer) -> None:
    settings = nats_server.new_settings(events_max_bytes=10_000_000)
    async with connect(settings):
        pass
    async with connect(NatsSettings(url=settings.url)) as cluster:
        assert (await cluster.status()).max_bytes == 10_000_000
    async with connect(NatsSettings(url=settings.url, events_max_bytes=20_000_000)) as cluster:
        assert (await cluster.status()).max_bytes == 20_000_000


@pytest.mark.parametrize(
    "wrong", [{"retention": "workqueue"}, {"storage": "memory"}, {"subjects": ["penstock.events.*"]}]
)
async def test_a_stream_of_somebody_else_is_refused(wrong: dict[str, Any], nats_settings: NatsSettings) -> None:
    connection = Connection(nats_settings)
    await connection.open()
    await connection.query(
        names.STREAM_CREATE + names.EVENTS,
        {"name": names.EVENTS, "subjects": ["penstock.events.>"], "storage": "file", **wrong},
        deadline_s=DEADLINE_S,
    )
    await connection.close()
    with pytest.raises(layout.LayoutError, match=f"{names.EVENTS} exists with {next(iter(wrong))}"):
        async with connect(nats_settings):
            pass


@pytest.mark.parametrize("stream", [names.EVENTS, names.TASKS, names.LOGS, names.JOBS, names.SNAPSHOTS])
async def test_a_compressed_stream_is_refused_with_the_way_out(stream: str, nats_settings: NatsSettings) -> None:
    async with connect(nats_settings) as cluster:
        made = msgspec.json.decode(await cluster.connection.query(names.STREAM_INFO + stream, deadline_s=DEADLINE_S))
        config = {**made["config"], "compression": "s2"}
        await cluster.connection.query(names.STREAM_UPDATE + stream, config, deadline_s=DEADLINE_S)
    with pytest.raises(layout.LayoutError, match=rf"{stream} has compression s2.*--compression none.*how-to/repair"):
        async with connect(nats_settings):
            pass


def test_no_stream_is_compressed() -> None:
    for is_clustered in (False, True):
        configured = layout.streams(NatsSettings(), is_clustered=is_clustered)
        assert {item["name"]: item["compression"] for item in configured} == dict.fromkeys(
            (item["name"] for item in configured), "none"
        )


async def test_a_failure_within_a_connection_leaves_it_as_itself(nats_settings: NatsSettings) -> None:
    with pytest.raises(KeyError):
        async with connect(nats_settings):
            raise KeyError


async def test_what_the_server_would_not_take_is_not_sent(nats_settings: NatsSettings) -> None:
    connection = Connection(nats_settings)
    await connection.open()
    with pytest.raises(TooLarge):
        await connection.publish("test", b"x" * (1 << 20))
    with pytest.raises(ValueError, match="subject"):
        await connection.publish("two words", b"")
    assert connection.is_connected
    await connection.close()


@pytest.mark.system
async def test_leaving_a_server_that_reads_nothing_closes_the_socket(tmp_path: Path) -> None:
    """The library waits until everything is sent, which never ends; a leaked socket fails the test as a warning."""
    async with own_server(tmp_path) as server:
        assert server.pid is not None
        connection = Connection(NatsSettings(url=server.url))
        await connection.open()
        sockets = open_sockets()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with anyio.move_on_after(2.0):  # until the buffers of the system are full
                for _ in range(32):
                    await connection.publish("test", b"x" * 900_000)
            with anyio.fail_after(DEADLINE_S):
                await connection.close()
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert len(open_sockets()) == len(sockets) - 1


def open_sockets() -> list[str]:
    links: list[str] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor of this listing
            links.append(str(descriptor.readlink()))
    return [link for link in links if link.startswith("socket:")]


async def test_a_request_that_nobody_answers_fails_at_its_deadline(nats_settings: NatsSettings) -> None:
    connection = Connection(nats_settings)
    await connection.open()
    with pytest.raises(NoAnswer, match="nobody listens"):
        await connection.request("nobody.there", b"")
    async with connection.answers() as answers:
        await connection.subscribe("deaf", lambda _: None)
        with pytest.raises(NoAnswer, match="within"):
            await connection.request("deaf", b"", deadline_s=0.05)
        assert answers.subject
    await connection.close()


async def test_a_connection_that_the_library_gave_up_is_opened_again(nats_settings: NatsSettings) -> None:
    async with connect(nats_settings) as cluster:
        await cluster.log.append([submission(new_aggregate())])
        before = cluster.connection.generation
        # As after a protocol error, which ends the library's client for good.
        await cluster.connection._client._close(cluster.connection._client.CLOSED)  # pyright: ignore[reportPrivateUsage]  # no public way
        with anyio.fail_after(DEADLINE_S):
            await cluster.log.append([submission(new_aggregate())], deadline_s=DEADLINE_S)
        assert cluster.connection.generation > before
        assert await cluster.log.last_seq() == 2


async def test_a_cluster_keeps_three_copies_by_default(three_nodes: ThreeServers) -> None:
    settings = replace(three_nodes.new_settings(), replicas=None)
    async with connect(settings) as cluster:
        assert (await cluster.status()).replicas == 3


async def test_more_copies_than_servers_are_refused(nats_settings: NatsSettings) -> None:
    with pytest.raises(layout.LayoutError, match="add servers"):
        async with connect(replace(nats_settings, replicas=3)):
            pass
