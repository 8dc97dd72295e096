"""Snakemake's executor plugin of this engine: every job is a separate process, reported from start to end.

Stock Snakemake runs shell commands from threads, with their output mixed into its own, and starts a new `snakemake` for
each `run:` block. Here each job has its own session, files for its output and an exact exit code. A plain `shell:` job
is its command; every other one is forked from the attempt, so a `run:` block costs no cold start. Python threads that
the Snakefile started do not survive a fork, so when there are any, `run:` blocks get a new `snakemake` as in stock.
"""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import os
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

from penstock_engines.snakemake.attempt_process.graph import TaskNumbers, job_key
from penstock_engines.snakemake.attempt_process.graph_report import GraphReport
from penstock_engines.snakemake.attempt_process.patches import LocalExecutor, job_body, local_settings, pool_threads
from penstock_engines.snakemake.attempt_process.software.unsupported import Software
from penstock_engines.snakemake.attempt_process.tasks.running_tasks import RunningTask, RunningTasks, SubmittedGroup
from penstock_engines.snakemake.attempt_process.tasks.shell_process import watch_shell
from penstock_engines.snakemake.counted_use import use_of
from penstock_engines.snakemake.messages import Message, TryEnded, TryStarted
from penstock_execution.processes.event_pipe import OWN_THREADS, NullReporter, Reporter
from penstock_execution.sandbox.task_domain import enter_own_domain

PLUGIN_NAME: Final = "penstock"
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
    graph: Any = field(default=None, metadata={"help": "set by the engine: reports the graph"})
    numbers: Any = field(default=None, metadata={"help": "set by the engine: what represents jobs in messages"})
    enforced: Any = field(default=frozenset(), metadata={"help": "requested resources that tasks may not exceed"})
    restore: Any = field(default=None, metadata={"help": "takes the outputs of a job from the cache, if it can"})
    is_confined: bool = field(default=False, metadata={"help": "whether jobs are kept from the attempt's process"})


