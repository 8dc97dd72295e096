"""Runs Snakemake workflows: one forked process an attempt, told of by its own plugins, ended without a trace."""

import os
import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

import anyio
from msgspec.structs import replace

from penstock_core.engine_parameters import SnakemakeOptions, snakemake_options
from penstock_runner.engine import (
    ATTEMPT_MARKER,
    ENGINE_LOG,
    RUNNER_MARKER,
    Attempt,
    CountsChanged,
    Emit,
    LogWritten,
    Outcome,
    TaskChanged,
)
from penstock_runner.engines.snakemake.failures import (
    EngineFault,
    run_failure,
    tail_of_file,
    task_failure,
    without_folder,
)
from penstock_runner.engines.snakemake.launching import Exited, Launch
from penstock_runner.engines.snakemake.messages import BadFrame, FrameReader
from penstock_runner.engines.snakemake.nursery import Child, Nursery
from penstock_runner.engines.snakemake.outputs import existing_files
from penstock_runner.engines.snakemake.own_log import OwnLog
from penstock_runner.engines.snakemake.progress import Progress
from penstock_runner.engines.snakemake.tails import Tail
from penstock_runner.leftovers import sweep
from penstock_runner.sandbox.policy import PLAN_LIMITS, Policy
from penstock_runner.sandbox.refusals import explained
from penstock_runner.sandbox.rules import Rules
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.jobs import Failure, FailureCause, TaskCounts
from penstock_schemas.views import LogStream, Task, TaskState

