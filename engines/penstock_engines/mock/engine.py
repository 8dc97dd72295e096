"""An engine that executes nothing: it waits for a while, then succeeds or fails. For demonstrations, tests and load."""

import random
from typing import Annotated, Final

import anyio
import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from penstock_engines.mock.behaviour import MockBehaviour, Seconds
from penstock_execution.engine import Attempt, CountsChanged, Emit, LogWritten, Outcome, RemainingLease, TaskChanged
from penstock_execution.workspace import RunnerStorage
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.jobs import Failure, FailureCause, TaskCounts
from penstock_schemas.views import LogStream, Task, TaskState

PARAMETER: Final = "mock"
"""The job parameter that overrides the engine's behaviour for one job."""
STEPS: Final = ("fetch_samples", "quality_check", "align", "variant_calling", "report")
"""What the pretended pipeline consists of, one task each."""
ERROR_MESSAGES: Final = {
    "Pipeline step 'variant_calling' failed: insufficient memory": "variant_calling",
    "Reference genome file not found": "align",
    "Sample quality check failed: low coverage": "quality_check",
    "Workflow execution timeout": "report",
    "Invalid parameter configuration": "fetch_samples",
}
"""How a pretended failure reads, and the step in which it happens."""


class BadBehaviour(Exception):
    """A request to the mock engine is invalid; the message states why."""


class _Overrides(Struct, frozen=True, forbid_unknown_fields=True):
    """What the parameter `mock` may hold."""

    min_duration: Seconds | None = None
    max_duration: Seconds | None = None
    success_rate: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: int | None = None


class _Plan(Struct, frozen=True):
    """What one attempt will do."""

    duration_s: float
    failure: Failure | None
    steps: tuple[str, ...]
    """The ones that run; the last of them fails when there is a failure."""


class MockEngine:
    """Fills the `Engine` port without running anything."""

    name = "mock"
    version = "1"

    def __init__(self, behaviour: MockBehaviour | None = None) -> None:
        self._behaviour = behaviour or MockBehaviour()

    async def __aenter__(self) -> "MockEngine":
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    def workspaces(self, storage: RunnerStorage) -> None:
        """Have no files."""

    def extend_lease(self, remaining_s: RemainingLease) -> None:
        """Do nothing: the simulated work stops with the runner."""

    async def run(self, attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
        """Wait for the time that the plan gives, showing each step as a task; end at once when a stop is requested."""
        try:
            behaviour = _behaviour_of(attempt, self._behaviour)
        except BadBehaviour as error:
            failure = Failure(cause=FailureCause.WORKFLOW, message=str(error))
            return Outcome(kind=OutcomeKind.FAILED, failure=failure)
        plan = _plan(attempt, behaviour)
        if attempt.is_dry:
            for step in STEPS:
                emit(TaskChanged(task=_task(attempt, step)))
            return Outcome(kind=OutcomeKind.SUCCEEDED)
        if stop.is_set():
            return Outcome(kind=OutcomeKind.STOPPED)
        if plan.duration_s == 0:
            return _outcome(plan, TaskCounts())
        return await _pretend(attempt, plan, emit, stop)


def _behaviour_of(attempt: Attempt, default: MockBehaviour) -> MockBehaviour:
    requested = attempt.parameters.get(PARAMETER)
    if requested is None:
        return default
    try:
        overrides = msgspec.convert(requested, _Overrides)
    except msgspec.ValidationError as error:
        raise BadBehaviour(
            f"parameter `{PARAMETER}` cannot be used: {error}; it takes min_duration and max_duration (seconds), "
            "success_rate (0 to 1) and seed (an integer)"
        ) from error
    given = {field: value for field, value in msgspec.structs.asdict(overrides).items() if value is not None}
    behaviour = replace(default, **given)
    if behaviour.min_duration > behaviour.max_duration:
        raise BadBehaviour(
            f"parameter `{PARAMETER}` cannot be used: min_duration ({behaviour.min_duration:g} s) is greater than "
            f"max_duration ({behaviour.max_duration:g} s)"
        )
    return behaviour


def _plan(attempt: Attempt, behaviour: MockBehaviour) -> _Plan:
    dice = random.Random(f"{behaviour.seed}/{attempt.job_id}/{attempt.attempt}")  # noqa: S311 - no secret
    duration_s = dice.uniform(behaviour.min_duration, behaviour.max_duration)
    if dice.random() < behaviour.success_rate:
        return _Plan(duration_s, None, STEPS)
    message = dice.choice(tuple(ERROR_MESSAGES))
    step = ERROR_MESSAGES[message]
    failure = Failure(cause=FailureCause.WORKFLOW, message=message, rule=step, exit_code=1)
    return _Plan(duration_s, failure, STEPS[: STEPS.index(step) + 1])


def _outcome(plan: _Plan, counts: TaskCounts) -> Outcome:
    kind = OutcomeKind.FAILED if plan.failure else OutcomeKind.SUCCEEDED
    return Outcome(kind=kind, failure=plan.failure, tasks=counts)


async def _pretend(attempt: Attempt, plan: _Plan, emit: Emit, stop: anyio.Event) -> Outcome:
    tasks = {step: _task(attempt, step) for step in STEPS}
    for task in tasks.values():
        emit(TaskChanged(task=task))
    done = 0
    for step in plan.steps:
        emit(LogWritten(stream=LogStream.ENGINE, text=f"{step}: started\n"))
        running = replace(tasks[step], state=TaskState.RUNNING, started_at=SYSTEM.now())
        emit(TaskChanged(task=running))
        emit(CountsChanged(counts=TaskCounts(total=len(STEPS), done=done, running=1)))
        with anyio.move_on_after(plan.duration_s / len(plan.steps)):
            await stop.wait()
            return _stopped(running, done, emit)
        if plan.failure is not None and step == plan.steps[-1]:
            return _failed(running, done, plan, plan.failure, emit)
        done += 1
        emit(TaskChanged(task=_ended(running, TaskState.COMPLETED, exit_code=0)))
        emit(LogWritten(stream=LogStream.ENGINE, text=f"{step}: done\n"))
    counts = TaskCounts(total=len(STEPS), done=done)
    emit(CountsChanged(counts=counts))
    return _outcome(plan, counts)


def _stopped(task: Task, done: int, emit: Emit) -> Outcome:
    emit(TaskChanged(task=_ended(task, TaskState.CANCELLED)))
    counts = TaskCounts(total=len(STEPS), done=done)
    emit(CountsChanged(counts=counts))
    return Outcome(kind=OutcomeKind.STOPPED, tasks=counts)


def _failed(task: Task, done: int, plan: _Plan, failure: Failure, emit: Emit) -> Outcome:
    emit(TaskChanged(task=replace(_ended(task, TaskState.FAILED, exit_code=1), message=failure.message)))
    emit(LogWritten(stream=LogStream.ENGINE, text=f"{task.name}: {failure.message}\n"))
    counts = TaskCounts(total=len(STEPS), done=done, failed=1)
    emit(CountsChanged(counts=counts))
    return _outcome(plan, counts)


def _task(attempt: Attempt, step: str) -> Task:
    position = STEPS.index(step)
    return Task(
        id=f"{attempt.attempt}-{step}",
        job_id=attempt.job_id,
        attempt=attempt.attempt,
        name=step,
        state=TaskState.WAITING,
        depends_on=(f"{attempt.attempt}-{STEPS[position - 1]}",) if position else (),
    )


def _ended(task: Task, state: TaskState, *, exit_code: int | None = None) -> Task:
    return replace(task, state=state, ended_at=SYSTEM.now(), exit_code=exit_code)
