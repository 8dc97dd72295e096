"""Snakemake's executor plugin of this engine: every job is a separate process, told of from its start to its end.

Stock Snakemake runs shell commands from threads, with their output mixed into its own, and starts a new `snakemake` for
each `run:` block. Here each job has its own session, files for its output and an exact exit code. A plain `shell:` job
is its command; every other one is forked from the attempt, so a `run:` block costs no cold start. Python threads that
the Snakefile started do not survive a fork, so when there are any, `run:` blocks get a new `snakemake` as in stock.
"""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from snakemake.logging import logger
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase
from snakemake_interface_logger_plugins.common import LogEvent

from penstock_engines.snakemake.attempt_process.graph import GraphWatch, TaskNumbers, job_key, needed_jobs
from penstock_engines.snakemake.attempt_process.patches import LocalExecutor, job_body, local_settings, pool_threads
from penstock_engines.snakemake.attempt_process.shell_process import ShellJob, commands_of, watch_shell
from penstock_engines.snakemake.attempt_process.task_process import (
    TaskFiles,
    TaskReport,
    fork_task,
    read_report,
    report_of,
)
from penstock_engines.snakemake.attempt_process.unsupported import Inspection, MissingSoftware, Software
from penstock_engines.snakemake.messages import Message, ProcessStarted, TryEnded, TryStarted, found
from penstock_execution.processes.event_pipe import OWN_THREADS, NullReporter, Reporter
from penstock_execution.processes.process_tree import kill_group, kill_session
from penstock_execution.sandbox.task_domain import enter_own_domain

PLUGIN_NAME: Final = "penstock"
CANCEL_GRACE_S: Final = 0.6
"""How long a job may take to end after SIGTERM before it gets SIGKILL."""

MEMBER_GRACE_S: Final = 5.0
"""The same for a member of a group that is not needed any more."""
LOOK_PAUSE_S: Final = 0.5
"""How often the waiting thread looks for members that are overdue."""
SERVICE_READY_S: Final = 5.0
"""How long a service may take to offer its output, as long as stock Snakemake waits for a file."""
LOG_LISTENER: Final = "(_monitor)"
"""How the name of the thread ends in which Snakemake runs logger plugins."""

common_settings = local_settings


@dataclass
class ExecutorSettings(ExecutorSettingsBase):  # type: ignore[misc]  # Snakemake is not typed
    """Where the output of jobs and the messages go."""

    log_dir: str = field(default="", metadata={"help": "folder for the output of each job"})
    reporter: Any = field(default=None, metadata={"help": "set by the engine, in the process itself"})
    software: Any = field(default=None, metadata={"help": "whether the run may go on without declared software"})
    cores: int = field(default=1, metadata={"help": "how many cores the run has"})
    profile: Any = field(default=(), metadata={"help": "what the workflow's profile sets and the run does not get"})
    numbers: Any = field(default=None, metadata={"help": "set by the engine: what stands for jobs in messages"})
    work_dir: str = field(default="", metadata={"help": "the folder of the workflow"})
    is_confined: bool = field(default=False, metadata={"help": "whether jobs are kept from the attempt's process"})


@dataclass(eq=False)
class Run:
    """What Snakemake submitted as one: a job, or a group of jobs joined by pipes or services."""

    info: SubmittedJobInfo
    tasks: list["RunningTask"]
    failed: "RunningTask | None" = None
    """The member that failed first; the others were killed for it."""
    is_over: bool = False
    """Whether Snakemake was told of its end."""

    @property
    def waits_for(self) -> bool:
        """Whether a member that must end by itself is still running."""
        return any(task.exit_code is None and not task.is_service for task in self.tasks)


@dataclass(eq=False)
class RunningTask:
    """One try of one job, in its process."""

    job: Any
    key: str
    try_number: int
    is_service: bool = False
    is_command: bool = False
    """Its process is its shell command, started from a thread, and no fork of the attempt."""
    run: Run | None = None
    pid: int = 0
    descriptor: int = -1
    """The process, as a descriptor."""
    report: int = -1
    exit_code: int | None = None
    told: TaskReport | None = None
    was_killed: bool = False
    """By this executor."""
    kill_at: float | None = None
    """When it gets SIGKILL, after SIGTERM; monotonic seconds."""


