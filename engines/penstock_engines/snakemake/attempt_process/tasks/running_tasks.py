"""The processes of an attempt's tasks: they are started, observed, collected and ended here.

A task's process is a fork of the attempt, or its shell command, started from a thread. What the end of a process means
for its task is decided by the executor plugin.
"""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import os
import resource
import select
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from penstock_engines.snakemake.attempt_process.graph import TaskNumbers
from penstock_engines.snakemake.attempt_process.tasks.shell_process import ShellJob, commands_of
from penstock_engines.snakemake.attempt_process.tasks.task_limits import LimitedTask, Processors, limited_task
from penstock_engines.snakemake.attempt_process.tasks.task_process import (
    TaskFiles,
    TaskReport,
    fork_task,
    read_report,
    report_of,
)
from penstock_engines.snakemake.messages import Message, ProcessStarted, shorten
from penstock_execution.processes.event_pipe import OWN_THREADS, Reporter
from penstock_execution.processes.process_tree import kill_group, kill_session

CANCEL_GRACE_S: Final = 0.6
"""How long a job may take to end after SIGTERM before it gets SIGKILL."""
MEMBER_GRACE_S: Final = 5.0
"""The same for a member of a group that is not needed any more."""
LOOK_PAUSE_S: Final = 0.5
"""How often the waiting thread looks for members that are overdue."""


@dataclass(eq=False)
class SubmittedGroup:
    """What Snakemake submitted as one: a job, or a group of jobs joined by pipes or services."""

    info: SubmittedJobInfo
    tasks: list["RunningTask"]
    failed: "RunningTask | None" = None
    """The member that failed first; the others were killed for it."""
    is_over: bool = False
    """Whether its end was reported to Snakemake."""

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
    group: SubmittedGroup | None = None
    pid: int = 0
    descriptor: int = -1
    """The process, as a descriptor."""
    report_descriptor: int = -1
    used: list[resource.struct_rusage] = field(default_factory=list[resource.struct_rusage])
    """What its processes used that were collected."""
    exit_code: int | None = None
    report: TaskReport | None = None
    was_killed: bool = False
    """By this executor."""
    kill_at: float | None = None
    """When it gets SIGKILL, after SIGTERM; monotonic seconds."""
    limited: LimitedTask | None = None
    """What its rule requests, where that is enforced."""
    exceeded: str | None = None
    """Which of these limits it went beyond: it fails for that with any exit code."""


