"""The failure of a run, as precisely as it is known: which rule and wildcards, its exit code, its last words."""

import signal
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from penstock_runner.engines.snakemake.progress import Progress
from penstock_runner.engines.snakemake.verdicts import signal_name
from penstock_schemas.jobs import Failure, FailureCause
from penstock_schemas.views import Task

TAIL_LINES: Final = 20
TAIL_BYTES: Final = 4096
_FATAL_SIGNALS: Final = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})
"""Signals that a program brings on itself: trying again would end the same way."""


class EngineFault(Exception):
    """The engine or the machine failed, not the workflow: another attempt may succeed."""


def task_failure(task: Task, progress: Progress, tail: str | None) -> Failure:
    """Return the failure of a run in which `task` failed first; `tail` is what it wrote last to its standard error."""
    wildcards = ", ".join(f"{name}={value}" for name, value in sorted(task.wildcards.items()))
    who = f"rule {task.name} ({wildcards})" if wildcards else f"rule {task.name}"
    return Failure(
        cause=FailureCause.WORKFLOW,
        message=f"{who} {progress.why_failed(task)}",
        rule=task.name,
        wildcards=task.wildcards,
        exit_code=task.exit_code,
        stderr_tail=tail or tail_of_text(progress.error_of(task.name) or ""),
    )


def run_failure(progress: Progress, exit_code: int, tail: str | None) -> Failure:
    """Return the failure of a run whose process ended with `exit_code` without a failed task.

    Raises:
        EngineFault: the process was killed from outside.

    """
    problem = progress.ended.problem if progress.ended else None
    if problem is not None:
        # Its own words, where there are some: the log's end would begin amid what Snakemake says of itself.
        words = None if problem.is_complete else tail_of_text(problem.text) or tail
        return Failure(cause=FailureCause.WORKFLOW, message=problem.message, rule=problem.rule, stderr_tail=words)
    if exit_code < 0:
        name = signal_name(-exit_code)
        if -exit_code not in _FATAL_SIGNALS:
            raise EngineFault(f"the process of the attempt was killed by {name}")
        return Failure(cause=FailureCause.WORKFLOW, message=f"Snakemake's process crashed: {name}", stderr_tail=tail)
    return Failure(
        cause=FailureCause.WORKFLOW,
        message=f"the workflow's process ended itself with exit code {exit_code} before the workflow had run",
        exit_code=exit_code,
        stderr_tail=tail,
    )


def without_folder(failure: Failure, folder: Path) -> Failure:
    """Return `failure` with the files below the attempt's folder named as its author knows them."""
    prefixes = sorted({f"{folder}/", f"{folder.resolve()}/"}, key=len, reverse=True)
    message, tail = failure.message, failure.stderr_tail
    for prefix in prefixes:
        message, tail = message.replace(prefix, ""), tail and tail.replace(prefix, "")
    return replace(failure, message=message, stderr_tail=tail)


def tail_of_file(path: Path) -> str | None:
    """Return the last lines of a log; `None` when there are none."""
    try:
        with path.open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - TAIL_BYTES))
            return tail_of_text(log.read().decode(errors="replace"))
    except OSError:
        return None


def tail_of_text(text: str) -> str | None:
    """Return the last lines of a text; `None` when there are none."""
    lines = text.rstrip().splitlines()[-TAIL_LINES:]
    kept = "\n".join(lines).encode()[-TAIL_BYTES:].decode(errors="ignore")
    return kept if kept.strip() else None
