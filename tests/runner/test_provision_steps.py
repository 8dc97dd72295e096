"""The requests of an attempt become steps of its run; each requirement is prepared once, and its failure is kept."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from penstock_execution.engine import Attempt, EngineEvent, TaskChanged
from penstock_execution.files.locks import try_lock
from penstock_execution.local_workspace import LocalWorkspace
from penstock_execution.logs.live_logs import TASK_LOGS, LiveLogs
from penstock_execution.provision_steps import MAX_STEP_LOG_CHARS, ProvisionSteps, RunningStep, step_name
from penstock_execution.provisioning import (
    AnyRequirement,
    NamedCondaEnvironment,
    Provided,
    ProvisionFailed,
    ProvisionKind,
    RemoteFile,
    Step,
)
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.views import Task, TaskKind, TaskState

CONDA = NamedCondaEnvironment(label="qc", name="qc")


class OneAnswer:
    """Gives one answer to everything, after an event."""

    def __init__(self, answer: Provided | Exception, *kinds: ProvisionKind) -> None:
        self.kinds = frozenset(kinds or {ProvisionKind.CONDA})
        self.folders: Sequence[str] = ()
        self.answer = answer
        self.calls = 0
        self.was_called = anyio.Event()
        self.may_go_on = anyio.Event()
        self.may_go_on.set()

    async def find(self, requirement: AnyRequirement) -> Provided | None:
        """Find nothing."""
        return None

    async def provide(self, requirement: AnyRequirement, step: Step) -> Provided:
        """Return or raise the answer."""
        self.calls += 1
        self.was_called.set()
        step.log("began\n")
        await self.may_go_on.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def __aenter__(self) -> "OneAnswer":
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass


class Desk:
    """The steps of one attempt, and what they emit."""

    def __init__(self, root: Path, provider: OneAnswer, *, is_dry: bool = False) -> None:
        self.logs = root / "logs"
        (self.logs / TASK_LOGS).mkdir(parents=True)
        self.events: list[EngineEvent] = []
        place = LocalWorkspace(root / "work", self.logs)
        attempt = Attempt(
            job_id=JobId("j"), tenant=DEFAULT_TENANT, attempt=1, pipeline_name="p", parameters={}, is_dry=is_dry
        )
        threads = anyio.CapacityLimiter(2)
        live = LiveLogs(self.logs, self.events.append, threads)
        self.steps = ProvisionSteps([provider], attempt, place, self.events.append, live, threads)

    @property
    def tasks(self) -> list[Task]:
        """Every view of a step that was emitted."""
        return [event.task for event in self.events if isinstance(event, TaskChanged)]


PROVIDED = Provided(path="/cache/qc", identity="qc-1")


async def test_the_same_requirement_is_prepared_once(tmp_path: Path) -> None:
    """Requests that wait for it get the same answer, each with its own number."""
    provider = OneAnswer(PROVIDED)
    provider.may_go_on = anyio.Event()
    desk = Desk(tmp_path, provider)
    numbers: list[int] = []

    async def request(number: int) -> None:
        answer = await desk.steps.answer(number, CONDA)
        assert answer.path == "/cache/qc"
        numbers.append(answer.number)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(request, number)
        await anyio.wait_all_tasks_blocked()
        provider.may_go_on.set()
    assert sorted(numbers) == [0, 1, 2]
    assert provider.calls == 1
    assert [item.identity for item in desk.steps.provided] == ["qc-1"]
    assert [task.state for task in desk.tasks] == [TaskState.RUNNING, TaskState.COMPLETED]


@pytest.mark.parametrize("error", [ProvisionFailed("no", detail="why"), RuntimeError("a fault")])
async def test_a_failure_ends_the_step_and_is_the_answer(tmp_path: Path, error: Exception) -> None:
    """A provider that raises anything else fails this request and nothing more."""
    desk = Desk(tmp_path, OneAnswer(error))
    answer = await desk.steps.answer(0, CONDA)
    assert answer.failure is not None
    assert answer.failure.may_retry is isinstance(error, RuntimeError)
    assert desk.tasks[-1].state is TaskState.FAILED
    assert desk.steps.failure is not None
    assert desk.steps.failure.message.startswith("conda: qc cannot be provided: ")
    (log,) = (desk.logs / TASK_LOGS).iterdir()
    assert log.read_text().startswith(f"began\n{answer.failure.message}\n")


async def test_what_nobody_provides_is_refused(tmp_path: Path) -> None:
    """A hostile process may request anything."""
    desk = Desk(tmp_path, OneAnswer(PROVIDED))
    answer = await desk.steps.answer(0, RemoteFile(label="x", address="https://host/x"))
    assert answer.failure is not None
    assert "provides nothing" in answer.failure.message
    assert desk.tasks == []


async def test_a_cancelled_request_ends_its_step(tmp_path: Path) -> None:
    """The attempt was stopped or killed while it waited."""
    provider = OneAnswer(PROVIDED)
    provider.may_go_on = anyio.Event()
    desk = Desk(tmp_path, provider)
    async with anyio.create_task_group() as group:
        group.start_soon(desk.steps.answer, 0, CONDA)
        await provider.was_called.wait()
        group.cancel_scope.cancel()
    assert desk.tasks[-1].state is TaskState.CANCELLED
    assert desk.tasks[-1].ended_at is not None


async def test_a_plan_prepares_files_alone(tmp_path: Path) -> None:
    """Its graph depends on them; an environment is looked for, and listed."""
    provider = OneAnswer(PROVIDED, ProvisionKind.CONDA, ProvisionKind.FILE)
    desk = Desk(tmp_path, provider, is_dry=True)
    environment = await desk.steps.answer(0, CONDA)
    file = await desk.steps.answer(1, RemoteFile(label="x", address="https://host/x"))
    assert (environment.path, file.path) == (None, "/cache/qc")
    assert provider.calls == 1
    assert [(item.kind, item.label) for item in desk.steps.planned] == [(TaskKind.ENVIRONMENT, "qc")]


async def test_a_file_in_the_place_of_its_log_fails_the_step(tmp_path: Path) -> None:
    """A link there would lead the runner elsewhere."""
    provider = OneAnswer(PROVIDED)
    desk = Desk(tmp_path, provider)
    await desk.steps.answer(0, CONDA)
    (log,) = (desk.logs / TASK_LOGS).iterdir()
    desk = Desk(tmp_path / "other", provider)
    (desk.logs / TASK_LOGS / log.name).symlink_to(tmp_path / "secret")
    answer = await desk.steps.answer(0, CONDA)
    assert answer.failure is not None
    assert not (tmp_path / "secret").exists()


async def test_what_is_used_stays_locked_until_the_attempt_ends(tmp_path: Path) -> None:
    """A process that looks whether it is in use locks it for a moment, and that is waited for."""
    path = tmp_path / "1.lock"
    looking = try_lock(path)
    assert looking is not None
    desk = Desk(tmp_path, OneAnswer(replace(PROVIDED, lock=str(path))))
    async with anyio.create_task_group() as group:
        group.start_soon(desk.steps.answer, 0, CONDA)
        with anyio.fail_after(30):
            while [task.state for task in desk.tasks[-1:]] != [TaskState.COMPLETED]:  # noqa: ASYNC110
                await anyio.sleep(0.01)  # the step ended; the lock is waited for
        looking.release()
    assert try_lock(path) is None, "the attempt uses it"
    desk.steps.release()
    assert try_lock(path) is not None


async def test_what_was_removed_in_the_same_moment_is_a_failure_that_a_retry_corrects(tmp_path: Path) -> None:
    desk = Desk(tmp_path, OneAnswer(replace(PROVIDED, lock=str(tmp_path / "gone.lock"))))
    answer = await desk.steps.answer(0, CONDA)
    assert answer.failure is not None
    assert answer.failure.may_retry
    assert not (tmp_path / "gone.lock").exists()


def test_the_name_of_a_step_is_one_line() -> None:
    """It is shown in terminals."""
    assert step_name(NamedCondaEnvironment(label="a\x1b[31m\nb" + "x" * 900, name="n")).startswith("conda: a?[31m?bxx")
    assert len(step_name(NamedCondaEnvironment(label="x" * 900, name="n"))) < 220


def test_the_log_of_a_step_is_bounded() -> None:
    """A builder may write without end."""
    step = RunningStep(Task(id="s", job_id=JobId("j"), attempt=1, name="n", state=TaskState.RUNNING), lambda _: None)
    for _ in range(20):
        step.log("x" * (MAX_STEP_LOG_CHARS // 10))
    kept = step.take()
    assert len(kept) < MAX_STEP_LOG_CHARS + 100
    assert kept.endswith(b"[what came after this is not kept]\n")
