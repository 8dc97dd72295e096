from collections.abc import AsyncGenerator
from typing import Protocol

import pytest
from tests.conftest import accounts
from tests.jetstream.servers import ThreeServers, three_servers

from penstock_jetstream import NatsSettings, connect
from penstock_ports import EventLog, Heartbeats, JobsView, LiveFeed, LogTail, Plans, Snapshots, TaskStore
from penstock_ports.work_files import WorkFiles
from penstock_testing.memory import MemoryCluster


class Ports(Protocol):
    """What every cluster has."""

    @property
    def log(self) -> EventLog: ...
    @property
    def jobs(self) -> JobsView: ...
    @property
    def live(self) -> LiveFeed: ...
    @property
    def tasks(self) -> TaskStore: ...
    @property
    def logs(self) -> LogTail: ...
    @property
    def heartbeats(self) -> Heartbeats: ...
    @property
    def plans(self) -> Plans: ...
    @property
    def work_files(self) -> WorkFiles: ...
    @property
    def snapshots(self) -> Snapshots: ...


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "three_nodes: a contract that is checked on a cluster of three as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, unless `-m stores` requests them, the tests whose server `make stores` installs."""
    if "stores" in (config.getoption("markexpr") or ""):
        return
    left_out = [item for item in items if item.get_closest_marker("stores")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "ports_settings" in metafunc.fixturenames:
        kinds = ["memory", "one node"]
        if metafunc.definition.get_closest_marker("three_nodes") is not None:
            kinds.append("three nodes")
        metafunc.parametrize("ports_settings", kinds, indirect=True)


@pytest.fixture(scope="module")
async def three_nodes(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[ThreeServers, None]:
    """A cluster that no test harms.

    It ends with each module: every stream that a test made sends heartbeats between the three for as long as it exists,
    which together takes a quarter of a core.
    """
    async with three_servers(tmp_path_factory.mktemp("three"), extra=accounts()) as servers:
        yield servers


@pytest.fixture
def ports_settings(request: pytest.FixtureRequest) -> NatsSettings | None:
    """How to reach each kind of cluster; `None` for the one in memory."""
    match request.param:
        case "memory":
            return None
        case "one node":
            settings: NatsSettings = request.getfixturevalue("nats_settings")
            return settings
        case _:
            three: ThreeServers = request.getfixturevalue("three_nodes")
            return three.new_settings()


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
