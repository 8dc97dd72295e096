"""One job of the graph in a separate process: a fork of the attempt, with its own session and output files."""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import contextlib
import gc
import io
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import msgspec
from msgspec import Struct
from snakemake.exceptions import format_exception_to_string

from penstock_engines.snakemake.attempt_process.patches import renew_shell_lock, replace_event_loops
from penstock_engines.snakemake.messages import shorten
from penstock_execution.processes.process_tree import children_of, die_with

_RESET: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
"""Signals that do to a job what they do to any process."""


class TaskReport(Struct, frozen=True, kw_only=True):
    """What the process of a job reports before it leaves, when the job failed."""

    exit_code: int
    """Of the command that failed, negative for a signal; 1 for an exception in Python code."""
    exception: str
    """The class of the exception."""
    text: str
    """As Snakemake puts it."""
    raised: str | None = None
    """The exception that was raised first, where it was no failed command."""


class TaskFiles(Struct, frozen=True):
    """Where the output of one try of a job goes."""

    stdout: Path
    stderr: Path


def fork_task(
    body: Callable[[], None], files: TaskFiles, workflow: Any, *, isolate: Callable[[], None], close: tuple[int, ...]
) -> tuple[int, int]:
    """Run `body` in a forked process; return its id and a descriptor that holds a `TaskReport` after a failure.

    The process calls `isolate` before it does anything else of the job, and does not keep the descriptors in `close`.

    Raises:
        OSError: there is no room for another process.

    """
    report = os.memfd_create("task-report")
    parent = os.getpid()
    # What is still buffered belongs to this process and would be written twice.
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal to the child waits until the attempt's handlers are gone from it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _RESET)
    try:
        pid = os.fork()
        if pid == 0:
            _run(body, files, workflow, report, parent, isolate, close)
    except OSError:
        os.close(report)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _RESET)
    return pid, report


def report_of(error: BaseException, workflow: Any) -> TaskReport:
    """Return how a job failed that raised `error`."""
    text = shorten(str(format_exception_to_string(error, workflow.linemaps)))
    return TaskReport(exit_code=_exit_code(error), exception=type(error).__name__, text=text, raised=_raised(error))


def read_report(report: int) -> TaskReport | None:
    """Return what the process left in `report`, and close it."""
    try:
        raw = os.pread(report, 1024 * 1024, 0)
    finally:
        os.close(report)
    with contextlib.suppress(msgspec.MsgspecError):
        return msgspec.json.decode(raw, type=TaskReport)
    return None


def _run(
    body: Callable[[], None],
    files: TaskFiles,
    workflow: Any,
    report: int,
    parent: int,
    isolate: Callable[[], None],
    close: tuple[int, ...],
) -> NoReturn:
    exit_code = 1
    try:
        for descriptor in close:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        gc.freeze()  # what the attempt holds stays shared with it
        os.setsid()
        die_with(parent)
        isolate()
        for number in _RESET:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, _terminated)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _RESET)
        _redirect(files)
        # They share their selector with the attempt: closing them here would make it deaf there.
        kept = replace_event_loops(workflow)
        renew_shell_lock()
        body()
        del kept
        exit_code = 0
    except BaseException as error:  # noqa: BLE001 - the boundary of the process: every exception becomes the report
        exit_code = _report_failure(error, workflow, report)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(exit_code)


def _terminated(number: int, _frame: FrameType | None) -> None:
    """Leave with clean-up; but while a command runs, which got the signal too, let it end in its own way first."""
    if not children_of(os.getpid()):
        raise SystemExit(128 + number)


def _redirect(files: TaskFiles) -> None:
    for descriptor, path in ((1, files.stdout), (2, files.stderr)):
        opened = open_log(path)
        os.dup2(opened, descriptor)
        os.close(opened)
    # Fresh objects: the lock of the old ones may have been held by another thread of the attempt.
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), line_buffering=True, write_through=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), line_buffering=True, write_through=True)
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    # Assigned, not removed and added: that would take locks. The attempt's own handlers belong to its threads.
    logging.getLogger("snakemake.logging").handlers = [handler]


def open_log(path: Path) -> int:
    """Open a log file to write at its end, as the runner's user alone may; return the descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _report_failure(error: BaseException, workflow: Any, report: int) -> int:
    if isinstance(error, SystemExit) and error.code in (0, None):
        return 0
    exit_code = 1
    with contextlib.suppress(Exception):
        failure = report_of(error, workflow)
        exit_code = failure.exit_code
        if failure.raised is not None:
            # A command wrote its own errors; for Python code this is the place where a reader looks for them.
            sys.stderr.write(failure.text + "\n")
        os.pwrite(report, msgspec.json.encode(failure), 0)
    return exit_code if 0 < exit_code < 256 else 1


def _exit_code(error: BaseException) -> int:
    for cause in _causes(error):
        if isinstance(cause, subprocess.CalledProcessError):
            return int(cause.returncode)
        if isinstance(cause, SystemExit):
            return cause.code if isinstance(cause.code, int) else 1
    return 1


def _raised(error: BaseException) -> str | None:
    causes = list(_causes(error))
    if any(isinstance(cause, subprocess.CalledProcessError) for cause in causes):
        return None
    first = causes[-1]
    return shorten(f"{type(first).__name__}: {first}".removesuffix(": "))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and what it was raised from."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__
