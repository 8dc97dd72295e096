"""Every server's copy of the log after kills, and what is reported of a copy that is damaged."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator

import anyio
import pytest
from tests.jetstream.replicas import LOG_BYTES, blocks, compared, fill, flip_a_byte, kill_round, start_all
from tests.jetstream.servers import DEADLINE_S, ThreeServers, three_servers

from penstock_jetstream import NatsSettings, connect, layout, names
from penstock_jetstream.adapters.jetstream_log import JetStreamLog
from penstock_jetstream.replicas import compare
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.stream_state import Replica, StreamCluster, StreamConfig, StreamInfo, StreamState
from penstock_ports import Unavailable
from penstock_testing.events import new_aggregate, submission

pytestmark = pytest.mark.system

CYCLES = int(os.environ.get("PENSTOCK_KILL_CYCLES", "7"))
"""Cycles of kills of one, two and three servers; more of them for a longer trial."""


async def verify_command(servers: ThreeServers) -> "subprocess.CompletedProcess[str]":
    """Run `penstock verify --replicas` against the cluster."""
    environment = {
        **os.environ,
        "PENSTOCK_NATS_URL": servers.settings.url,
        "PENSTOCK_STATE_DIR": str(servers.folder(9)),
    }
    completed = await anyio.run_process(
        [sys.executable, "-m", "penstock", "verify", "--replicas"], env=environment, check=False
    )
    return subprocess.CompletedProcess(
        completed.args, completed.returncode, completed.stdout.decode(), completed.stderr.decode()
    )


def report(line: str) -> None:
    """Show how a long trial goes, with `pytest -s`."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@pytest.fixture
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[ThreeServers, None]:
    """A cluster that the test may harm."""
    folder = tmp_path_factory.mktemp("replicas")
    async with three_servers(folder) as servers:
        yield servers
    shutil.rmtree(folder, ignore_errors=True)


async def test_the_copy_of_a_single_server_is_read(nats_settings: NatsSettings) -> None:
    async with connect(nats_settings) as cluster:
        await cluster.log.append([submission(new_aggregate()) for _ in range(3)], deadline_s=DEADLINE_S)
        [copy] = await compare(cluster.connection, names.EVENTS)
    assert (copy.messages, copy.damage) == (3, None)


async def test_kills_of_one_two_and_three_servers_damage_no_copy(servers: ThreeServers) -> None:
    dice = random.Random(9)
    acknowledged = 0
    async with connect(servers.settings) as cluster:
        await fill(cluster.log, LOG_BYTES)
        for number in range(CYCLES):
            for victims in (1, 2, 3):
                acknowledged += await kill_round(
                    servers, cluster.log, dice, victims=victims, seed=3 * number + victims - 1
                )
            copies = await compared(cluster, servers)
            assert [copy.damage for copy in copies] == [None, None, None], f"cycle {number}: {copies}"
            assert len({copy.messages for copy in copies}) == 1
            report(f"cycle {number}: {acknowledged} acknowledged, {copies[0].messages} in each copy")


async def test_a_damaged_copy_is_named_and_rebuilt(servers: ThreeServers) -> None:
    async with connect(servers.settings) as cluster:
        await fill(cluster.log, 3 << 20)
        await compared(cluster, servers)
        await servers.servers[1].stop()
        flip_a_byte(blocks(servers, 1)[0])
        await servers.servers[1].start()
        damaged = {copy.server: copy.damage for copy in await compared(cluster, servers)}
        assert damaged["n0"] is None
        assert damaged["n2"] is None
        assert damaged["n1"] is not None
        assert damaged["n1"].kind == "the message is missing"
        assert 1 < damaged["n1"].seq < await cluster.log.last_seq()
        reported = await verify_command(servers)
        assert reported.returncode == 1
        assert f"n1: the copy of {names.EVENTS} is damaged from sequence {damaged['n1'].seq} on" in reported.stdout
        assert f"n0: the copy of {names.EVENTS} is whole" in reported.stdout

        await servers.servers[1].stop()
        for copy in servers.folder(1).glob(f"store/jetstream/*/streams/{names.EVENTS}"):
            shutil.rmtree(copy)
        began = anyio.current_time()
        await servers.servers[1].start()
        assert [copy.damage for copy in await compared(cluster, servers)] == [None, None, None]
        assert (await verify_command(servers)).returncode == 0
        report(f"rebuilt after {anyio.current_time() - began:.1f} s")


