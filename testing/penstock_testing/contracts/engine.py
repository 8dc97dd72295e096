"""The contract of engines. A test module subclasses it, provides the fixture `engine` and the workflows.

class TestShell(EngineContract):
descriptor = DESCRIPTOR

@pytest.fixture
async def engine(self) -> AsyncIterator[Engine]: ...

def succeeding(self, work_dir: Path) -> Workflow: ...
"""

from pathlib import Path
from typing import Final

import anyio
from msgspec import Struct

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
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import FailureCause, Parameters
from penstock_schemas.views import Task, TaskState

DEADLINE_S: Final = 60.0
"""For one attempt, on a loaded machine."""
STOP_S: Final = 2.0
"""The port: a stopped attempt ends within this time."""
LOAD_FACTOR: Final = 10.0
"""A loaded machine may take so many times longer; more shows that the engine did not react at all."""
ENDED: Final = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED})


class Workflow(Struct, frozen=True, kw_only=True):
    """What a contract's workflow needs besides the files that were written for it."""

    parameters: Parameters = {}
    entrypoint: str | None = None
    outputs: tuple[str, ...] = ()
    """The outputs of a successful run, sorted."""
    marker: Path | None = None
    """A file that exists once the workflow's own code runs; `None`: the engine runs none."""


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


