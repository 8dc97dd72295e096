"""One server that is killed, overloaded or full: nothing acknowledged is lost, nothing comes twice."""

import time
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from tests.conftest import NatsServer
from tests.jetstream.servers import DEADLINE_S, own_server
from tests.jetstream.workload import Count, Workload, race

from penstock_jetstream import Cluster, NatsSettings, connect
from penstock_ports import LogFull
from penstock_schemas.views import SchedulerBeat
from penstock_testing.contracts.event_log import read_all
from penstock_testing.events import new_aggregate, submission

pytestmark = pytest.mark.system


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_server_that_is_killed_loses_nothing(seed: int, tmp_path: Path) -> None:
    async with own_server(tmp_path) as server, connect(NatsSettings(url=server.url)) as cluster:

        async def kill(workload: Workload) -> None:
            for _ in range(5):
                await workload.until_more(at_least=1, at_most=1500)
                server.kill()
                await server.start()
            await workload.until_more(at_least=500, at_most=500)

        await Workload(cluster.log, seed=seed).run(kill)


async def test_a_server_that_is_restarted_cleanly_loses_nothing(tmp_path: Path) -> None:
    async with own_server(tmp_path) as server, connect(NatsSettings(url=server.url)) as cluster:

        async def restart(workload: Workload) -> None:
            for _ in range(3):
                await workload.until_more(at_least=1, at_most=1000)
                await server.stop()
                await server.start()
            await workload.until_more(at_least=200, at_most=200)

        await Workload(cluster.log, seed=3).run(restart)


async def test_heartbeats_reach_a_server_that_came_back(tmp_path: Path) -> None:
    beat = SchedulerBeat(holder="a", term=1, count=1, time=datetime.now(UTC))
    async with own_server(tmp_path) as server, connect(NatsSettings(url=server.url)) as cluster:
        await cluster.heartbeats.beat_scheduler(beat)
        server.kill()
        await server.start()
        await cluster.heartbeats.beat_scheduler(beat, deadline_s=DEADLINE_S)
        assert await cluster.heartbeats.scheduler() == beat


async def test_rival_writers_of_an_aggregate_lose_no_update(tmp_path: Path) -> None:
    async with own_server(tmp_path) as server:
        settings = NatsSettings(url=server.url)
        async with connect(settings) as one, connect(settings) as two:
            aggregate = new_aggregate()
            won: list[int] = []

            async def compete(cluster: Cluster) -> None:
                won.append(await race(cluster.log, aggregate, goal=120))

            with anyio.fail_after(DEADLINE_S):
                async with anyio.create_task_group() as tasks:
                    for cluster in (one, two, one, two):
                        tasks.start_soon(compete, cluster)
                    for _ in range(3):
                        await one.log.load(aggregate, min_version=20, deadline_s=DEADLINE_S)
                        server.kill()
                        await server.start()
            history = await one.log.load(aggregate)
            assert [item.event.version for item in history] == list(range(1, len(history) + 1))
            assert sum(won) == len(history) == 120


async def test_an_overloaded_reader_misses_nothing(cluster: Cluster) -> None:
    for _ in range(15):
        await cluster.log.append([submission(new_aggregate(), padding_bytes=200) for _ in range(1000)])
    seqs: list[int] = []
    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as tasks:

            async def write_on() -> None:
                for _ in range(5):
                    await cluster.log.append([submission(new_aggregate()) for _ in range(1000)])

            tasks.start_soon(write_on)
            async with aclosing(cluster.log.read()) as batches:
                async for batch in batches:
                    time.sleep(0.01)  # noqa: ASYNC251  # the whole event loop is blocked while messages come in
                    seqs += [item.seq for item in batch]
                    if seqs[-1] == 20_000:
                        break
    assert seqs == list(range(1, 20_001))


async def test_rival_projectors_write_each_change_once(tmp_path: Path) -> None:
    count = Count(jobs=50, goal=200)
    async with own_server(tmp_path) as server:
        settings = NatsSettings(url=server.url)
        async with connect(settings) as one, connect(settings) as two:
            with anyio.fail_after(DEADLINE_S):
                async with anyio.create_task_group() as tasks:
                    for cluster in (one, two):
                        tasks.start_soon(count.project, cluster.jobs)
                    for reached in (30, 90, 150):
                        while await one.jobs.checkpoint() < reached:
                            await anyio.lowlevel.checkpoint()
                        server.kill()
                        await server.start()
            await count.verify(one.jobs)


async def test_a_full_log_refuses_what_is_new_and_is_read_on(nats_server: NatsServer) -> None:
    async with connect(nats_server.new_settings(events_max_bytes=200_000)) as cluster:
        stored = await append_until_full(cluster)
        with pytest.raises(LogFull):
            await cluster.log.append([submission(new_aggregate(), padding_bytes=5000) for _ in range(3)])
        refused: list[bool] = []
        async with anyio.create_task_group() as tasks:

            async def append() -> None:
                with pytest.raises(LogFull):
                    await cluster.log.append([submission(new_aggregate(), padding_bytes=5000)])
                refused.append(True)

            for _ in range(10):
                tasks.start_soon(append)
        assert len(refused) == 10
        assert await cluster.log.last_seq() == stored
        status = await cluster.status()
        assert status.max_bytes == 200_000
        assert status.stored_bytes <= status.max_bytes
        assert len(await read_all(cluster.log, count=stored)) == stored


async def append_until_full(cluster: Cluster) -> int:
    """Return how many events the log took."""
    for stored in range(1000):
        try:
            await cluster.log.append([submission(new_aggregate(), padding_bytes=5000)])
        except LogFull:
            return stored
    raise AssertionError("the log is never full")
