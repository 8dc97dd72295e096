"""The runner: one session after the other, on one folder, with the same engines."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import structlog
from anyio.abc import TaskGroup
from msgspec import Struct

from penstock_execution.engine import Engine
from penstock_execution.local_workspace import LocalWorkspaces
from penstock_execution.processes.orphan_processes import sweep
from penstock_execution.provisioning import Provider
from penstock_execution.workspace import RunnerStorage, Workspaces
from penstock_ports import Blobs, EventLog, Heartbeats, JobsView, LogTail, Plans, TaskStore
from penstock_ports.work_files import WorkFiles
from penstock_runner.attempts.dependencies import AttemptDependencies
from penstock_runner.attempts.planning import Planner
from penstock_runner.attempts.reporting import Reports
from penstock_runner.attempts.upload_retries import UPLOAD_RETRY_S
from penstock_runner.attempts.uploads import Uploads
from penstock_runner.core.kept_work import KeepPolicy
from penstock_runner.engines import planning_engines
from penstock_runner.housekeeping import Housekeeping
from penstock_runner.kept_work import KeptWorkspaces
from penstock_runner.ready_engines import ReadyEngine, ready_engines
from penstock_runner.registration import RunnerRegistration
from penstock_runner.remote_sources.runner_sources import RunnerSources
from penstock_runner.session import RunnerConfig, RunnerSession, SessionEnd, Shutdown
from penstock_runner.state_folder import Predecessor, StateFolder
from penstock_runner.work_files import WorkFileServer
from penstock_runtime.background import BackgroundTasks
from penstock_runtime.engine_plugins import installed_engines
from penstock_runtime.runtime import SYSTEM, Runtime
from penstock_schemas.ids import RunnerId
from penstock_sources.egress.addresses import SourceHosts
from penstock_sources.workspace.sources import Sources

REJOIN_PAUSES_S: Final = (0.0, 1.0, 5.0, 10.0)
"""Before the next session, after so many that ended by a fault in a row."""

_log = structlog.stdlib.get_logger()


class Ports(Struct, frozen=True, kw_only=True):
    """What a runner is connected to."""

    log: EventLog
    tasks: TaskStore
    logs: LogTail
    heartbeats: Heartbeats
    blobs: Blobs
    plans: Plans | None = None
    """`None`: it makes no plans."""
    work_files: WorkFiles | None = None
    """`None`: it serves no files of work directories."""
    jobs: JobsView | None = None
    """`None`: it keeps the folders of deleted jobs."""


class Runner:
    """Runs attempts until a stop is requested.

    Args:
        runner_id: of its first session. Its engines' processes must carry it in their environment, as
            `RUNNER_MARKER`: by it a successor finds what this process may leave behind.
        terms: what it is, and how long things may take.
        ports: what it is connected to.
        engines: what it can run; they are made ready and stopped here. One that fails is left out.
        providers: what its engines use to prepare software and files; they are made ready and stopped here.
        folder: its folder on the local disk, held by the caller.
        roots: the folders below which a source may be a path.
        cores: for each attempt.
        keep_work: whether work directories stay after their jobs ended.
        keep: for how long, and up to which size, those of failed jobs stay otherwise.
        remote_sources: provides files of other hosts.
        upload_retry_s: how long results that the blob store does not take are kept and offered again.
        runtime: the clocks and the source of ids.

    """

    def __init__(
        self,
        runner_id: RunnerId,
        terms: RunnerConfig,
        ports: Ports,
        engines: Sequence[Engine],
        folder: StateFolder,
        *,
        providers: Sequence[Provider] = (),
        roots: Sequence[Path] = (),
        cores: int = 1,
        keep_work: bool = False,
        keep: KeepPolicy | None = None,
        remote_sources: RunnerSources | None = None,
        upload_retry_s: float = UPLOAD_RETRY_S,
        runtime: Runtime = SYSTEM,
    ) -> None:
        self._first_id = runner_id
        self._terms = terms
        self._ports = ports
        self._engines = tuple(engines)
        self._providers = tuple(providers)
        self._folder = folder
        self._cores = cores
        self._keep_work = keep_work
        self._keep = keep or KeepPolicy()
        self._upload_retry_s = upload_retry_s
        self._remote_sources = remote_sources or RunnerSources(SourceHosts(), (), ports.blobs, folder.root)
        self._runtime = runtime
        self._background = BackgroundTasks(clock=runtime.monotonic)
        self._uploads = Uploads(ports.blobs)
        self._local = _local_workspaces(folder, ports, roots, engine=None)
        self._roots = tuple(roots)
        self._reports = Reports(ports.tasks, ports.logs, self._uploads, runtime=runtime)

    async def run(self, shutdown: Shutdown) -> None:
        """Work until `shutdown` is requested. When it returns, nothing of its work runs any more.

        Raises:
            OrphansRemain: processes of a killed predecessor could not be ended, so nothing may be started.
            EngineFault: no engine becomes ready.

        """
        predecessor = self._folder.predecessor()
        if predecessor is not None:
            killed = await anyio.to_thread.run_sync(sweep, predecessor.marker)
            _log.info("predecessor_found", runner_id=predecessor.runner_id, killed=killed)
        if not self._keep_work:
            discarded = await anyio.to_thread.run_sync(
                lambda: self._local.discard_abandoned(now_s=self._runtime.now().timestamp())
            )
            if discarded:
                _log.info("abandoned_work_discarded", folders=discarded)
        await self._remote_sources.prepare()
        async with AsyncExitStack() as stack:
            for provider in self._providers:
                await stack.enter_async_context(provider)
            ready = ready_engines(self._engines, self._workspaces_of, shutdown.requested)
            engines = await stack.enter_async_context(ready)
            async with anyio.create_task_group() as group:
                kept = KeptWorkspaces(
                    self._folder.root, self._keep, partial(_workspaces_by_engine, engines), runtime=self._runtime
                )
                self._start_background_tasks(group, engines, kept)
                await self._run_sessions(partial(self._dependencies, engines, kept), shutdown, predecessor)
                group.cancel_scope.cancel()

    def _start_background_tasks(
        self, group: TaskGroup, engines: Mapping[str, ReadyEngine], kept: KeptWorkspaces
    ) -> None:
        group.start_soon(self._background.keep, "reports", self._reports.run)
        group.start_soon(self._background.keep, "kept work", kept.run)
        if self._ports.work_files is not None:
            server = WorkFileServer(partial(_workspaces_by_engine, engines), kept)
            files = partial(self._ports.work_files.serve, self._terms.name, server.answer)
            group.start_soon(self._background.keep, "work files", files)
        if self._ports.plans is not None:
            planner = Planner(planning_engines(installed_engines(), engines), self._remote_sources, cores=self._cores)
            plans = partial(self._ports.plans.serve, planner.engines, planner.answer)
            group.start_soon(self._background.keep, "plans", plans)
        if self._ports.jobs is not None:
            workspaces = [engine.workspaces for engine in engines.values() if engine.workspaces is not None]
            elsewhere = [item for item in workspaces if not isinstance(item, LocalWorkspaces)]
            housekeeping = Housekeeping(self._ports.jobs, (self._local, *elsewhere))
            group.start_soon(self._background.keep, "housekeeping", housekeeping.run)

    def _workspaces_of(self, engine: Engine) -> Workspaces | None:
        local = _local_workspaces(self._folder, self._ports, self._roots, engine=engine.name)
        return engine.workspaces(RunnerStorage(local=local, blobs=self._ports.blobs))

    async def _run_sessions(
        self,
        dependencies: Callable[[RunnerId], AttemptDependencies],
        shutdown: Shutdown,
        predecessor: Predecessor | None,
    ) -> None:
        """Run one session after the other."""
        runner_id = self._first_id
        faults = 0
        is_crash = True  # a predecessor that is found at the start is a process that ended without leaving
        while not shutdown.requested.is_set():
            await _unless(shutdown, self._close_predecessor, predecessor, is_crash)
            predecessor = Predecessor(runner_id=runner_id, marker=self._first_id)
            await anyio.to_thread.run_sync(self._folder.remember, predecessor)
            session = RunnerSession(self._terms, dependencies(runner_id), self._ports.heartbeats, shutdown)
            try:
                ending = await session.run()
            except Exception as error:  # noqa: BLE001 - the boundary of a session: the next one starts again
                _log.error("session_fault", runner_id=runner_id, exc_info=error)
                ending, faults, is_crash = SessionEnd.FENCED, faults + 1, True
            else:
                faults, is_crash = 0, False
            if ending is SessionEnd.LEFT:
                return
            runner_id = new_runner_id(self._terms.name, self._runtime)
            await _unless(shutdown, anyio.sleep, REJOIN_PAUSES_S[min(faults, len(REJOIN_PAUSES_S) - 1)])

    async def _close_predecessor(self, predecessor: Predecessor | None, is_crash: bool) -> None:
        """Record that none of the work of the session before this one is running: its jobs can go on at once."""
        if predecessor is not None:
            reason = "its process ended; all of its work was killed" if is_crash else "all of its work was killed"
            registration = RunnerRegistration(self._ports.log, predecessor.runner_id, runtime=self._runtime)
            await registration.leave(reason, is_crash=is_crash)

    def _dependencies(
        self, engines: Mapping[str, ReadyEngine], kept: KeptWorkspaces, runner_id: RunnerId
    ) -> AttemptDependencies:
        return AttemptDependencies(
            runner_id=runner_id,
            log=self._ports.log,
            engines=engines,
            uploads=self._uploads,
            remote_sources=self._remote_sources,
            reports=self._reports,
            cores=self._cores,
            keep_work=self._keep_work,
            kept=kept,
            upload_retry_s=self._upload_retry_s,
            runtime=self._runtime,
        )


def _local_workspaces(
    folder: StateFolder, ports: Ports, roots: Sequence[Path], *, engine: str | None
) -> LocalWorkspaces:
    """Return the workspaces on this disk, with the reserved folders of an engine; `None`: nothing is staged in them."""
    reserved = installed_engines().reserved_folders(engine)
    return LocalWorkspaces(folder.root, Sources(ports.blobs, roots, reserved=reserved))


def _workspaces_by_engine(engines: Mapping[str, ReadyEngine]) -> Mapping[str, Workspaces]:
    """Return the workspaces of the engines that have files, by the names of the engines."""
    return {name: engine.workspaces for name, engine in engines.items() if engine.workspaces is not None}


def new_runner_id(name: str, runtime: Runtime = SYSTEM) -> RunnerId:
    """Return the id of the next session of the runner `name`."""
    return RunnerId(f"{name}-{runtime.new_id()[:8]}")


async def _unless(shutdown: Shutdown, work: Callable[..., Awaitable[object]], *args: object) -> None:
    """Do `work` until it is done or `shutdown` is requested."""

    async def watch(scope: anyio.CancelScope) -> None:
        await shutdown.requested.wait()
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(watch, group.cancel_scope)
        await work(*args)
        group.cancel_scope.cancel()
