"""Runs one shell script per attempt; supervision, sandbox and logs come from `penstock_execution`."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import anyio
import msgspec
from msgspec.structs import replace

from penstock_engine_shell.descriptor import DESCRIPTOR
from penstock_engine_shell.script import Script
from penstock_execution.engine import Attempt, CountsChanged, Emit, EngineFault, Outcome, RemainingLease, TaskChanged
from penstock_execution.files.file_threads import in_thread
from penstock_execution.local_workspace import LocalWorkspace, local_folders
from penstock_execution.files.produced import Declared
from penstock_execution.files.produced_files import collect
from penstock_execution.launching import LaunchContext
from penstock_execution.logs.live_logs import TASK_LOGS, LiveLogs
from penstock_execution.processes.markers import ATTEMPT_MARKER, RUNNER_MARKER
from penstock_execution.processes.supervision_messages import Exited
from penstock_execution.processes.zygote_client import AttemptHandle, ZygoteClient
from penstock_execution.workspace import RunnerStorage, Workspaces
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.jobs import Failure, FailureCause, TaskCounts
from penstock_schemas.views import Task, TaskState

TASK: Final = "script"
OUTPUTS: Final = "outputs"
"""The folder whose files are the outputs of a run."""
END_DEADLINE_S: Final = 8.0
"""How long a killed attempt may take to disappear."""


class ShellEngine:
    """Implements the `Engine` port."""

    name = DESCRIPTOR.name
    version = "1"

    def __init__(self, context: LaunchContext) -> None:
        self._context = context
        passed_on = {
            name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH", RUNNER_MARKER) if name in os.environ
        }
        self._environment = {"PATH": os.defpath} | passed_on | dict(context.environment)
        self._zygote = ZygoteClient(
            "penstock_engine_shell.zygote", "The shell engine", self._environment, umask=context.local.umask
        )

    async def __aenter__(self) -> "ShellEngine":
        await self._zygote.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._zygote.__aexit__(None, None, None)

    def workspaces(self, storage: RunnerStorage) -> Workspaces:
        """Return folders on this machine."""
        return storage.local

    def extend_lease(self, remaining_s: RemainingLease) -> None:
        """Let scripts run for the rest of the lease; their supervisors kill them when it has ended."""
        self._zygote.extend_lease(remaining_s)

    async def run(self, attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
        """Run the script of an attempt to its end.

        Raises:
            EngineFault: the script was killed from outside, or could not be started.

        """
        place = local_folders(attempt.workspace)
        path = await in_thread(lambda: find_script(place.work_dir, attempt.entrypoint))
        if isinstance(path, Failure):
            return Outcome(kind=OutcomeKind.FAILED, failure=path)
        if stop.is_set():
            return Outcome(kind=OutcomeKind.STOPPED)
        script = await in_thread(lambda: self._script(attempt, place, path))
        child = await self._zygote.launch(msgspec.json.encode(script))
        task = Task(
            id=f"{attempt.attempt}-{TASK}",
            job_id=attempt.job_id,
            attempt=attempt.attempt,
            name=TASK,
            state=TaskState.RUNNING,
            command=path,
            started_at=datetime.now(UTC),
        )
        emit(TaskChanged(task=task))
        emit(CountsChanged(counts=TaskCounts(total=1, running=1)))
        logs = LiveLogs(place.log_dir, emit, anyio.CapacityLimiter(1))
        logs.begin(task.id)
        try:
            exited = await _follow(child, logs, stop)
        finally:
            child.close()
        return await _conclude(place, task, logs, exited, emit, was_stopped=stop.is_set())

    def _script(self, attempt: Attempt, place: LocalWorkspace, path: str) -> Script:
        scratch = place.log_dir / "scratch"
        for folder in (scratch, place.log_dir / TASK_LOGS):
            folder.mkdir(parents=True, exist_ok=True)
        rules = None
        if self._context.local.sandbox is not None:
            rules = self._context.local.sandbox.rules(
                work_dir=place.work_dir, log_dir=place.log_dir, scratch=scratch, is_plan=False
            )
        chosen = DESCRIPTOR.table.read(attempt.engine_parameters)
        task_log = place.log_dir / TASK_LOGS / f"{attempt.attempt}-{TASK}"
        return Script(
            work_dir=str(place.work_dir),
            command=("sh", *(["-x"] if chosen.get("trace") else []), path),
            stdout=f"{task_log}.stdout",
            stderr=f"{task_log}.stderr",
            environment=self._environment
            | {
                "HOME": str(scratch),
                "TMPDIR": str(scratch),
                "PARAMETERS": msgspec.json.encode(attempt.parameters).decode(),
                ATTEMPT_MARKER: f"{attempt.job_id}/{attempt.attempt}",
            },
            limits=dict(self._context.local.limits),
            rules=rules,
        )


def find_script(work_dir: Path, entrypoint: str | None) -> str | Failure:
    """Return the script, relative to the work directory, or why there is none."""
    locations = DESCRIPTOR.entrypoints if entrypoint is None else (entrypoint,)
    folder = Path(os.path.realpath(work_dir))
    for location in locations:
        path = Path(os.path.realpath(folder / location))
        if path.is_file() and path.is_relative_to(folder):
            fault = DESCRIPTOR.check_entrypoint(location, path.read_text(errors="replace"))
            return location if fault is None else _failure(fault)
    return _failure(f"no script was found; looked for {', '.join(locations)}")


async def _follow(child: AttemptHandle, logs: LiveLogs, stop: anyio.Event) -> Exited | None:
    """Emit logs until nothing of the attempt is left; kill it when this is cancelled."""

    async def pass_on() -> None:
        await stop.wait()
        child.stop()

    exited: Exited | None = None
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pass_on)
            tasks.start_soon(logs.follow)
            if await child.started() is not None:
                exited = await child.exited()
            tasks.cancel_scope.cancel()
    except BaseException:
        child.kill()
        with anyio.CancelScope(shield=True), anyio.move_on_after(END_DEADLINE_S):
            if exited is None:
                await child.exited()
        raise
    return exited


async def _conclude(
    place: LocalWorkspace, task: Task, logs: LiveLogs, exited: Exited | None, emit: Emit, *, was_stopped: bool
) -> Outcome:
    exit_code = exited.exit_code if exited is not None else None
    is_killed = exited is None or exited.left > 0 or (exited.was_killed and not was_stopped)
    if exit_code == 0:
        state, kind = TaskState.COMPLETED, OutcomeKind.SUCCEEDED
    elif was_stopped:
        state, kind = TaskState.CANCELLED, OutcomeKind.STOPPED
    else:
        state, kind = TaskState.FAILED, OutcomeKind.FAILED
    written = await logs.end(task.id)
    task = replace(task, state=state, ended_at=datetime.now(UTC), exit_code=exit_code)
    emit(TaskChanged(task=task, stdout=written.stdout, stderr=written.stderr))
    counts = TaskCounts(total=1, done=int(exit_code == 0), failed=int(exit_code != 0))
    emit(CountsChanged(counts=counts))
    if is_killed:
        raise EngineFault("the script was killed: its lease ended, or its supervisor was killed")
    failure = None
    if kind is OutcomeKind.FAILED:
        reason = f": {written.last_line}" if written.last_line else ""
        failure = replace(_failure(f"the script ended with exit code {exit_code}{reason}"), exit_code=exit_code)
    declared = Declared(outputs=(OUTPUTS,) if kind is OutcomeKind.SUCCEEDED else ())
    produced = await in_thread(lambda: collect(place.work_dir, declared, source=None))
    return Outcome(kind=kind, failure=failure, tasks=counts, produced=produced)


def _failure(message: str) -> Failure:
    return Failure(cause=FailureCause.WORKFLOW, message=message)