async def test_compressed_streams_are_left_as_the_guide_describes(servers: ThreeServers) -> None:
    """docs/how-to/repair-a-nats-cluster.md: set none, restart the servers one after the other with SIGTERM."""
    connection = Connection(servers.settings)
    await connection.open()
    events, *_ = layout.streams(servers.settings)
    compressed = {**events, "compression": "s2"}
    await connection.query(names.STREAM_CREATE + names.EVENTS, compressed, deadline_s=DEADLINE_S)
    log = JetStreamLog(connection, group_commit=None)
    await fill(log, LOG_BYTES)
    with pytest.raises(layout.LayoutError, match="repair-a-nats-cluster"):
        async with connect(servers.settings):
            pass
    await connection.query(names.STREAM_UPDATE + names.EVENTS, events, deadline_s=DEADLINE_S)
    await connection.close()

    dice = random.Random(3)
    async with connect(servers.settings) as cluster:
        for server in servers.servers:
            await server.stop()
            await server.start()
            assert [copy.damage for copy in await compared(cluster, servers)] == [None, None, None]
        for victims in (1, 3):
            await kill_round(servers, cluster.log, dice, victims=victims, seed=victims)
            assert [copy.damage for copy in await compared(cluster, servers)] == [None, None, None]


async def test_no_position_is_taken_from_a_copy_that_is_behind(servers: ThreeServers) -> None:
    """After a kill of all servers a copy is shorter than what was acknowledged until a leader is elected."""
    async with connect(servers.settings) as cluster:
        await fill(cluster.log, 1 << 20)
        for _ in range(3):
            (stored,) = await cluster.log.append([submission(new_aggregate())], deadline_s=DEADLINE_S)
            job = stored.event.aggregate
            for server in servers.servers:
                server.kill()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(start_all, servers.servers)
                assert await cluster.log.last_seq(deadline_s=DEADLINE_S) >= stored.seq
                assert await cluster.log.head(job, deadline_s=DEADLINE_S) == stored.head
                assert await cluster.log.load(job, deadline_s=DEADLINE_S) == (stored,)


async def test_a_position_without_a_leader_is_not_believed(servers: ThreeServers) -> None:
    """Two of three servers are stopped, so that no leader can be elected while one copy still answers."""
    async with connect(servers.settings) as cluster:
        await fill(cluster.log, 1 << 18)
        last_seq = await cluster.log.last_seq()
        for server in servers.servers[1:]:
            server.kill()
        servers.servers[0].kill()
        with anyio.move_on_after(1):
            await servers.servers[0].start()
        with pytest.raises(Unavailable):
            await cluster.log.last_seq(deadline_s=2.0)
        await start_all(servers.servers[1:])
        assert await cluster.log.last_seq(deadline_s=DEADLINE_S) == last_seq


def test_a_copy_that_answers_for_itself_is_no_leader() -> None:
    """While a group has no leader, each of its servers answers for its own copy and names no leader."""

    def answer(replicas: int, cluster: StreamCluster | None) -> StreamInfo:
        state = StreamState(messages=5, bytes=5, first_seq=1, last_seq=5)
        return StreamInfo(StreamConfig(max_bytes=-1, num_replicas=replicas), state, cluster)

    assert answer(1, None).is_confirmed
    assert answer(3, StreamCluster(leader="n1")).is_confirmed
    assert not answer(3, StreamCluster(leader="", replicas=(Replica("n0"),))).is_confirmed
    assert not answer(3, None).is_confirmed
