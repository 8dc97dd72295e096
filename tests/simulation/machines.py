"""Simulated machines, each with one production process on it: scheduler, projector, runner, gateway."""

from asyncio import Task
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, cast

import anyio
from tests.simulation.invariants import KEPT
from tests.simulation.ports import SimulatedCluster
from tests.simulation.world import Machine, World

from penstock_domain.access import JobVisibility
from penstock_execution.engine import Attempt, Emit, LogWritten, Outcome, RemainingLease
from penstock_execution.workspace import RunnerStorage
from penstock_gateway.catalogue.registry import Catalogue
from penstock_gateway.index.change_notifier import ChangeNotifier
from penstock_gateway.index.feeder import IndexFeeder
from penstock_gateway.index.index import Index
from penstock_gateway.jobs.core.admission import SubmissionPolicy
from penstock_gateway.jobs.engine_directory import EngineDirectory
from penstock_gateway.jobs.jobs import Jobs
from penstock_gateway.jobs.submission.submissions import JobAppends, Submissions
from penstock_gateway.maintenance.deletions import Deletions
from penstock_gateway.maintenance.retention import Retention, RetentionPolicy
from penstock_projector.projector import Projector
from penstock_runner.runner import Ports, Runner, new_runner_id
from penstock_runner.session import RunnerConfig, Shutdown
from penstock_runner.state_folder import StateFolder
from penstock_runtime.background import BackgroundTasks
from penstock_scheduler.scheduler import Scheduler
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.ids import JobId, RunnerId
from penstock_schemas.jobs import Failure, FailureCause
from penstock_schemas.views import LogStream
from penstock_sources.staging.source_staging import SourceStaging

MAX_CACHED_JOBS: Final = 3
"""Of a projector: so few that it reads jobs from the view again."""
MAX_WORK_S: Final = 25.0


class Service(Machine):
    """A machine whose one process ends when `serve` ends."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.world = world
        self.cluster = SimulatedCluster(world, self)
        self.has_ended = False
        self.scopes: list[anyio.CancelScope] = []
        self.tasks: list[Task[object]] = []

    def begin(self) -> None:
        """Start the process."""
        self.start(self._run)

    def start(self, work: Callable[[], Awaitable[object]]) -> None:
        """Start one more task of the process."""

        async def run() -> None:
            with anyio.CancelScope() as scope:
                self.scopes.append(scope)
                await work()

        self.tasks.append(self.process.start(run))

    def stop(self) -> None:
        """Cancel everything it does, as SIGTERM does."""
        for scope in self.scopes:
            self.process.call_soon(scope.cancel)

    @property
    def is_alive(self) -> bool:
        """Whether the process exists."""
        return self.process.is_alive and not self.has_ended

    def crash(self) -> None:
        """Kill it with SIGKILL, between any two steps."""
        self.process.kill()

    async def serve(self) -> None:
        """Do the process's work until it ends."""
        raise NotImplementedError

    async def _run(self) -> None:
        try:
            await self.serve()
        except Exception as error:  # noqa: BLE001  # the boundary of a process
            self.world.note_fault(type(self).__name__, error)
        finally:
            self.has_ended = True


class SchedulerMachine(Service):
    """A scheduler."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.scheduler = Scheduler(self.cluster, holder=f"s-{self.runtime.new_id()[-8:]}", runtime=self.runtime)

    async def serve(self) -> None:
        """Schedule."""
        await self.scheduler.run()


class ProjectorMachine(Service):
    """A projector."""

    async def serve(self) -> None:
        """Project."""
        await Projector(self.cluster, max_cached_jobs=MAX_CACHED_JOBS).run()


class SimulatedEngine:
    """An engine whose attempts take a random time; what it runs dies with the lease, regardless of the runner."""

    name = "mock"
    version = "1"

    def __init__(self, world: World, runner: str) -> None:
        self._world = world
        self._runner = RunnerId(runner)
        self.work: dict[JobId, int] = {}
        """The attempts whose processes exist."""
        self._until_s = 0.0

    async def __aenter__(self) -> "SimulatedEngine":
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.kill_all()

    def workspaces(self, storage: RunnerStorage) -> None:
        """Have no files."""

    def extend_lease(self, remaining_s: RemainingLease) -> None:
        """Let attempts run for the rest of the lease."""
        left_s = remaining_s()
        self._until_s = until_s = self._world.loop.time() + left_s
        # Compared with the same number: the loop's time may differ from it by a rounding.
        self._world.after(max(0.0, left_s), lambda: self._kill_at_the_end_of_the_lease(until_s))

    async def run(self, attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
        """Work for a random time; end as the seed decides."""
        world, job_id, number = self._world, attempt.job_id, attempt.attempt
        if world.loop.time() >= self._until_s:
            raise RuntimeError("the lease ended before the attempt's process began")
        ends_well, lasts_s = world.random.random() < 0.8, world.random.random() ** 2 * MAX_WORK_S
        self.work[job_id] = number
        world.check(lambda: world.invariants.work_begins(job_id, self._runner, number))
        emit(LogWritten(stream=LogStream.ENGINE, text="begun\n"))
        try:
            with anyio.move_on_after(lasts_s):
                await stop.wait()
                return Outcome(kind=OutcomeKind.STOPPED)
            if self.work.get(job_id) != number:
                raise RuntimeError("the attempt's process was killed")
        finally:
            self.end(job_id, number)
        if ends_well:
            return Outcome(kind=OutcomeKind.SUCCEEDED)
        failure = Failure(cause=FailureCause.WORKFLOW, message="the seed decided so")
        return Outcome(kind=OutcomeKind.FAILED, failure=failure)

    def end(self, job_id: JobId, attempt: int) -> None:
        """Note that an attempt's process is gone."""
        if self.work.get(job_id) == attempt:
            del self.work[job_id]
            self._world.invariants.work_ends(job_id)

    def kill_all(self) -> None:
        """Kill every attempt's process."""
        for job_id, attempt in list(self.work.items()):
            self.end(job_id, attempt)

    def _kill_at_the_end_of_the_lease(self, until_s: float) -> None:
        if until_s == self._until_s:  # it was not renewed
            self.kill_all()


