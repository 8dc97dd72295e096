"""The command of a `shell:` rule as a separate process, without a fork of the attempt around it.

Snakemake starts the command from a thread, with `subprocess.Popen` of the module that it knows as `sp`. In a thread
that works for a job, that `Popen` is ours: the command gets a session, and files for what it writes. Forking the
attempt would do as well, and costs several times what the command does.
"""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import os
import subprocess
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from resource import struct_rusage
from typing import Any

from msgspec import Struct

from penstock_engines.snakemake.attempt_process.patches import replace_subprocess
from penstock_engines.snakemake.attempt_process.tasks.task_process import TaskFiles, open_log
from penstock_execution.processes.event_pipe import OWN_THREADS


class ShellJob(Struct, frozen=True):
    """What the command of a job needs to know."""

    files: TaskFiles
    has_started: Callable[[int], None]
    """Called with the process id."""
    is_ending: Callable[[int], None]
    """Called when the process has ended, and its id still is its own."""
    has_ended: Callable[[struct_rusage], None]
    """Called with what it used, once it was collected."""
    isolate: Callable[[], None]
    """Called in the thread that then starts the process, which inherits what it does."""
    prepare: Callable[[], None] | None = None
    """Called in the process itself before it becomes the command."""


_thread = threading.local()


class JobCommand(subprocess.Popen[Any]):
    """A command that belongs to a job."""

    def __init__(self, job: ShellJob, command: str, **how: Any) -> None:
        self._job = job
        with (
            os.fdopen(open_log(job.files.stdout), "ab") as stdout,
            os.fdopen(open_log(job.files.stderr), "ab") as stderr,
        ):
            if how.get("stdout") != subprocess.PIPE:
                how["stdout"] = stdout
            start: Any = super().__init__  # its many overloads do not fit arguments that Snakemake chose
            how |= {"stderr": stderr, "start_new_session": True, "preexec_fn": job.prepare}
            _in_thread(job.isolate, lambda: start(command, **how))
        self._job.has_started(self.pid)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and report it before the process id is given back."""
        if self.returncode is None and timeout is None:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            self._job.is_ending(self.pid)
            _, status, used = os.wait4(self.pid, 0)
            self.returncode = os.waitstatus_to_exitcode(status)
            self._job.has_ended(used)
        return super().wait(timeout)


def _in_thread(isolate: Callable[[], None], start: Callable[[], None]) -> None:
    """Start a process from a separate thread, which ends then: what isolates it must not hold for this one."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            isolate()
            start()
        except BaseException as error:  # noqa: BLE001 - it is raised where it belongs
            raised.append(error)

    thread = threading.Thread(target=work, name=f"{OWN_THREADS}start", daemon=True)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


class _Subprocess:
    """Replaces the module `subprocess` within `snakemake.shell`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, command: str, **how: Any) -> "subprocess.Popen[Any]":  # noqa: N802 - the name that it replaces
        job: ShellJob | None = getattr(_thread, "job", None)
        return JobCommand(job, command, **how) if job else subprocess.Popen(command, **how)


def watch_shell() -> None:
    """Have Snakemake start commands through this module, in this process."""
    replace_subprocess(_Subprocess())


@contextmanager
def commands_of(job: ShellJob) -> Generator[None]:
    """Let the commands that this thread starts belong to `job`."""
    _thread.job = job
    try:
        yield
    finally:
        _thread.job = None
