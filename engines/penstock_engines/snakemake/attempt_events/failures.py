"""The failure of a run, as precisely as it is known: which rule and wildcards, its exit code, its last words."""

import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from penstock_engines.snakemake.attempt_events.exit_reasons import signal_name
from penstock_engines.snakemake.attempt_events.progress import TaskProgress, described
from penstock_execution.engine import EngineFault
from penstock_execution.files.workflow_files import WorkflowFolder, read_file
from penstock_schemas.jobs import Failure, FailureCause, LogFileTail
from penstock_schemas.views import Task

TAIL_LINES: Final = 20
TAIL_BYTES: Final = 4096
MAX_LOG_TAILS: Final = 4
"""Of so many log files of the failed task the end is shown."""
MAX_LINE_CHARS: Final = 400
"""Of a line that a sentence quotes."""
_FATAL_SIGNALS: Final = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})
"""Signals that a program brings on itself: trying again would end the same way."""


class LastWords(Struct, frozen=True, kw_only=True):
    """The last lines of what a task wrote."""

    stderr: str | None = None
    stdout: str | None = None
    logs: tuple[LogFileTail, ...] = ()
    """Of the files that its rule declares as its `log:`."""


def task_failure(task: Task, progress: TaskProgress, words: LastWords) -> Failure:
    """Return the failure of a run in which `task` failed first, with the last it wrote."""
    stderr_tail = words.stderr
    if stderr_tail is None and words.stdout is None and not words.logs:
        stderr_tail = tail_of_text(progress.error_of(task.name) or "")
    return Failure(
        cause=FailureCause.WORKFLOW,
        message=f"{described(task)} {progress.why_failed(task)}{_logged(words)}",
        rule=task.name,
        wildcards=task.wildcards,
        exit_code=task.exit_code,
        stderr_tail=stderr_tail,
        stdout_tail=words.stdout,
        log_tails=words.logs,
    )


def _logged(words: LastWords) -> str:
    """Quote the last line of a task's log file, where the task wrote nothing else."""
    if words.stderr is not None or words.stdout is not None or not words.logs:
        return ""
    log = words.logs[0]
    return f"; the last line of {log.path}: {log.text.rstrip().splitlines()[-1].strip()[:MAX_LINE_CHARS]}"


def run_failure(progress: TaskProgress, exit_code: int, tail: str | None) -> Failure:
    """Return the failure of a run whose process ended with `exit_code` without a failed task.

    Raises:
        EngineFault: the process was killed from outside.

    """
    problem = progress.ended.problem if progress.ended else None
    if problem is not None:
        # Its own text, if any: the end of the log also contains text of Snakemake.
        words = None if problem.is_complete else tail_of_text(problem.text) or tail
        message = problem.message + (_printed(tail) if problem.is_exit else "")
        return Failure(cause=FailureCause.WORKFLOW, message=message, rule=problem.rule, stderr_tail=words)
    if exit_code < 0:
        name = signal_name(-exit_code)
        if -exit_code not in _FATAL_SIGNALS:
            raise EngineFault(f"the process of the attempt was killed by {name}")
        return Failure(cause=FailureCause.WORKFLOW, message=f"Snakemake's process crashed: {name}", stderr_tail=tail)
    return Failure(
        cause=FailureCause.WORKFLOW,
        message=f"the workflow's process ended itself with exit code {exit_code} before the workflow had run"
        + _printed(tail),
        exit_code=exit_code,
        stderr_tail=tail,
    )


def _printed(tail: str | None) -> str:
    """Quote the last line of a log: a workflow that ends itself prints the reason before."""
    lines = [line.strip() for line in (tail or "").splitlines() if line.strip()]
    return f"; the last it printed: {lines[-1][:MAX_LINE_CHARS]}" if lines else ""


def without_folder(failure: Failure, folder: Path) -> Failure:
    """Return `failure` with the files below the attempt's folder named as its author knows them."""
    prefixes = sorted({f"{folder}/", f"{folder.resolve()}/"}, key=len, reverse=True)

    def shortened(text: str) -> str:
        for prefix in prefixes:
            text = text.replace(prefix, "")
        return text

    return replace(
        failure,
        message=shortened(failure.message),
        stderr_tail=failure.stderr_tail and shortened(failure.stderr_tail),
        stdout_tail=failure.stdout_tail and shortened(failure.stdout_tail),
        log_tails=tuple(replace(tail, text=shortened(tail.text)) for tail in failure.log_tails),
    )


def tail_of_file(path: Path) -> str | None:
    """Return the last lines of a log; `None` when there are none, or there is no regular file."""
    try:
        return tail_of_text(read_file(path, start=-TAIL_BYTES, max_bytes=TAIL_BYTES).decode(errors="replace"))
    except OSError:
        return None


def tails_of_logs(work_dir: Path, files: Sequence[tuple[str, str]]) -> tuple[LogFileTail, ...]:
    """Return the last lines of log files of the workflow: each is given by its name and the file with its content."""
    found: list[LogFileTail] = []
    with WorkflowFolder(work_dir) as folder:
        for name, content in files:
            with contextlib.suppress(OSError):
                raw = folder.read(content, start=-TAIL_BYTES, max_bytes=TAIL_BYTES)
                text = tail_of_text(raw.decode(errors="replace"))
                if text is not None:
                    found.append(LogFileTail(path=name, text=text))
    return tuple(found)


def tail_of_text(text: str) -> str | None:
    """Return the last lines of a text; `None` when there are none."""
    lines = text.rstrip().splitlines()[-TAIL_LINES:]
    kept = "\n".join(lines).encode()[-TAIL_BYTES:].decode(errors="ignore")
    return kept if kept.strip() else None