TASK_LOGS: Final = "tasks"
"""The folder in an attempt's log directory that holds `<task id>.stdout` and `.stderr`."""
SCRATCH: Final = "scratch"
"""The folder in an attempt's log directory that is its HOME, temporary folder and cache; removed at its end."""
STANDARD_SNAKEFILES: Final = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")
PASSED_ON: Final = ("PATH", "LANG", "LANGUAGE", "TZ", "USER", "LOGNAME", "SHELL", "PYTHONPATH", "LD_LIBRARY_PATH")
"""What a workflow gets of the runner's environment, besides `LC_*`: nothing in it is a secret."""
ATTEMPT_LIMITS: Final = {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": 65_536}
"""Of each process of an attempt: no memory is dumped onto the disk, and so many files are open at most."""
LIVE_LOG_PAUSE_S: Final = 0.15
"""The pause between two looks at the log files of what runs."""
KILL_DEADLINE_S: Final = 8.0
"""How long a killed attempt may take to be gone, its keeper included."""


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the runner's environment that workflows may see, the runner's marker included."""
    return {
        name: value
        for name, value in environ.items()
        if name in PASSED_ON or name.startswith("LC_") or name == RUNNER_MARKER
    }


class SnakemakeEngine:
    """Fills the `Engine` port with Snakemake."""

    name = "snakemake"
    needs_files = True

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        extra_environment: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
        sandbox: Policy | None = None,
    ) -> None:
        """Take the runner's environment (`os.environ` where none is given), of which workflows see only a part.

        `extra_environment` is passed on as it is; `limits` are resource limits of each attempt, by their names in the
        module `resource`; `sandbox` says what attempts may touch, `None` stands for what the runner's user may.
        """
        self._environment = clean_environment(os.environ if environ is None else environ) | dict(
            extra_environment or {}
        )
        self._environment.setdefault("PATH", os.defpath)
        self._limits = ATTEMPT_LIMITS | dict(limits or {})
        self._sandbox = sandbox
        self._nursery = Nursery(self._environment)
        self.version = metadata.version("snakemake")

    async def __aenter__(self) -> "SnakemakeEngine":
        await self._nursery.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._nursery.__aexit__(None, None, None)

    def extend(self, until_s: float) -> None:
        """Let attempts run until then."""
        self._nursery.extend(until_s)

    @property
    def zygote_pid(self) -> int | None:
        """The process that attempts are forked from, while it lives."""
        return self._nursery.zygote_pid

    async def run(self, attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
        """Run a workflow to its end.

        Raises:
            EngineFault: the attempt was killed from outside, or could not be started.

        """
        snakefile = find_snakefile(attempt)
        if isinstance(snakefile, Failure):
            return Outcome(kind=OutcomeKind.FAILED, failure=snakefile)
        try:
            options = snakemake_options(attempt.engine_parameters)
        except ValueError as error:
            failure = Failure(cause=FailureCause.WORKFLOW, message=f"engine parameters that are not taken: {error}")
            return Outcome(kind=OutcomeKind.FAILED, failure=failure)
        if stop.is_set():
            return Outcome(kind=OutcomeKind.STOPPED)
        scratch = attempt.log_dir / SCRATCH
        launch = self._launch(attempt, snakefile, scratch, options)
        child = await self._nursery.launch(launch)
        run = _Run(attempt, emit, launch.rules)
        try:
            exited = await run.follow(child, stop)
            await run.join_log()
        finally:
            child.close()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(scratch, ignore_errors=True))
        if exited is None:
            killed = await anyio.to_thread.run_sync(lambda: sweep(_marker(attempt), variable=ATTEMPT_MARKER))
            run.finish(TaskState.FAILED, "the attempt's keeper was killed")
            raise EngineFault(f"the keeper of the attempt was killed; {killed} processes were swept up")
        return run.conclude(exited, was_stopped=stop.is_set())

    def _launch(self, attempt: Attempt, snakefile: str, scratch: Path, options: SnakemakeOptions) -> Launch:
        folders = {"HOME": scratch / "home", "TMPDIR": scratch / "tmp", "XDG_CACHE_HOME": scratch / "cache"}
        for folder in (*folders.values(), attempt.log_dir / TASK_LOGS):
            folder.mkdir(parents=True, exist_ok=True)
        environment = self._environment | {name: str(folder) for name, folder in folders.items()}
        environment[ATTEMPT_MARKER] = _marker(attempt)
        # Whoever calls plain `python` or `snakemake` and has none gets ours.
        environment["PATH"] = f"{environment['PATH']}{os.pathsep}{Path(sys.executable).parent}"
        rules: Rules | None = None
        if self._sandbox is not None:
            rules = self._sandbox.rules(
                work_dir=attempt.work_dir, log_dir=attempt.log_dir, scratch=scratch, is_plan=attempt.is_dry
            )
        return Launch(
            work_dir=str(attempt.work_dir),
            log_dir=str(attempt.log_dir / TASK_LOGS),
            engine_log=str(attempt.log_dir / ENGINE_LOG),
            snakefile=snakefile,
            parameters=attempt.parameters,
            cores=attempt.cores,
            environment=environment,
            limits=self._limits | (PLAN_LIMITS if attempt.is_dry else {}),
            options=options,
            is_dry=attempt.is_dry,
            rules=rules,
        )


def find_snakefile(attempt: Attempt) -> str | Failure:
    """Return the main file, relative to the work directory, or why there is none."""
    wanted = attempt.snakefile
    if wanted is not None:
        path = Path(os.path.realpath(attempt.work_dir / wanted))
        if Path(wanted).is_absolute() or not path.is_relative_to(os.path.realpath(attempt.work_dir)):
            return _no_snakefile(f"the Snakefile must lie within the workflow's folder: {wanted!r} does not")
        if not path.is_file():
            return _no_snakefile(f"there is no Snakefile {wanted!r} in the workflow's folder")
        return wanted
    for name in STANDARD_SNAKEFILES:
        if (attempt.work_dir / name).is_file():
            return name
    return _no_snakefile(f"no Snakefile was found; looked for {', '.join(STANDARD_SNAKEFILES)}")


def _no_snakefile(message: str) -> Failure:
    return Failure(cause=FailureCause.WORKFLOW, message=message)


def _marker(attempt: Attempt) -> str:
    return f"{attempt.job_id}/{attempt.attempt}"


class _Run:
    """One attempt while it runs: its messages and logs become events."""

    def __init__(self, attempt: Attempt, emit: Emit, rules: Rules | None) -> None:
        self._attempt = attempt
        self._rules = rules
        self._emit = emit
        self._progress = Progress(attempt.job_id, attempt.attempt)
        self._frames = FrameReader()
        self._counts = TaskCounts()
        self._engine_log = attempt.log_dir / ENGINE_LOG
        self._own_log = OwnLog(self._engine_log)
        self._task_tails: dict[str, tuple[Tail, Tail]] = {}
        self._bad_frame: BadFrame | None = None

    async def follow(self, child: Child, stop: anyio.Event) -> Exited | None:
        """Tell what happens until the attempt is gone; when cancelled, kill it first."""
        exited: Exited | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._stop_when_told, child, stop)
                tasks.start_soon(self._show_logs)
                tasks.start_soon(self._read_events, child)
                if await child.started() is not None:
                    exited = await child.exited()
                tasks.cancel_scope.cancel()
            await self._read_rest(child)
        except BaseException:
            child.kill()
            with anyio.CancelScope(shield=True), anyio.move_on_after(KILL_DEADLINE_S):
                if exited is None:
                    await child.exited()
            raise
        return exited

    async def join_log(self) -> None:
        """Make the engine's log whole."""
        await anyio.to_thread.run_sync(self._own_log.join)

    def conclude(self, exited: Exited, *, was_stopped: bool) -> Outcome:
        """Say how the attempt ended."""
        if exited.left:
            raise EngineFault(f"{exited.left} processes of the attempt cannot be killed")
        ended = self._progress.ended
        succeeded = exited.exit_code == 0 and ended is not None and ended.problem is None
        if succeeded:
            self.finish(TaskState.COMPLETED, "")
            return self._outcome(OutcomeKind.SUCCEEDED, None)
        if was_stopped:
            self.finish(TaskState.CANCELLED, "the run was stopped")
            return self._outcome(OutcomeKind.STOPPED, None)
        self.finish(TaskState.FAILED, "the run ended before it")
        work_dir = self._attempt.work_dir
        failure = explained(self._failure(exited), self._rules, work_dir)
        return self._outcome(OutcomeKind.FAILED, without_folder(failure, work_dir))

    def finish(self, state: TaskState, reason: str) -> None:
        """Close every task that has no end, and show the rest of the logs."""
        for task in self._progress.close(state, reason, datetime.now(UTC)):
            self._tell(task)
        self._emit_all(self._own_log.read(is_over=True))
        self._count()

    def _outcome(self, kind: OutcomeKind, failure: Failure | None) -> Outcome:
        outputs = existing_files(self._progress.outputs, self._attempt.work_dir)
        return Outcome(kind=kind, failure=failure, tasks=self._progress.counts, outputs=outputs)

    def _failure(self, exited: Exited) -> Failure:
        task = self._progress.failed_task
        if task is not None:
            return task_failure(task, self._progress, tail_of_file(self._log_path(task, "stderr")))
        tail = tail_of_file(self._engine_log)
        if self._bad_frame is not None and exited.exit_code >= 0:
            message = f"what the workflow's process reported cannot be read: {self._bad_frame}"
            return Failure(cause=FailureCause.WORKFLOW, message=message, stderr_tail=tail)
        return run_failure(self._progress, exited.exit_code, tail)

    async def _stop_when_told(self, child: Child, stop: anyio.Event) -> None:
        await stop.wait()
        child.stop()

    async def _read_events(self, child: Child) -> None:
        while chunk := await child.read_events():
            self._take(chunk)

    async def _read_rest(self, child: Child) -> None:
        """Read what arrived before the end: no writer is left, so this ends."""
        with anyio.move_on_after(KILL_DEADLINE_S):
            await self._read_events(child)

    async def _show_logs(self) -> None:
        while True:
            await anyio.sleep(LIVE_LOG_PAUSE_S)
            self._emit_all(self._own_log.read())
            for tails in self._task_tails.values():
                for tail in tails:
                    self._emit_all(tail.read())

    def _take(self, chunk: bytes) -> None:
        if self._bad_frame is not None:
            return
        try:
            for message in self._frames.feed(chunk):
                for task in self._progress.apply(message):
                    self._tell(task)
        except (BadFrame, KeyError) as error:
            # Only code of the workflow can have written this; without its last message no run is a success.
            self._bad_frame = BadFrame(str(error))
        self._count()

    def _tell(self, task: Task) -> None:
        """Emit a task; its logs begin with it and end before it."""
        task = replace(task, updated_at=datetime.now(UTC))
        if task.state is TaskState.RUNNING and task.id not in self._task_tails:
            self._task_tails[task.id] = (
                Tail(self._log_path(task, "stdout"), LogStream.STDOUT, task_id=task.id),
                Tail(self._log_path(task, "stderr"), LogStream.STDERR, task_id=task.id),
            )
        if task.ended_at is None:
            self._emit(TaskChanged(task=task))
            return
        for tail in self._task_tails.pop(task.id, ()):
            self._emit_all(tail.read(is_over=True))
        stdout, stderr = self._log_path(task, "stdout"), self._log_path(task, "stderr")
        self._emit(
            TaskChanged(
                task=task,
                stdout_path=stdout if stdout.exists() else None,
                stderr_path=stderr if stderr.exists() else None,
            )
        )

    def _count(self) -> None:
        counts = self._progress.counts
        if counts != self._counts:
            self._counts = counts
            self._emit(CountsChanged(counts=counts))

    def _emit_all(self, written: list[LogWritten]) -> None:
        for each in written:
            self._emit(each)

    def _log_path(self, task: Task, stream: str) -> Path:
        return self._attempt.log_dir / TASK_LOGS / f"{task.id}.{stream}"
