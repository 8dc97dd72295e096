"""Two schedulers that save at once, step by step: the worst interleaving leaves a whole state."""

import anyio
import pytest

from penstock_jetstream import Cluster, names
from penstock_jetstream.adapters.snapshots import JetStreamSnapshots
from penstock_jetstream.transport import stream_reads
from penstock_jetstream.transport.messages import Message


async def test_a_save_that_was_overtaken_changes_nothing(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, quick = JetStreamSnapshots(cluster.connection), JetStreamSnapshots(cluster.connection)
    await quick.save("scheduler", 1, b"first")
    await save_with_another_between(monkeypatch, slow, quick)
    assert await quick.load("scheduler") == (20, b"quick")
    held = await stream_reads.read(cluster.connection, names.SNAPSHOTS, names.SNAPSHOTS_PREFIX + ">", deadline_s=5)
    assert len(held) == 2, "one manifest, one piece: what lost is cleared away"


async def save_with_another_between(
    monkeypatch: pytest.MonkeyPatch, slow: JetStreamSnapshots, quick: JetStreamSnapshots
) -> None:
    """Let `quick` save between the pieces of `slow` and its manifest."""
    stored, overtaken = anyio.Event(), anyio.Event()
    original = slow._store  # pyright: ignore[reportPrivateUsage]  # there is no public seam between two steps of a save

    async def store(messages: list[Message]) -> None:
        await original(messages)
        stored.set()
        await overtaken.wait()

    monkeypatch.setattr(slow, "_store", store)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slow.save, "scheduler", 10, b"slow")
        await stored.wait()
        await quick.save("scheduler", 20, b"quick")
        overtaken.set()
