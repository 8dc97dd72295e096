"""The contract of engines. A test module subclasses it, provides the fixture `engine` and the workflows.

    class TestShell(EngineContract):
        descriptor = DESCRIPTOR

        @pytest.fixture
        async def engine(self) -> AsyncIterator[Engine]: ...

        def succeeding(self) -> Workflow: ...

Sources are staged through the engine's own workspaces, as a runner stages them; nothing here assumes a local path.
"""

import hashlib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import anyio
from msgspec import Struct, json

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.registry import EngineRegistry
from penstock_domain.lease import KILL_S
from penstock_execution.engine import (
    Attempt,
    CountsChanged,
    Engine,
    EngineEvent,
    EngineFault,
    LogWritten,
    Outcome,
    TaskChanged,
)
from penstock_execution.local_workspace import LocalWorkspace, LocalWorkspaces
from penstock_execution.workspace import RunnerStorage, Workspace
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import FailureCause, Parameters, Source, SourceKind
from penstock_schemas.views import Task, TaskState
from penstock_sources.workspace.sources import Sources
from penstock_testing.memory import MemoryBlobs

DEADLINE_S: Final = 60.0
"""For one attempt, on a loaded machine."""
STOP_S: Final = 2.0
"""The port: a stopped attempt ends within this time."""
LOAD_FACTOR: Final = 10.0
"""A loaded machine may take so many times longer; more shows that the engine did not react at all."""
LOOK_PAUSE_S: Final = 0.02
"""Between two looks at a workspace."""
_numbers = itertools.count(1)
"""Of the jobs: an engine may keep the files of one until it is removed."""
ENDED: Final = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED})


class Workflow(Struct, frozen=True, kw_only=True):
    """A workflow for the contract."""

    files: Mapping[str, str] = {}
    """The texts of its source, by their paths."""
    parameters: Parameters = {}
    entrypoint: str | None = None
    outputs: Mapping[str, bytes] = {}
    """The outputs of a successful run, by their paths."""
    marker: str | None = None
    """A file in the work directory that exists once the workflow's own code runs; `None`: the engine runs none."""


class Recorder:
    """Records what an engine emits, and that it emits nothing after its end."""

    def __init__(self) -> None:
        self.events: list[EngineEvent] = []
        self.is_over = False

    def __call__(self, event: EngineEvent) -> None:
        """Record an event."""
        assert not self.is_over, f"an event after the end of the attempt: {event}"
        self.events.append(event)

    @property
    def tasks(self) -> dict[str, list[Task]]:
        """The views of each task, in order, by its id."""
        found: dict[str, list[Task]] = {}
        for event in self.events:
            if isinstance(event, TaskChanged):
                found.setdefault(event.task.id, []).append(event.task)
        return found


class Place:
    """The workspace of one attempt of a workflow, and what a runner would use to fill it."""

    def __init__(self, engine: Engine, root: Path) -> None:
        self._engine = engine
        self._blobs = MemoryBlobs()
        local = LocalWorkspaces(
            root, Sources(self._blobs, (), reserved=installed_engines().reserved_folders(engine.name))
        )
        self.workspaces = engine.workspaces(RunnerStorage(local=local, blobs=self._blobs))
        self.workspace: Workspace | None = None
        self._is_staged = False
        self.job_id = JobId(f"contract-{next(_numbers)}")

    async def source_of(self, workflow: Workflow) -> Source:
        """Store the files of a workflow, as a submission does; return the source."""
        raw = json.encode({"files": {path: {"text": text} for path, text in workflow.files.items()}})
        await self._blobs.put_bytes("bundle", raw)
        return Source(kind=SourceKind.BUNDLE, location="bundle", sha256=hashlib.sha256(raw).hexdigest())

    async def stage(self, workflow: Workflow, *, is_dry: bool = False) -> None:
        """Stage the files of a workflow, once."""
        if self.workspaces is not None and not self._is_staged:
            workspaces = self.workspaces
            self.workspace = workspaces.of_plan(self.job_id) if is_dry else workspaces.of_attempt(self.job_id, 1)
            staged = await self.workspace.stage(await self.source_of(workflow))
            assert not staged.is_resumed
            self._is_staged = True

    async def run(
        self, workflow: Workflow, seen: Recorder, stop: anyio.Event | None = None, *, is_dry: bool = False
    ) -> Outcome:
        """Stage the workflow and run it to its end."""
        await self.stage(workflow, is_dry=is_dry)
        attempt = Attempt(
            job_id=self.job_id,
            tenant=DEFAULT_TENANT,
            attempt=1,
            pipeline_name="contract",
            parameters=workflow.parameters,
            workspace=self.workspace,
            entrypoint=workflow.entrypoint,
            is_dry=is_dry,
        )
        outcome = await self._engine.run(attempt, seen, stop or anyio.Event())
        seen.is_over = True
        return outcome

    async def has(self, name: str) -> bool:
        """Return whether there is a file in the work directory."""
        if self.workspace is None or not self._is_staged:
            return False
        return name in {entry.name for entry in await self.workspace.entries()}

    async def wait_until_running(self, seen: Recorder, workflow: Workflow) -> None:
        """Wait until the workflow's own code runs."""
        while not (await self.has(workflow.marker) if workflow.marker is not None else seen.events):  # noqa: ASYNC110
            await anyio.sleep(LOOK_PAUSE_S)


