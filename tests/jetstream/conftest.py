from collections.abc import AsyncGenerator
from typing import Protocol

import pytest

from penstock_core.memory import MemoryCluster
from penstock_core.ports import EventLog, Heartbeats, JobsView, LiveFeed, LogTail, Snapshots, TaskBoard
from penstock_jetstream import NatsSettings, connect


class Ports(Protocol):
    """What every cluster has."""

    @property
    def log(self) -> EventLog: ...
    @property
    def jobs(self) -> JobsView: ...
    @property
    def live(self) -> LiveFeed: ...
    @property
    def tasks(self) -> TaskBoard: ...
    @property
    def logs(self) -> LogTail: ...
    @property
    def heartbeats(self) -> Heartbeats: ...
    @property
    def snapshots(self) -> Snapshots: ...


@pytest.fixture(params=["memory", "one node"])
def ports_settings(request: pytest.FixtureRequest) -> NatsSettings | None:
    """How to reach each kind of cluster; `None` for the one in memory."""
    if request.param == "memory":
        return None
    settings: NatsSettings = request.getfixturevalue("nats_settings")
    return settings


@pytest.fixture
async def ports(ports_settings: NatsSettings | None) -> AsyncGenerator[Ports, None]:
    """Each way to fill the ports."""
    if ports_settings is None:
        yield MemoryCluster()
        return
    async with connect(ports_settings) as cluster:
        yield cluster


@pytest.fixture
def log(ports: Ports) -> EventLog:
    return ports.log