class Executor(LocalExecutor):  # type: ignore[misc]  # Snakemake is not typed
    """Runs every job of the graph as a process."""

    def __post_init__(self) -> None:
        settings = self.executor_settings or ExecutorSettings()
        self.use_threads = True
        self.keepincomplete = self.workflow.execution_settings.keep_incomplete
        self._reporter: Reporter[Message] = settings.reporter or NullReporter()
        self._log_dir = Path(settings.log_dir or Path(".snakemake", "penstock-tasks").absolute())
        self._log_dir.mkdir(parents=True, exist_ok=True)
        watch_shell()
        self._numbers: TaskNumbers = settings.numbers or TaskNumbers()
        self._isolate: Callable[[], None] = enter_own_domain if settings.is_confined else _do_nothing
        work_dir = Path(settings.work_dir or Path.cwd())
        self._graph = GraphWatch(self.dag, self._reporter, self._numbers, work_dir)
        self._software: Software = settings.software or Software()
        self._inspection = Inspection(self.workflow, settings.cores, profile=settings.profile)
        self._refresh()
        self._lock = threading.Lock()
        self._settling = threading.Lock()
        """Jobs end in several threads; taken before the other lock."""
        self._running: dict[int, RunningTask] = {}
        """By descriptor."""
        self._ended: dict[Any, RunningTask] = {}
        """By job: how its last try ended, until Snakemake judged it."""
        self._is_cancelled = False
        self._epoll = select.epoll()
        threading.Thread(target=self._wait, name=f"{OWN_THREADS}waiter", daemon=True).start()

    def run_jobs(self, jobs: list[Any]) -> None:
        """Start jobs; the graph may have grown since the last ones."""
        self._refresh()
        super().run_jobs(jobs)

    def _refresh(self) -> None:
        """Report what is new in the graph.

        Raises:
            MissingSoftware: a new rule needs what this runner does not provide.

        """
        if not self._graph.refresh():
            return
        findings = self._inspection.look(needed_jobs(self.dag))
        refusal = self._software.refusal(findings)
        if findings:
            self._reporter.report(found(findings, refusal))
        if refusal is not None:
            raise MissingSoftware(refusal)

    def run_job(self, job: Any) -> None:
        """Start a job or a group and return."""
        run = Run(info=SubmittedJobInfo(job=job), tasks=[])
        members = list(job) if job.is_group() else [job]
        run.tasks = [
            RunningTask(
                member, job_key(member), job.attempt, is_service=bool(getattr(member, "is_service", False)), run=run
            )
            for member in members
        ]
        services = [task for task in run.tasks if task.is_service]
        if services:
            self._start_all(services)
            self._wait_for_services(run, services)
        others = [task for task in run.tasks if not task.is_service]
        if job.is_group() or not job.is_norun:
            self._start_all(others, submitted=run.info)
        else:
            self._tell_start(others)
            self.report_job_submission(run.info)
            self.report_job_success(run.info)

    def handle_job_success(self, job: Any) -> None:
        """Report the end of a job whose outputs Snakemake found in order; the engine looks for them meanwhile."""
        for item in list(job) if job.is_group() else [job]:
            if item.rule.is_checkpoint:
                self._graph.expect_change()
            task = self._ended.pop(item, None)
            self._tell_end(item, job.attempt, task, ok=True, will_retry=False)
        self._reporter.wait_taken()

    def handle_job_error(self, job: Any) -> None:
        """Tell the end of a job that failed, or whose outputs were not in order."""
        will_retry = bool(job.restart_times > job.attempt - 1)
        for item in list(job) if job.is_group() else [job]:
            task = self._ended.pop(item, None)
            is_innocent = job.is_group() and task is not None and task.exit_code == 0
            self._tell_end(item, job.attempt, task, ok=is_innocent, will_retry=will_retry)

    def shutdown(self) -> None:
        """Stop waiting; nothing runs any more."""
        self._epoll.close()

    def cancel(self) -> None:
        """End every job: SIGTERM, and SIGKILL for what is still there after the grace."""
        self._is_cancelled = True
        self._kill(signal.SIGTERM)
        deadline = time.monotonic() + CANCEL_GRACE_S
        while self._running and time.monotonic() < deadline:
            time.sleep(0.01)
        self._kill(signal.SIGKILL)
        self.shutdown()

    # What runs in a job's process

    def _body(self, task: RunningTask) -> Callable[[], None]:
        job = task.job
        # A shadow directory is the process' working directory, which the attempt cannot change.
        task.is_command = bool(job.is_shell and not job.is_shadow)
        if job.is_run and not job.is_template_engine and not job.is_norun and self._has_foreign_threads():
            command = self.format_job_exec(job)
            return lambda: os.execv("/bin/sh", ["/bin/sh", "-c", command])  # noqa: S606 - Snakemake's own command line
        return job_body(self, job)

    def _has_foreign_threads(self) -> bool:
        """Whether Python threads run that neither Snakemake nor this executor started."""
        pool = pool_threads(self.workflow)
        return any(
            not (
                thread is threading.main_thread()
                or thread in pool
                or thread.name.startswith(OWN_THREADS)
                or thread.name.endswith(LOG_LISTENER)
            )
            for thread in threading.enumerate()
        )

    # The life of a job's process

    def _start_all(self, tasks: list[RunningTask], submitted: SubmittedJobInfo | None = None) -> None:
        """Prepare jobs, mark their outputs as incomplete, and start them."""
        bodies = [self._body(task) for task in tasks]
        if submitted is not None:
            self.report_job_submission(submitted)
        self._tell_start(tasks)
        for task, body in zip(tasks, bodies, strict=True):
            if task.is_command:
                threading.Thread(
                    target=self._run_command, args=(task, body), name=f"{OWN_THREADS}command", daemon=True
                ).start()
            else:
                self._start(task, body)

    def _wait_for_services(self, run: Run, services: list[RunningTask]) -> None:
        """Give services the time to offer what their consumers need, which cannot even be prepared before."""
        deadline = time.monotonic() + SERVICE_READY_S
        offers = [Path(str(output)) for task in services for output in task.job.output]
        while run.failed is None and time.monotonic() < deadline and not all(offer.exists() for offer in offers):
            time.sleep(0.01)

    def _start(self, task: RunningTask, body: Callable[[], None]) -> None:
        try:
            task.pid, task.report = fork_task(
                body, self._files(task), self.workflow, isolate=self._isolate, close=self._reports()
            )
        except OSError as error:
            task.exit_code = 1
            text = f"its process could not be started: {error}"
            task.told = TaskReport(exit_code=1, exception="OSError", text=text, raised=text)
            self._settle(task)
            return
        self._entered(task)
        self._epoll.register(task.descriptor, select.EPOLLIN)

    def _run_command(self, task: RunningTask, body: Callable[[], None]) -> None:
        """Run a job's shell command from this thread."""

        def has_started(pid: int) -> None:
            task.pid = pid
            self._entered(task)

        def is_ending(pid: int) -> None:
            self._reporter.wait_taken()
            with self._lock:
                self._left(task)

        job = ShellJob(self._files(task), has_started, is_ending, self._isolate)
        try:
            with commands_of(job):
                body()
            task.exit_code = 0
        except Exception as error:  # noqa: BLE001 - the boundary of the thread: whatever it is becomes the report
            task.told = report_of(error, self.workflow)
            task.exit_code = task.told.exit_code
        if not self._is_cancelled:
            self._settle(task)

    def _files(self, task: RunningTask) -> TaskFiles:
        name = task.key if task.try_number == 1 else f"{task.key}-{task.try_number}"
        return TaskFiles(self._log_dir / f"{name}.stdout", self._log_dir / f"{name}.stderr")

    def _reports(self) -> tuple[int, ...]:
        """Return the descriptors of what other jobs leave for this process: not for a new job to see."""
        with self._lock:
            return tuple(
                item for task in self._running.values() for item in (task.report, task.descriptor) if item >= 0
            )

    def _entered(self, task: RunningTask) -> None:
        """Remember a process that runs, and kill it when it came too late."""
        with self._lock:
            task.descriptor = os.pidfd_open(task.pid)
            self._running[task.descriptor] = task
        self._reporter.report(
            ProcessStarted(task=self._numbers.of_job(task.job), try_number=task.try_number, pid=task.pid)
        )
        if self._is_cancelled:
            kill_session(task.pid)
        elif task.run is not None and task.run.failed is not None:
            # A member of its group failed before this one was there to be killed: it would wait for ever.
            self._kill_members(task.run, lambda member: member is task)

    def _left(self, task: RunningTask) -> None:
        """Forget a process that ended but was not collected yet, so that its id still is its own."""
        if not _ended_well(task.pid):
            # What a failed job left running must not write beside its next try.
            kill_group(task.pid)
        del self._running[task.descriptor]
        os.close(task.descriptor)

    def _wait(self) -> None:
        """Collect processes that end, until the executor is shut down."""
        while True:
            try:
                ready = self._epoll.poll(LOOK_PAUSE_S)
            except (ValueError, OSError):  # closed
                return
            self._kill_overdue()
            for descriptor, _ in ready:
                self._collect(descriptor)

    def _collect(self, descriptor: int) -> None:
        self._reporter.wait_taken()
        with self._lock:
            task = self._running[descriptor]
            self._epoll.unregister(descriptor)
            self._left(task)
            _, status = os.waitpid(task.pid, 0)
        task.told = read_report(task.report)
        # What a process left in its report says more of a failure, and never makes one a success.
        task.exit_code = (task.told.exit_code if task.told else 0) or os.waitstatus_to_exitcode(status)
        if not self._is_cancelled:
            self._settle(task)

    def _settle(self, task: RunningTask) -> None:
        """Draw the conclusions of the end of a process."""
        run = task.run
        assert run is not None  # set when it was made
        with self._settling:
            if task.is_service and task.was_killed:
                task.exit_code = 0  # a service never ends by itself
            self._ended[task.job] = task
            if task.exit_code != 0 and run.failed is None:
                run.failed = task
                self._kill_members(run, lambda _: True)
            if not run.waits_for and run.failed is None:
                self._kill_members(run, lambda member: member.is_service)
            if run.is_over or any(member.exit_code is None for member in run.tasks):
                return
            run.is_over = True
        if run.failed is None:
            self.report_job_success(run.info)
        else:
            self._fail(run, run.failed)

    def _fail(self, run: Run, task: RunningTask) -> None:
        if task.told is not None:
            logger.error(task.told.text, extra={"event": LogEvent.ERROR, "exception": task.told.exception})
        self.report_job_error(run.info, exit_code=task.exit_code)

    def _kill_members(self, run: Run, chosen: Callable[[RunningTask], bool]) -> None:
        with self._lock:
            for member in run.tasks:
                if member.descriptor in self._running and member.exit_code is None and chosen(member):
                    member.was_killed = True
                    member.kill_at = time.monotonic() + MEMBER_GRACE_S
                    kill_session(member.pid, signal.SIGTERM)

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        with self._lock:
            for task in self._running.values():
                if task.kill_at is not None and now >= task.kill_at:
                    kill_session(task.pid, signal.SIGKILL)

    def _kill(self, number: signal.Signals) -> None:
        with self._lock:
            for task in self._running.values():
                task.was_killed = True
                kill_session(task.pid, number)

    def _tell_start(self, tasks: list[RunningTask]) -> None:
        for task in tasks:
            number = self._numbers.of_job(task.job)
            self._reporter.report(TryStarted(task=number, try_number=task.try_number, time=_now()))

    def _tell_end(self, job: Any, try_number: int, task: RunningTask | None, *, ok: bool, will_retry: bool) -> None:
        self._reporter.report(
            TryEnded(
                task=self._numbers.of_job(job),
                try_number=try_number,
                time=_now(),
                ok=ok,
                exit_code=_bounded(task.exit_code) if task else None,
                raised=task.told.raised if task and task.told and not task.was_killed else None,
                will_retry=will_retry and not ok,
                cancelled=bool(task and task.was_killed and not ok),
            )
        )


def _bounded(exit_code: int | None) -> int | None:
    """Return an exit code as the kernel would: Python code may leave with any number."""
    return exit_code if exit_code is None or exit_code < 0 else exit_code & 0xFF or min(exit_code, 1)


def _do_nothing() -> None:
    """Leave a job's process as it is."""


def _ended_well(pid: int) -> bool:
    """Look at how a process ended, without collecting it."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return ended is not None and ended.si_code == os.CLD_EXITED and ended.si_status == 0


def _now() -> datetime:
    return datetime.now(UTC)


def register() -> None:
    """Make this module known to Snakemake under `PLUGIN_NAME`."""
    from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

    ExecutorPluginRegistry().register_plugin(f"snakemake_executor_plugin_{PLUGIN_NAME}", sys.modules[__name__])