class Executor(LocalExecutor):  # type: ignore[misc]  # Snakemake is not typed
    """Runs every job of the graph as a process."""

    def __post_init__(self) -> None:
        settings = self.executor_settings or ExecutorSettings()
        self.use_threads = True
        self.keepincomplete = self.workflow.execution_settings.keep_incomplete
        self._reporter: Reporter[Message] = settings.reporter or NullReporter()
        log_dir = Path(settings.log_dir or Path(".snakemake", "penstock-tasks").absolute())
        log_dir.mkdir(parents=True, exist_ok=True)
        watch_shell()
        self._numbers: TaskNumbers = settings.numbers or TaskNumbers()
        self._graph: GraphReport = settings.graph or GraphReport(self._reporter, self._numbers, Path.cwd(), Software())
        self._graph.refresh(self.dag)
        self._restore: Callable[[Any], bool] | None = settings.restore
        self._settling = threading.Lock()
        """Processes end in several threads."""
        self._ended: dict[Any, RunningTask] = {}
        """By job: how its last try ended, until Snakemake judged it."""
        self._processes = RunningTasks(
            self.workflow,
            log_dir,
            enter_own_domain if settings.is_confined else _do_nothing,
            reporter=self._reporter,
            numbers=self._numbers,
            settle=self._settle,
            enforced=frozenset(settings.enforced),
        )

    def run_jobs(self, jobs: list[Any]) -> None:
        """Start jobs; the graph may have grown since the last ones.

        Raises:
            MissingSoftware: a new rule needs what this runner does not provide.

        """
        self._graph.refresh(self.dag)
        super().run_jobs(jobs)

    def run_job(self, job: Any) -> None:
        """Start a job or a group and return."""
        group = SubmittedGroup(info=SubmittedJobInfo(job=job), tasks=[])
        members = list(job) if job.is_group() else [job]
        group.tasks = [
            RunningTask(
                member, job_key(member), job.attempt, is_service=bool(getattr(member, "is_service", False)), group=group
            )
            for member in members
        ]
        services = [task for task in group.tasks if task.is_service]
        if services:
            self._start_all(services)
            self._wait_for_services(group, services)
        others = [task for task in group.tasks if not task.is_service]
        if self._restore is not None and self._restore(job):
            self._report_start(others)
            self.report_job_submission(group.info)
            self.report_job_success(group.info)
        elif job.is_group() or not job.is_norun:
            self._start_all(others, submitted=group.info)
        else:
            self._report_start(others)
            self.report_job_submission(group.info)
            self.report_job_success(group.info)

    def handle_job_success(self, job: Any) -> None:
        """Report the end of a job whose outputs Snakemake found in order; the engine looks for them meanwhile."""
        for item in list(job) if job.is_group() else [job]:
            if item.rule.is_checkpoint:
                self._graph.expect_change()
            task = self._ended.pop(item, None)
            self._report_end(item, job.attempt, task, ok=True, will_retry=False)
        self._reporter.wait_taken()

    def handle_job_error(self, job: Any) -> None:
        """Report the end of a job that failed, or whose outputs were not in order."""
        will_retry = bool(job.restart_times > job.attempt - 1)
        for item in list(job) if job.is_group() else [job]:
            task = self._ended.pop(item, None)
            has_succeeded = job.is_group() and task is not None and task.exit_code == 0
            self._report_end(item, job.attempt, task, ok=has_succeeded, will_retry=will_retry)

    def shutdown(self) -> None:
        """Stop waiting; nothing runs any more."""
        self._processes.shut_down()

    def cancel(self) -> None:
        """End every job: SIGTERM, and SIGKILL for what is still there after the grace."""
        self._processes.cancel()
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
        self._report_start(tasks)
        for task, body in zip(tasks, bodies, strict=True):
            self._processes.start(task, body)

    def _wait_for_services(self, group: SubmittedGroup, services: list[RunningTask]) -> None:
        """Give services the time to offer what their consumers need, which cannot even be prepared before."""
        deadline = time.monotonic() + SERVICE_READY_S
        offers = [Path(str(output)) for task in services for output in task.job.output]
        while group.failed is None and time.monotonic() < deadline and not all(offer.exists() for offer in offers):
            time.sleep(0.01)

    def _settle(self, task: RunningTask) -> None:
        """Draw the conclusions of the end of a process."""
        group = task.group
        assert group is not None  # set when it was made
        with self._settling:
            if task.is_service and task.was_killed:
                task.exit_code = 0  # a service never ends by itself
            self._ended[task.job] = task
            if task.exit_code != 0 and group.failed is None:
                group.failed = task
                self._processes.kill_members(group, lambda _: True)
            if not group.waits_for and group.failed is None:
                self._processes.kill_members(group, lambda member: member.is_service)
            if group.is_over or any(member.exit_code is None for member in group.tasks):
                return
            group.is_over = True
        if group.failed is None:
            self.report_job_success(group.info)
        else:
            self._fail(group, group.failed)

    def _fail(self, group: SubmittedGroup, task: RunningTask) -> None:
        if task.report is not None:
            logger.error(task.report.text, extra={"event": LogEvent.ERROR, "exception": task.report.exception})
        self.report_job_error(group.info, exit_code=task.exit_code)

    def _report_start(self, tasks: list[RunningTask]) -> None:
        for task in tasks:
            number = self._numbers.of_job(task.job)
            self._reporter.report(TryStarted(task=number, try_number=task.try_number, time=_now()))

    def _report_end(self, job: Any, try_number: int, task: RunningTask | None, *, ok: bool, will_retry: bool) -> None:
        self._reporter.report(
            TryEnded(
                task=self._numbers.of_job(job),
                try_number=try_number,
                time=_now(),
                ok=ok,
                exit_code=_bounded(task.exit_code) if task else None,
                raised=task.report.raised if task and task.report and not task.was_killed else None,
                will_retry=will_retry and not ok,
                cancelled=bool(task and task.was_killed and not ok),
                used=use_of(task.used, is_command=task.is_command) if task else None,
            )
        )


def _bounded(exit_code: int | None) -> int | None:
    """Return an exit code as the kernel would: Python code may leave with any number."""
    return exit_code if exit_code is None or exit_code < 0 else exit_code & 0xFF or min(exit_code, 1)


def _do_nothing() -> None:
    """Leave a job's process as it is."""


def _now() -> datetime:
    return datetime.now(UTC)


def register() -> None:
    """Make this module known to Snakemake under `PLUGIN_NAME`."""
    from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

    ExecutorPluginRegistry().register_plugin(f"snakemake_executor_plugin_{PLUGIN_NAME}", sys.modules[__name__])