class EngineContract:
    """What the runner relies on."""

    descriptor: EngineDescriptor
    runs_without_runner: bool = True
    """Whether work continues while the runner's process is stopped; then the engine ends it with the lease."""

    def succeeding(self) -> Workflow:
        """Return a workflow that succeeds with at least one task, and outputs if the engine has any."""
        raise NotImplementedError

    def failing(self) -> Workflow:
        """Return a workflow of which a task fails."""
        raise NotImplementedError

    def endless(self) -> Workflow:
        """Return a workflow that does not end by itself."""
        raise NotImplementedError

    def test_the_descriptor_is_valid(self) -> None:
        """Its own descriptor is accepted."""
        assert EngineRegistry((self.descriptor,)).names == (self.descriptor.name,)

    async def test_it_has_the_name_of_its_descriptor(self, engine: Engine) -> None:
        """Jobs name the engine as the descriptor does, and its version is known."""
        assert engine.name == self.descriptor.name
        assert engine.version

    async def test_a_successful_run_reports_its_tasks_and_outputs(self, engine: Engine, tmp_path: Path) -> None:
        """Each task starts before it ends, ends once, and the counts agree with the tasks."""
        workflow = self.succeeding()
        outcome, seen = await _run(engine, tmp_path, workflow)
        assert outcome.kind is OutcomeKind.SUCCEEDED, outcome.failure
        assert outcome.failure is None
        assert sorted(outcome.outputs) == sorted(workflow.outputs)
        if self.descriptor.capabilities.tasks:
            assert seen.tasks
        for views in seen.tasks.values():
            _check_order(views)
            assert views[-1].state is TaskState.COMPLETED
        counts = [event.counts for event in seen.events if isinstance(event, CountsChanged)]
        if counts:
            assert counts[-1] == outcome.tasks
            assert outcome.tasks.done == outcome.tasks.total == len(seen.tasks)

    async def test_outputs_and_logs_can_be_read_from_the_workspace(self, engine: Engine, tmp_path: Path) -> None:
        """What the outcome and the tasks name can be opened, and holds what the workflow wrote."""
        place, workflow, seen = Place(engine, tmp_path), self.succeeding(), Recorder()
        outcome = await place.run(workflow, seen)
        assert outcome.kind is OutcomeKind.SUCCEEDED, outcome.failure
        workspace = place.workspace
        if workspace is None:
            assert not outcome.outputs
            return
        for file in outcome.produced.files:
            async with workspace.open_output(file.content) as opened:
                content = await opened.read(start=0, max_bytes=opened.size_bytes + 1)
                assert len(content) == opened.size_bytes
                assert content == workflow.outputs.get(file.path, content)
                assert await opened.read(start=opened.size_bytes, max_bytes=1) == b""
        for event in seen.events:
            for name in (event.stdout, event.stderr) if isinstance(event, TaskChanged) else ():
                if name is not None:
                    async with workspace.open_log(name):
                        pass
        for name in ("absent", "absent/file"):
            assert isinstance(await _error_of(workspace, name), FileNotFoundError)
        for name in ("../logs", "/etc/passwd"):
            assert await _error_of(workspace, name) is not None

    async def test_a_workspace_stays_for_the_next_attempt_until_it_is_removed(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        """A later attempt finds the files, and the removal leaves none."""
        place, workflow = Place(engine, tmp_path), self.succeeding()
        await place.run(workflow, Recorder())
        if place.workspaces is None or place.workspace is None:
            return
        await place.workspace.keep()
        later = place.workspaces.of_attempt(place.job_id, 2)
        assert place.job_id in await place.workspaces.job_ids()
        assert (await later.stage(await place.source_of(workflow))).is_resumed
        assert set(workflow.files) <= {entry.name for entry in await later.entries()}
        assert await later.remove()
        assert place.job_id not in await place.workspaces.job_ids()
        third = await place.workspaces.of_attempt(place.job_id, 3).stage(await place.source_of(workflow))
        assert not third.is_resumed
        assert await later.remove()

    async def test_logs_of_a_task_lie_between_its_start_and_its_end(self, engine: Engine, tmp_path: Path) -> None:
        """No text of a task comes before the task, or after its end."""
        _, seen = await _run(engine, tmp_path, self.succeeding())
        running: set[str] = set()
        for event in seen.events:
            match event:
                case TaskChanged(task=task) if task.state in ENDED:
                    running.discard(task.id)
                case TaskChanged(task=task) if task.state is TaskState.RUNNING:
                    running.add(task.id)
                case LogWritten(task_id=str(task_id)):
                    assert task_id in running
                case _:
                    pass

    async def test_a_failure_of_the_workflow_is_an_outcome_with_a_reason(self, engine: Engine, tmp_path: Path) -> None:
        """It is not an exception, and names the workflow as the cause."""
        outcome, seen = await _run(engine, tmp_path, self.failing())
        assert outcome.kind is OutcomeKind.FAILED
        assert outcome.failure is not None
        assert outcome.failure.cause is FailureCause.WORKFLOW
        assert outcome.failure.message
        if self.descriptor.capabilities.tasks:
            assert TaskState.FAILED in {views[-1].state for views in seen.tasks.values()}
        for views in seen.tasks.values():
            _check_order(views)

    async def test_a_missing_main_file_is_a_failure_of_the_workflow(self, engine: Engine, tmp_path: Path) -> None:
        """An engine that needs workflow files looks for them by itself."""
        if not self.descriptor.needs_source:
            return
        outcome, _ = await _run(engine, tmp_path, Workflow())
        assert outcome.kind is OutcomeKind.FAILED
        assert outcome.failure is not None
        assert outcome.failure.cause is FailureCause.WORKFLOW
        assert self.descriptor.entrypoints[0] in outcome.failure.message

    async def test_a_main_file_outside_the_work_directory_is_refused(self, engine: Engine, tmp_path: Path) -> None:
        """Any value: it is not read."""
        if not self.descriptor.needs_source:
            return
        outside = tmp_path / "outside"
        outside.write_text("echo secret")
        for entrypoint in (str(outside), "../outside"):
            place = Place(engine, tmp_path / str(len(entrypoint)))
            await place.stage(Workflow())
            if isinstance(place.workspace, LocalWorkspace):
                (place.workspace.work_dir.parent / "outside").write_text("echo secret")
            outcome = await place.run(Workflow(entrypoint=entrypoint), Recorder())
            assert outcome.kind is OutcomeKind.FAILED
            assert outcome.failure is not None
            assert "secret" not in outcome.failure.message

    async def test_a_run_that_is_stopped_before_it_starts_runs_nothing(self, engine: Engine, tmp_path: Path) -> None:
        """The outcome is STOPPED, and no code of the workflow runs."""
        workflow = self.endless()
        stop, place = anyio.Event(), Place(engine, tmp_path)
        stop.set()
        outcome = await place.run(workflow, Recorder(), stop)
        assert outcome.kind is OutcomeKind.STOPPED
        assert workflow.marker is None or not await place.has(workflow.marker)

    async def test_a_stopped_run_ends_soon(self, engine: Engine, tmp_path: Path) -> None:
        """The outcome is STOPPED, and every task that started has an end."""
        workflow = self.endless()
        stop, ended, seen, outcomes = anyio.Event(), anyio.Event(), Recorder(), list[Outcome]()
        place = Place(engine, tmp_path)

        async def run() -> None:
            outcomes.append(await place.run(workflow, seen, stop))
            ended.set()

        with anyio.fail_after(DEADLINE_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run)
                await place.wait_until_running(seen, workflow)
                stop.set()
                with anyio.fail_after(STOP_S * LOAD_FACTOR):
                    await ended.wait()
        assert outcomes[0].kind is OutcomeKind.STOPPED
        assert all(views[-1].state is not TaskState.RUNNING for views in seen.tasks.values())

    async def test_a_cancelled_run_leaves_nothing_running(self, engine: Engine, tmp_path: Path) -> None:
        """Cancellation goes on once everything was killed, and the engine can run the next attempt."""
        workflow = self.endless()
        seen, place = Recorder(), Place(engine, tmp_path)
        with anyio.fail_after(DEADLINE_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(place.run, workflow, seen)
                await place.wait_until_running(seen, workflow)
                tasks.cancel_scope.cancel()
        outcome, _ = await _run(engine, tmp_path / "later", self.succeeding())
        assert outcome.kind is OutcomeKind.SUCCEEDED

    async def test_the_end_of_the_lease_ends_the_work(self, engine: Engine, tmp_path: Path) -> None:
        """It ends though nobody stopped it, and that is a fault, not a failure of the workflow."""
        if not self.runs_without_runner:
            return
        workflow = self.endless()
        seen, ended, results = Recorder(), anyio.Event(), list[EngineFault | Outcome]()
        place = Place(engine, tmp_path)

        async def run() -> None:
            try:
                results.append(await place.run(workflow, seen))
            except EngineFault as fault:
                results.append(fault)
            ended.set()

        try:
            with anyio.fail_after(DEADLINE_S):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(run)
                    await place.wait_until_running(seen, workflow)
                    with anyio.fail_after(KILL_S * LOAD_FACTOR):
                        engine.extend_lease(lambda: 0.0)
                        await ended.wait()
            assert isinstance(results[0], EngineFault), results
        finally:
            engine.extend_lease(lambda: 24 * 3600.0)

    async def test_a_plan_runs_nothing(self, engine: Engine, tmp_path: Path) -> None:
        """It lists the tasks of a workflow as tasks that wait."""
        if not self.descriptor.capabilities.plans:
            return
        workflow = self.succeeding()
        outcome, seen = await _run(engine, tmp_path, workflow, is_dry=True)
        assert outcome.kind is OutcomeKind.SUCCEEDED
        assert seen.tasks
        assert {views[-1].state for views in seen.tasks.values()} == {TaskState.WAITING}
        assert outcome.outputs == ()


async def _error_of(workspace: Workspace, name: str) -> OSError | None:
    """Return why an output cannot be opened."""
    try:
        async with workspace.open_output(name):
            return None
    except OSError as error:
        return error


async def _run(engine: Engine, root: Path, workflow: Workflow, *, is_dry: bool = False) -> tuple[Outcome, Recorder]:
    seen = Recorder()
    with anyio.fail_after(DEADLINE_S):
        outcome = await Place(engine, root).run(workflow, seen, is_dry=is_dry)
    return outcome, seen


def _check_order(views: list[Task]) -> None:
    """Check that nothing comes after the end of a task, and that its times are in order."""
    ends = [index for index, task in enumerate(views) if task.state in ENDED]
    if ends:
        last = views[-1]
        # The end may be repeated with a more precise cause; it is never taken back.
        assert all(task.state is last.state for task in views[ends[0] :])
        if last.started_at is not None and last.ended_at is not None:
            assert last.started_at <= last.ended_at
