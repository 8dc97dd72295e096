"""A cluster of three that loses its leader: nothing acknowledged is lost, nothing comes twice."""

from pathlib import Path

from tests.jetstream.servers import three_servers
from tests.jetstream.workload import Workload

from penstock_jetstream import connect


async def test_a_leader_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    async with three_servers(tmp_path) as servers, connect(servers.settings) as cluster:

        async def kill(workload: Workload) -> None:
            for _ in range(2):
                await workload.until_more(least=50, most=1000)
                leader = await servers.leader()
                leader.kill()
                await workload.until_more(least=50, most=300)
                await leader.start()
            await workload.until_more(least=200, most=200)

        await Workload(cluster.log, seed=4).run(kill)
