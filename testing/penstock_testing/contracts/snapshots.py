"""The contract of snapshots. A test module subclasses it and provides the fixture `snapshots`, without any.

The tests that are marked `three_nodes` are worth running on a cluster as well.
"""

import anyio
import pytest

from penstock_ports import Snapshots


class SnapshotsContract:
    """What every `Snapshots` does."""

    @pytest.mark.three_nodes
    async def test_a_snapshot_takes_the_place_of_the_last_one(self, snapshots: Snapshots) -> None:
        """A snapshot takes the place of the last one."""
        assert await snapshots.load("scheduler") is None
        large = bytes(range(256)) * 12_000
        await snapshots.save("scheduler", 10, large)
        assert await snapshots.load("scheduler") == (10, large)
        await snapshots.save("scheduler", 20, b"small")
        await snapshots.save("other", 1, b"")
        assert await snapshots.load("scheduler") == (20, b"small")
        assert await snapshots.load("other") == (1, b"")

    async def test_of_snapshots_saved_at_once_one_is_whole(self, snapshots: Snapshots) -> None:
        """Of snapshots saved at once one is whole."""
        chunk_count = 3
        states = {seq: bytes([seq]) * (chunk_count * 512 * 1024) for seq in range(1, 5)}
        for _ in range(4):
            async with anyio.create_task_group() as savers:
                for seq, state in states.items():
                    savers.start_soon(snapshots.save, "scheduler", seq, state)
            kept = await snapshots.load("scheduler")
            assert kept is not None
            assert kept[1] == states[kept[0]]
