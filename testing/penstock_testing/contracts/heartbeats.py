"""The contract of heartbeats. A test module subclasses it and provides the fixture `heartbeats`, without any.

The tests that are marked `three_nodes` are worth running on a cluster as well.
"""

import pytest

from penstock_ports import Heartbeats
from penstock_schemas.ids import RunnerId
from penstock_schemas.views import RunnerHeartbeat, SchedulerBeat
from penstock_testing.events import NOW


def heartbeat(name: str, count: int) -> RunnerHeartbeat:
    """Return the heartbeat of a runner."""
    return RunnerHeartbeat(
        runner_id=RunnerId(name), count=count, time=NOW, name=name, slots=4, busy=1, engines={"mock": "1"}
    )


class HeartbeatsContract:
    """What every `Heartbeats` does."""

    @pytest.mark.three_nodes
    async def test_the_last_heartbeat_of_each_runner_counts(self, heartbeats: Heartbeats) -> None:
        """The last heartbeat of each runner counts."""
        assert await heartbeats.runners() == {}
        for name in ("one", "two"):
            await heartbeats.beat(heartbeat(name, 1))
        await heartbeats.beat(heartbeat("one", 2))
        assert await heartbeats.runners() == {"one": heartbeat("one", 2), "two": heartbeat("two", 1)}
        await heartbeats.silence(RunnerId("one"))
        assert await heartbeats.runners() == {"two": heartbeat("two", 1)}
        await heartbeats.silence(RunnerId("one"))

    async def test_the_leader_is_known_until_it_steps_down(self, heartbeats: Heartbeats) -> None:
        """The leader is known until it steps down."""
        assert await heartbeats.scheduler() is None
        beat = SchedulerBeat(holder="a", term=1, count=7, time=NOW)
        await heartbeats.beat_scheduler(beat)
        assert await heartbeats.scheduler() == beat
        assert await heartbeats.runners() == {}
        await heartbeats.silence_scheduler()
        assert await heartbeats.scheduler() is None
