"""Kills of servers under load, and what every copy holds afterwards."""

import random
from collections.abc import Sequence
from pathlib import Path

import anyio
from tests.jetstream.servers import DEADLINE_S, ThreeServers
from tests.jetstream.workload import Workload

from penstock_jetstream import names
from penstock_jetstream.cluster import Cluster
from penstock_jetstream.replicas import Copy, compare
from penstock_jetstream.server.embedded import EmbeddedServer
from penstock_jetstream.transport import stream_state
from penstock_ports import EventLog
from penstock_testing.events import new_aggregate, submission

LOG_BYTES = 17 << 20
"""More than one block of the server's store, 8 MiB, and more than 16 MiB altogether."""
SETTLE_S = 60.0
PADDING_BYTES = 2000
BATCH_ENTRIES = 100


async def fill(log: EventLog, size_bytes: int) -> None:
    """Append about `size_bytes` of events, in atomic batches."""
    for _ in range(0, size_bytes, BATCH_ENTRIES * PADDING_BYTES):
        entries = [submission(new_aggregate(), padding_bytes=PADDING_BYTES) for _ in range(BATCH_ENTRIES)]
        await log.append(entries, deadline_s=DEADLINE_S)


async def kill_round(servers: ThreeServers, log: EventLog, dice: random.Random, *, victims: int, seed: int) -> int:
    """Kill `victims` servers at once while events are appended, and start them again.

    Return how many events were acknowledged. The workload checks that each of them is there, once and in order.
    """

    async def kill(workload: Workload) -> None:
        await workload.until_more(at_least=50, at_most=400)
        killed = dice.sample(servers.servers, victims)
        for item in killed:
            item.kill()
        if victims == 1:
            await workload.until_more(at_least=1, at_most=200)
        await start_all(killed)
        await workload.until_more(at_least=50, at_most=200)

    after = await log.last_seq(deadline_s=DEADLINE_S)
    workload = Workload(log, seed=seed, after=after)
    await workload.run(kill)
    return len(workload.acknowledged)


async def start_all(servers: Sequence[EmbeddedServer]) -> None:
    """Start servers at the same time: one of a cluster is ready when it has a majority."""
    async with anyio.create_task_group() as tasks:
        for server in servers:
            tasks.start_soon(server.start)


async def compared(cluster: Cluster, servers: ThreeServers, stream: str = names.EVENTS) -> tuple[Copy, ...]:
    """Compare all copies once every server takes part again."""
    with anyio.fail_after(SETTLE_S):
        while True:
            info = await stream_state.info(cluster.connection, stream, deadline_s=DEADLINE_S)
            assert info.cluster is not None
            if all(not replica.offline and replica.current for replica in info.cluster.replicas):
                break
            await anyio.sleep(0.1)
    copies = await compare(cluster.connection, stream)
    assert len(copies) == len(servers.servers)
    return copies


def blocks(servers: ThreeServers, number: int, stream: str = names.EVENTS) -> list[Path]:
    """Return the block files of a server's copy, the oldest first."""
    found = servers.folder(number).glob(f"store/jetstream/*/streams/{stream}/msgs/*.blk")
    return sorted(found, key=lambda path: int(path.stem))


def flip_a_byte(block: Path) -> None:
    """Change one byte in the padding of a submission in the middle of a block, as a failing disk does.

    A changed byte outside of a message's content is noticed when the server starts, and the copy is repaired then.
    """
    content = bytearray(block.read_bytes())
    at = content.index(b"x" * 1000, len(content) // 2)
    content[at + 500] ^= 1
    block.write_bytes(content)