class EngineContract:
    """What the runner relies on. Workflows are written into an empty work directory."""

    descriptor: EngineDescriptor
    runs_without_runner: bool = True
    """Whether work continues while the runner's process is stopped; then the engine ends it with the lease."""

    def succeeding(self, work_dir: Path) -> Workflow:
        """Write a workflow that succeeds with at least one task, and outputs if the engine has any."""
        raise NotImplementedError

    def failing(self, work_dir: Path) -> Workflow:
        """Write a workflow of which a task fails."""
        raise NotImplementedError

    def endless(self, work_dir: Path) -> Workflow:
        """Write a workflow that does not end by itself."""
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
        workflow = self.succeeding(_folder(tmp_path))
        outcome, seen = await _run(engine, tmp_path, workflow)
        assert outcome.kind is OutcomeKind.SUCCEEDED, outcome.failure
        assert outcome.failure is None
        assert tuple(sorted(outcome.outputs)) == workflow.outputs
        if self.descriptor.capabilities.tasks:
            assert seen.tasks
        for views in seen.tasks.values():
            _check_order(views)
            assert views[-1].state is TaskState.COMPLETED
        counts = [event.counts for event in seen.events if isinstance(event, CountsChanged)]
        if counts:
            assert counts[-1] == outcome.tasks
            assert outcome.tasks.done == outcome.tasks.total == len(seen.tasks)

    async def test_logs_of_a_task_lie_between_its_start_and_its_end(self, engine: Engine, tmp_path: Path) -> None:
        """No text of a task comes before the task, or after its end."""
        _, seen = await _run(engine, tmp_path, self.succeeding(_folder(tmp_path)))
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
        outcome, seen = await _run(engine, tmp_path, self.failing(_folder(tmp_path)))
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
        _folder(tmp_path)
        outcome, _ = await _run(engine, tmp_path, Workflow())
        assert outcome.kind is OutcomeKind.FAILED
        assert outcome.failure is not None
        assert outcome.failure.cause is FailureCause.WORKFLOW
        assert self.descriptor.entrypoints[0] in outcome.failure.message

    async def test_a_main_file_outside_the_work_directory_is_refused(self, engine: Engine, tmp_path: Path) -> None:
        """Whatever it is: it is not read."""
        if not self.descriptor.needs_source:
            return
        _folder(tmp_path)
        (tmp_path / "outside").write_text("echo secret")
        outcome, _ = await _run(engine, tmp_path, Workflow(entrypoint="../outside"))
        assert outcome.kind is OutcomeKind.FAILED
        assert outcome.failure is not None
        assert "secret" not in outcome.failure.message

    async def test_a_run_that_is_stopped_before_it_starts_runs_nothing(self, engine: Engine, tmp_path: Path) -> None:
        """The outcome is STOPPED, and no code of the workflow runs."""
        workflow = self.endless(_folder(tmp_path))
        stop = anyio.Event()
        stop.set()
        outcome, _ = await _run(engine, tmp_path, workflow, stop)
        assert outcome.kind is OutcomeKind.STOPPED
        assert workflow.marker is None or not workflow.marker.exists()

    async def test_a_stopped_run_ends_soon(self, engine: Engine, tmp_path: Path) -> None:
        """The outcome is STOPPED, and every task that started has an end."""
        workflow = self.endless(_folder(tmp_path))
        stop, ended, seen, outcomes = anyio.Event(), anyio.Event(), Recorder(), list[Outcome]()

        async def run() -> None:
            outcomes.append(await engine.run(_attempt(tmp_path, workflow), seen, stop))
            seen.is_over = True
            ended.set()

        with anyio.fail_after(DEADLINE_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run)
                await _until_running(seen, workflow)
                stop.set()
                with anyio.fail_after(STOP_S * LOAD_FACTOR):
                    await ended.wait()
        assert outcomes[0].kind is OutcomeKind.STOPPED
        assert all(views[-1].state is not TaskState.RUNNING for views in seen.tasks.values())

    async def test_a_cancelled_run_leaves_nothing_running(self, engine: Engine, tmp_path: Path) -> None:
        """Cancellation goes on once everything was killed, and the engine can run the next attempt."""
        workflow = self.endless(_folder(tmp_path))
        seen = Recorder()
        with anyio.fail_after(DEADLINE_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(engine.run, _attempt(tmp_path, workflow), seen, anyio.Event())
                await _until_running(seen, workflow)
                tasks.cancel_scope.cancel()
        later = tmp_path / "later"
        outcome, _ = await _run(engine, later, self.succeeding(_folder(later)))
        assert outcome.kind is OutcomeKind.SUCCEEDED

    async def test_the_end_of_the_lease_ends_the_work(self, engine: Engine, tmp_path: Path) -> None:
        """It ends though nobody stopped it, and that is a fault, not a failure of the workflow."""
        if not self.runs_without_runner:
            return
        workflow = self.endless(_folder(tmp_path))
        seen, ended, faults = Recorder(), anyio.Event(), list[EngineFault]()

        async def run() -> None:
            try:
                await engine.run(_attempt(tmp_path, workflow), seen, anyio.Event())
            except EngineFault as fault:
                faults.append(fault)
                ended.set()

        try:
            with anyio.fail_after(DEADLINE_S):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(run)
                    await _until_running(seen, workflow)
                    with anyio.fail_after(KILL_S * LOAD_FACTOR):
                        engine.extend_lease(lambda: 0.0)
                        await ended.wait()
            assert len(faults) == 1
        finally:
            engine.extend_lease(lambda: 24 * 3600.0)

    async def test_a_plan_runs_nothing(self, engine: Engine, tmp_path: Path) -> None:
        """It lists the tasks of a workflow as tasks that wait."""
        if not self.descriptor.capabilities.plans:
            return
        workflow = self.succeeding(_folder(tmp_path))
        outcome, seen = await _run(engine, tmp_path, workflow, is_dry=True)
        assert outcome.kind is OutcomeKind.SUCCEEDED
        assert seen.tasks
        assert {views[-1].state for views in seen.tasks.values()} == {TaskState.WAITING}
        assert outcome.outputs == ()


def _folder(root: Path) -> Path:
    """Create the folders of an attempt; return its work directory."""
    for name in ("work", "logs"):
        (root / name).mkdir(parents=True)
    return root / "work"


def _attempt(root: Path, workflow: Workflow, *, is_dry: bool = False) -> Attempt:
    return Attempt(
        job_id=JobId("contract"),
        tenant=DEFAULT_TENANT,
        attempt=1,
        pipeline_name="contract",
        parameters=workflow.parameters,
        work_dir=root / "work",
        log_dir=root / "logs",
        entrypoint=workflow.entrypoint,
        is_dry=is_dry,
    )


async def _run(
    engine: Engine, root: Path, workflow: Workflow, stop: anyio.Event | None = None, *, is_dry: bool = False
) -> tuple[Outcome, Recorder]:
    seen = Recorder()
    with anyio.fail_after(DEADLINE_S):
        outcome = await engine.run(_attempt(root, workflow, is_dry=is_dry), seen, stop or anyio.Event())
    seen.is_over = True
    return outcome, seen


async def _until_running(seen: Recorder, workflow: Workflow) -> None:
    while not (workflow.marker.exists() if workflow.marker is not None else seen.events):  # noqa: ASYNC110 - a file
        await anyio.sleep(0.01)


def _check_order(views: list[Task]) -> None:
    """Check that nothing comes after the end of a task, and that its times are in order."""
    ends = [index for index, task in enumerate(views) if task.state in ENDED]
    if ends:
        last = views[-1]
        # The end may be repeated with a more precise cause; it is never taken back.
        assert all(task.state is last.state for task in views[ends[0] :])
        if last.started_at is not None and last.ended_at is not None:
            assert last.started_at <= last.ended_at
