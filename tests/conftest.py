"""What tests of several parts share: the event loop, and a real nats-server."""

import itertools
from collections.abc import AsyncGenerator, Generator

import pytest
from tests import coverage_gate, tiers

from penstock_jetstream import Cluster, NatsSettings, connect
from penstock_jetstream.server.embedded import EmbeddedServer
from penstock_testing.memory import MemoryCluster

ACCOUNTS = 500
"""More than one session of tests takes."""


class NatsServer:
    """A real server with many accounts, so that each test has separate streams on a common server."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self._accounts = itertools.count()

    def new_settings(self, *, events_max_bytes: int | None = None) -> NatsSettings:
        """Return the way into an account that nobody used yet."""
        return NatsSettings(url=in_account(self.server.url, next(self._accounts)), events_max_bytes=events_max_bytes)


def accounts() -> str:
    """Return a server's configuration with many accounts."""
    lines = (
        f"  TEST{number} {{ jetstream: enabled, users: [{{user: test{number}, password: test}}] }}"
        for number in range(ACCOUNTS)
    )
    return "accounts {\n" + "\n".join(lines) + "\n}"


def in_account(url: str, number: int) -> str:
    """Return the URL with the user of an account."""
    assert number < ACCOUNTS, "raise ACCOUNTS"
    return url.replace("nats://", f"nats://test{number}:test@")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tiers.mark(items)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    coverage_gate.check(session)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if coverage_gate.RESULT in terminalreporter.config.stash:
        terminalreporter.write_line(terminalreporter.config.stash[coverage_gate.RESULT])


@pytest.fixture(autouse=True)
def simulations_are_not_measured(request: pytest.FixtureRequest) -> Generator[None]:
    """Count no lines during a simulation."""
    if request.node.get_closest_marker("simulation"):
        with coverage_gate.paused():
            yield
    else:
        yield


@pytest.fixture(autouse=True)
def unit_tests_start_no_process(request: pytest.FixtureRequest) -> Generator[None]:
    """Keep the unit tier fast: its tests start no process."""
    if tiers.is_unit(request.node):
        with tiers.no_processes():
            yield
    else:
        yield


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def nats_server(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[NatsServer, None]:
    """One server for the whole session. Tests that harm a server start their own.

    It names the backend, so that a test that is no coroutine may be the first one that requests it.
    """
    server = EmbeddedServer(tmp_path_factory.mktemp("nats"), extra=accounts())
    await server.start()
    yield NatsServer(server)
    await server.stop()


@pytest.fixture
def nats_settings(nats_server: NatsServer) -> NatsSettings:
    """The way to a real server that holds nothing yet."""
    return nats_server.new_settings()


@pytest.fixture
async def cluster(nats_settings: NatsSettings) -> AsyncGenerator[Cluster, None]:
    """A connection to a real server that holds nothing yet."""
    async with connect(nats_settings) as cluster:
        yield cluster


@pytest.fixture
def memory_cluster() -> MemoryCluster:
    """The same in a process' memory."""
    return MemoryCluster()