class RunnerMachine(Service):
    """A runner; what it runs dies shortly after it when it is killed."""

    def __init__(self, world: World, name: str, slots: int, folder: Path, lease_s: float) -> None:
        super().__init__(world)
        self.name, self.slots, self.folder, self.lease_s = name, slots, folder, lease_s
        self.id = new_runner_id(name, self.runtime)
        self.engine = SimulatedEngine(world, self.id)
        self.shutdown: Shutdown | None = None
        world.runners[self.id] = self.engine

    def crash(self) -> None:
        """Kill it: its work dies by the signal that its parent's death sends."""
        super().crash()
        self.world.after(self.world.random.random() * 0.5, self.engine.kill_all)

    async def serve(self) -> None:
        """Run attempts until it must leave."""
        self.shutdown = Shutdown()
        config = RunnerConfig(
            name=self.name,
            slots=self.slots,
            labels={},
            host=self.name,
            software_version="0",
            lease_s=self.lease_s,
            drain_timeout_s=5.0,
            cores=2,
            gpus=("0", "1"),
        )
        cluster = self.cluster
        ports = Ports(
            log=cluster.log,
            tasks=cluster.tasks,
            logs=cluster.logs,
            heartbeats=cluster.heartbeats,
            blobs=cluster.blobs,
        )
        folder = StateFolder(self.folder)
        await Runner(self.id, config, ports, (self.engine,), folder, runtime=self.runtime).run(self.shutdown)

    def leave(self) -> None:
        """Request that it leaves; a second request makes it leave at once."""
        if self.shutdown is not None:
            self.process.call_soon(self.shutdown.request)


class GatewayMachine(Service):
    """A gateway without HTTP: submissions, commands to jobs, deletion and retention."""

    def __init__(self, world: World, folder: Path) -> None:
        super().__init__(world)
        self.folder = folder
        cluster, watchers = self.cluster, ChangeNotifier()
        self.index = Index(folder / "index.sqlite3", boot_id="0", view=cluster.jobs, watchers=watchers)
        self.engines = EngineDirectory(cluster.heartbeats, runtime=self.runtime)
        self.catalogue = Catalogue(cluster.log, runtime=self.runtime)
        self.submissions = Submissions(
            appends=JobAppends(log=cluster.log, blobs=cluster.blobs, index=self.index, runtime=self.runtime),
            blobs=cluster.blobs,
            engine_directory=self.engines,
            catalogue=self.catalogue,
            staging=cast("SourceStaging", None),  # no simulated job has files
            policy=SubmissionPolicy(mock_unknown_pipelines=True),
            runtime=self.runtime,
        )
        self.jobs = Jobs(
            visibility=JobVisibility.OWN,
            log=cluster.log,
            tasks=cluster.tasks,
            index=self.index,
            watchers=watchers,
            runtime=self.runtime,
        )
        self.deletions = Deletions(
            jobs=self.jobs,
            event_log=cluster.log,
            blobs=cluster.blobs,
            tasks=cluster.tasks,
            logs=cluster.logs,
            index=self.index,
            runtime=self.runtime,
        )
        policy = RetentionPolicy(completed_days=KEPT.days, failed_days=KEPT.days, cancelled_days=KEPT.days)
        self.retention = Retention(policy, index=self.index, deletions=self.deletions, runtime=self.runtime)

    async def serve(self) -> None:
        """Do what a gateway does beside answering requests."""
        background = BackgroundTasks(clock=self.runtime.monotonic)
        duties: dict[str, Callable[[], Awaitable[object]]] = {
            "index": IndexFeeder(self.index).run,
            "engines": self.engines.run,
            "catalogue": self.catalogue.run,
            "deletions": self.deletions.run,
            "retention": self.retention.run,
        }
        async with anyio.create_task_group() as group:
            for name, duty in duties.items():
                group.start_soon(partial(background.keep, name, duty))
