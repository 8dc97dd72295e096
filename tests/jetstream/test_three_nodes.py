"""A cluster of three that loses its leader: nothing acknowledged is lost, nothing comes twice."""

from collections.abc import AsyncGenerator

import anyio
import pytest
from tests.jetstream.servers import DEADLINE_S, ThreeServers, three_servers
from tests.jetstream.workload import APPEND_S, Count, Workload, race

from penstock_jetstream import Cluster, connect, names
from penstock_ports import Fence, Fenced
from penstock_schemas.views import EMPTY_HEAD
from penstock_testing.events import cycle, election, new_aggregate, submission

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[ThreeServers, None]:
    """A cluster that is whole at the beginning and the end of each test."""
    async with three_servers(tmp_path_factory.mktemp("harmed")) as servers:
        yield servers


async def fail_over(servers: ThreeServers, stream: str = names.EVENTS) -> None:
    """Kill the leader, let another one take its place, and bring the first one back."""
    leader = await servers.leader(stream)
    leader.kill()
    await servers.leader(stream)
    await leader.start()


async def test_a_leader_that_is_killed_loses_nothing(servers: ThreeServers) -> None:
    async with connect(servers.settings) as cluster:

        async def kill(workload: Workload) -> None:
            for _ in range(2):
                await workload.until_more(at_least=50, at_most=500)
                leader = await servers.leader()
                leader.kill()
                await workload.until_more(at_least=50, at_most=300)
                await leader.start()
            await workload.until_more(at_least=200, at_most=200)

        await Workload(cluster.log, seed=4).run(kill)


async def test_rival_writers_of_an_aggregate_lose_no_update(servers: ThreeServers) -> None:
    async with connect(servers.settings) as one, connect(servers.settings) as two:
        aggregate = new_aggregate()
        won: list[int] = []

        async def compete(cluster: Cluster) -> None:
            won.append(await race(cluster.log, aggregate, goal=80))

        with anyio.fail_after(DEADLINE_S):
            async with anyio.create_task_group() as tasks:
                for cluster in (one, two, one):
                    tasks.start_soon(compete, cluster)
                await one.log.load(aggregate, min_version=30, deadline_s=DEADLINE_S)
                await fail_over(servers)
        history = await one.log.load(aggregate)
        assert [item.event.version for item in history] == list(range(1, len(history) + 1))
        assert sum(won) == len(history)


async def test_a_fenced_leader_decides_each_cycle_once(servers: ThreeServers) -> None:
    async with connect(servers.settings) as cluster:
        log = cluster.log
        (lease,) = await log.append([election(await log.head("scheduler.lease"))], deadline_s=APPEND_S)
        fence = Fence(aggregate="scheduler.lease", seq=lease.seq)
        head = EMPTY_HEAD
        with anyio.fail_after(DEADLINE_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fail_over, servers)
                for _ in range(150):
                    entries = [cycle(head), submission(new_aggregate())]
                    stored = await log.append(entries, fence=fence, deadline_s=APPEND_S)
                    head = stored[0].head
        cycles = await log.load("scheduler.cycle", min_version=150)
        assert [one_cycle.event.version for one_cycle in cycles] == list(range(1, 151))
        await log.append([election(lease.head)], deadline_s=APPEND_S)
        with pytest.raises(Fenced):
            await log.append([cycle(head)], fence=fence, deadline_s=APPEND_S)


async def test_rival_projectors_write_each_change_once(servers: ThreeServers) -> None:
    count = Count(jobs=20, goal=100)
    async with connect(servers.settings) as one, connect(servers.settings) as two:
        with anyio.fail_after(DEADLINE_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(count.project, one.jobs)
                tasks.start_soon(count.project, two.jobs)
                tasks.start_soon(fail_over, servers, names.JOBS)
        await count.verify(one.jobs)
