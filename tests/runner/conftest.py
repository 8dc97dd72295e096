"""A runner on the in-memory cluster, and the desk that gives it orders."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from tests.runner.runner_harness import Desk

from penstock_execution.engine import Engine
from penstock_jetstream import Cluster
from penstock_ports import Blobs, EventLog, Heartbeats, LogTail, TaskStore
from penstock_runner.remote_sources.runner_sources import RunnerSources
from penstock_runner.runner import Ports, Runner, new_runner_id
from penstock_runner.session import RunnerConfig, Shutdown
from penstock_runner.state_folder import StateFolder
from penstock_runtime.runtime import SYSTEM, Runtime
from penstock_sources.egress.addresses import SourceHosts
from penstock_sources.remote.mirrors import Mirror
from penstock_testing.memory import MemoryBlobs, MemoryCluster

TERMS = RunnerConfig(
    name="test", slots=2, labels={}, host="here", software_version="0", lease_s=8.0, drain_timeout_s=30.0
)


class Stage:
    """What a test starts runners on."""

    def __init__(self, cluster: MemoryCluster | Cluster, folder: Path) -> None:
        self.log: EventLog = cluster.log
        self.tasks: TaskStore = cluster.tasks
        self.logs: LogTail = cluster.logs
        self.heartbeats: Heartbeats = cluster.heartbeats
        self.blobs: Blobs = MemoryBlobs()
        self.folder = folder
        self.desk = Desk(self.log)
        self.roots: tuple[Path, ...] = ()
        self.keep_work = False
        self.upload_retry_s = 1.0
        self.mirrors: tuple[Mirror, ...] = ()

    @asynccontextmanager
    async def runner(
        self, *engines: Engine, terms: RunnerConfig = TERMS, runtime: Runtime = SYSTEM
    ) -> AsyncGenerator[Shutdown]:
        """Run a runner; request its immediate end afterwards."""
        shutdown = Shutdown()
        ports = Ports(log=self.log, tasks=self.tasks, logs=self.logs, heartbeats=self.heartbeats, blobs=self.blobs)
        folder = StateFolder(self.folder)
        runner = Runner(
            new_runner_id(terms.name),
            terms,
            ports,
            engines,
            folder,
            roots=self.roots,
            keep_work=self.keep_work,
            remote_sources=RunnerSources(SourceHosts(), self.mirrors, self.blobs, folder.root),
            upload_retry_s=self.upload_retry_s,
            runtime=runtime,
        )
        with folder.hold():
            async with anyio.create_task_group() as group:
                group.start_soon(runner.run, shutdown)
                yield shutdown
                shutdown.request()
                shutdown.request()


@pytest.fixture
def stage(memory_cluster: MemoryCluster, tmp_path: Path) -> Stage:
    return Stage(memory_cluster, tmp_path / "state")