class RunningTasks:
    """The processes of tasks that run.

    Args:
        workflow: Snakemake's, for the text of exceptions.
        log_dir: the folder for the output of each task.
        isolate: called in each process before it does anything else.
        reporter: receives the start of each process.
        numbers: what represents tasks in messages.
        settle: called in any thread with each task whose process ended, unless all were cancelled.
        enforced: the resources that rules request and tasks may not exceed.

    """

    def __init__(
        self,
        workflow: Any,
        log_dir: Path,
        isolate: Callable[[], None],
        *,
        reporter: Reporter[Message],
        numbers: TaskNumbers,
        settle: Callable[[RunningTask], None],
        enforced: frozenset[str] = frozenset(),
    ) -> None:
        self._workflow = workflow
        self._log_dir = log_dir
        self._isolate = isolate
        self._reporter = reporter
        self._numbers = numbers
        self._settle_ended = settle
        self._enforced = enforced
        self._processors = Processors()
        self._lock = threading.Lock()
        self._running: dict[int, RunningTask] = {}
        """By descriptor."""
        self._is_cancelled = False
        self._next_look = 0.0
        self._epoll = select.epoll()
        threading.Thread(target=self._wait, name=f"{OWN_THREADS}waiter", daemon=True).start()

    def start(self, task: RunningTask, body: Callable[[], None]) -> None:
        """Start a task's process, which runs `body`, and return."""
        if self._enforced:
            with self._lock:
                task.limited = limited_task(task.job, self._enforced, self._processors)
        if task.is_command:
            threading.Thread(
                target=self._run_command, args=(task, body), name=f"{OWN_THREADS}command", daemon=True
            ).start()
        else:
            self._fork(task, body)

    def shut_down(self) -> None:
        """Stop waiting; nothing runs any more."""
        self._epoll.close()

    def cancel(self) -> None:
        """End every process: SIGTERM, and SIGKILL for what is still there after the grace."""
        self._is_cancelled = True
        self._kill(signal.SIGTERM)
        deadline = time.monotonic() + CANCEL_GRACE_S
        while self._running and time.monotonic() < deadline:
            time.sleep(0.01)
        self._kill(signal.SIGKILL)

    def kill_members(self, group: SubmittedGroup, chosen: Callable[[RunningTask], bool]) -> None:
        """Send SIGTERM to those members of a group that still run, and SIGKILL after a time."""
        with self._lock:
            for member in group.tasks:
                if member.descriptor in self._running and member.exit_code is None and chosen(member):
                    member.was_killed = True
                    member.kill_at = time.monotonic() + MEMBER_GRACE_S
                    kill_session(member.pid, signal.SIGTERM)

    def _fork(self, task: RunningTask, body: Callable[[], None]) -> None:
        try:
            task.pid, task.report_descriptor = fork_task(
                body, self._files(task), self._workflow, isolate=self._isolated(task), close=self._descriptors()
            )
        except OSError as error:
            task.exit_code = 1
            text = f"its process could not be started: {error}"
            task.report = TaskReport(exit_code=1, exception="OSError", text=text, raised=text)
            self._settle(task)
            return
        self._entered(task)
        self._epoll.register(task.descriptor, select.EPOLLIN)

    def _run_command(self, task: RunningTask, body: Callable[[], None]) -> None:
        """Run a task's shell command from this thread."""

        def has_started(pid: int) -> None:
            task.pid = pid
            self._entered(task)

        def is_ending(pid: int) -> None:
            self._reporter.wait_taken()
            with self._lock:
                self._left(task)

        adopt = task.limited.adopt if task.limited else None
        job = ShellJob(self._files(task), has_started, is_ending, task.used.append, self._entering(task), adopt)
        try:
            with commands_of(job):
                body()
            task.exit_code = 0
        except Exception as error:  # noqa: BLE001 - the boundary of the thread: every exception becomes the report
            task.report = report_of(error, self._workflow)
            task.exit_code = task.report.exit_code
        if not self._is_cancelled:
            self._settle(task)

    def _entering(self, task: RunningTask) -> Callable[[], None]:
        """Return what confines the thread that starts a task's process."""
        limited = task.limited
        if limited is None:
            return self._isolate

        def enter() -> None:
            self._isolate()
            limited.enter()

        return enter

    def _isolated(self, task: RunningTask) -> Callable[[], None]:
        """Return what a forked task's process calls first."""
        limited, enter = task.limited, self._entering(task)
        if limited is None:
            return enter

        def enter_and_adopt() -> None:
            enter()
            limited.adopt()

        return enter_and_adopt

    def _settle(self, task: RunningTask) -> None:
        """Hand on a task that ended, failed where it exceeded a limit."""
        limited = task.limited
        if limited is not None:
            with self._lock:
                self._processors.give_back(limited.processors)
            task.exceeded = task.exceeded or (limited.at_end() if task.exit_code == 0 else None)
        if limited is not None and task.exceeded is not None:
            limited.kill_left()
            task.exit_code = task.exit_code or 1
            text = shorten(f"rule {task.job.rule.name}: {task.exceeded}")
            task.report = TaskReport(
                exit_code=task.exit_code, exception="ResourceLimitExceeded", text=text, raised=task.exceeded
            )
        self._settle_ended(task)

    def _files(self, task: RunningTask) -> TaskFiles:
        name = task.key if task.try_number == 1 else f"{task.key}-{task.try_number}"
        return TaskFiles(self._log_dir / f"{name}.stdout", self._log_dir / f"{name}.stderr")

    def _descriptors(self) -> tuple[int, ...]:
        """Return the descriptors of other tasks, their reports included: a new process must not keep them."""
        with self._lock:
            return tuple(
                item
                for task in self._running.values()
                for item in (task.report_descriptor, task.descriptor)
                if item >= 0
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
        elif task.group is not None and task.group.failed is not None:
            # A member of its group failed before this one was there to be killed: it would wait for ever.
            self.kill_members(task.group, lambda member: member is task)

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
            self._look_at_limits()
            for descriptor, _ in ready:
                self._collect(descriptor)

    def _collect(self, descriptor: int) -> None:
        self._reporter.wait_taken()
        with self._lock:
            task = self._running[descriptor]
            self._epoll.unregister(descriptor)
            self._left(task)
            _, status, used = os.wait4(task.pid, 0)
        task.used.append(used)
        task.report = read_report(task.report_descriptor)
        # What a process left in its report gives more details of a failure, and never makes one a success.
        task.exit_code = (task.report.exit_code if task.report else 0) or os.waitstatus_to_exitcode(status)
        if not self._is_cancelled:
            self._settle(task)

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        with self._lock:
            for task in self._running.values():
                if task.kill_at is not None and now >= task.kill_at and task.exceeded is None:
                    kill_session(task.pid, signal.SIGKILL)

    def _look_at_limits(self) -> None:
        """Measure the tasks that have limits, and end those that went beyond one."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_PAUSE_S
        with self._lock:
            limited = [(task, task.limited) for task in self._running.values() if task.limited is not None]
        for task, limits in limited:
            reason = limits.exceeded(task.pid) or task.exceeded  # it also looks for new processes of the task
            if reason is None:
                continue
            with self._lock:
                if self._running.get(task.descriptor) is not task:
                    continue  # it ended meanwhile
                if task.exceeded is None:
                    task.exceeded = reason
                    task.kill_at = now + limits.grace_s
                    if limits.grace_s:
                        kill_session(task.pid, signal.SIGTERM)
                if task.kill_at is not None and now >= task.kill_at:
                    limits.kill(task.pid)

    def _kill(self, number: signal.Signals) -> None:
        with self._lock:
            for task in self._running.values():
                task.was_killed = True
                kill_session(task.pid, number)


def _ended_well(pid: int) -> bool:
    """Return whether a process that ended exited with 0, without collecting it."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return ended is not None and ended.si_code == os.CLD_EXITED and ended.si_status == 0
