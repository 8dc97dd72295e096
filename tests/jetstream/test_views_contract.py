"""The contracts of tasks, log tails, heartbeats, snapshots and the live feed, in memory and on real servers."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast

import anyio
import nats
import pytest
from nats.aio.msg import Msg
from tests.jetstream.conftest import Ports

from penstock_jetstream import NatsSettings, names
from penstock_ports import Heartbeats, LiveFeed, LogTail, Snapshots, TaskStore
from penstock_testing.contracts.heartbeats import HeartbeatsContract
from penstock_testing.contracts.live_feed import LiveFeedContract, Received
from penstock_testing.contracts.log_tail import LogTailContract
from penstock_testing.contracts.snapshots import SnapshotsContract
from penstock_testing.contracts.task_store import TaskStoreContract
from penstock_testing.memory.progress import MemoryLive

DEADLINE_S = 20.0


class TestTaskStore(TaskStoreContract):
    @pytest.fixture
    def store(self, ports: Ports) -> TaskStore:
        return ports.tasks


class TestLogTail(LogTailContract):
    @pytest.fixture
    def tail(self, ports: Ports) -> LogTail:
        return ports.logs


class TestHeartbeats(HeartbeatsContract):
    @pytest.fixture
    def heartbeats(self, ports: Ports) -> Heartbeats:
        return ports.heartbeats


class TestSnapshots(SnapshotsContract):
    @pytest.fixture
    def snapshots(self, ports: Ports) -> Snapshots:
        return ports.snapshots


class TestLiveFeed(LiveFeedContract):
    @pytest.fixture
    def live(self, ports: Ports) -> LiveFeed:
        return ports.live

    @pytest.fixture
    async def received(self, ports: Ports, ports_settings: NatsSettings | None) -> AsyncGenerator[Received]:
        if ports_settings is None:
            yield lambda count: _of_memory(cast("MemoryLive", ports.live), count)
            return
        client: Any = await cast("Any", nats).connect(ports_settings.url)
        subscription = await client.subscribe(f"{names.LIVE_PREFIX}>")
        await client.flush()
        yield lambda count: _of_subscription(subscription.next_msg, count)
        await client.close()


async def _of_memory(live: MemoryLive, count: int) -> list[int]:
    return [stored.seq for stored in live.published[:count]]


async def _of_subscription(next_message: Callable[[float], Awaitable[Msg]], count: int) -> list[int]:
    with anyio.fail_after(DEADLINE_S):
        received = [await next_message(DEADLINE_S) for _ in range(count)]
    return [int((message.headers or {})[names.SEQ]) for message in received]
