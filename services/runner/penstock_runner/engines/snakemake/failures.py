"""The failure of a run, as precisely as it is known: which rule and wildcards, its exit code, its last words."""

import re
import signal
from pathlib import Path
from typing import Final

from penstock_runner.engines.snakemake.progress import Progress
from penstock_schemas.jobs import Failure, FailureCause
from penstock_schemas.views import Task

TAIL_LINES: Final = 20
TAIL_BYTES: Final = 4096
_FATAL_SIGNALS: Final = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})
"""Signals that a program brings on itself: trying again would end the same way."""
_MISSING_OUTPUT: Final = re.compile(r"some output files are missing\.(.*)", re.DOTALL)


class EngineFault(Exception):
    """The engine or the machine failed, not the workflow: another attempt may succeed."""


def task_failure(task: Task, progress: Progress, tail: str | None) -> Failure:
    """Return the failure of a run in which `task` failed first; `tail` is what it wrote last to its standard error."""
    text = task.message or progress.error_of(task.name)
    wildcards = ", ".join(f"{name}={value}" for name, value in sorted(task.wildcards.items()))
    who = f"rule {task.name} ({wildcards})" if wildcards else f"rule {task.name}"
    return Failure(
        cause=FailureCause.WORKFLOW,
        message=f"{who} {_what_happened(task, text)}",
        rule=task.name,
        wildcards=task.wildcards,
        exit_code=task.exit_code,
        stderr_tail=tail or tail_of_text(text or ""),
    )


def run_failure(progress: Progress, exit_code: int, tail: str | None) -> Failure:
    """Return the failure of a run whose process ended with `exit_code` without a failed task.

    Raises:
        EngineFault: the process was killed from outside.

    """
    problem = progress.ended.problem if progress.ended else None
    if problem is not None:
        return Failure(cause=FailureCause.WORKFLOW, message=problem.message, rule=problem.rule, stderr_tail=tail)
    if exit_code < 0:
        name = _signal_name(-exit_code)
        if -exit_code not in _FATAL_SIGNALS:
            raise EngineFault(f"the process of the attempt was killed by {name}")
        return Failure(cause=FailureCause.WORKFLOW, message=f"Snakemake's process crashed: {name}", stderr_tail=tail)
    return Failure(
        cause=FailureCause.WORKFLOW,
        message=f"the workflow's process ended itself with exit code {exit_code} before the workflow had run",
        exit_code=exit_code,
        stderr_tail=tail,
    )


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


def _what_happened(task: Task, text: str | None) -> str:
    missing = _MISSING_OUTPUT.search(text or "")
    if missing:
        files = [line.strip() for line in missing.group(1).splitlines() if line.strip() and "latency" not in line]
        return f"ended well but did not make all of its output: {', '.join(files[:5])}"
    code = task.exit_code
    if code is None or code == 0:
        return f"failed: {_first_line(text)}" if text else "failed"
    if code < 0:
        return f"was killed by {_signal_name(-code)}{_memory_hint(-code)}"
    if 128 < code < 160:
        return f"failed with exit code {code}: a command in it was killed by {_signal_name(code - 128)}" + _memory_hint(
            code - 128
        )
    python_error = _python_error(text)
    return f"failed: {python_error}" if python_error else f"failed with exit code {code}"


def _python_error(text: str | None) -> str | None:
    """Return what a `run:` block raised; `None` when a command failed."""
    if not text or "CalledProcessError" in text:
        return None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        # Snakemake puts the class and the place on the first line and the message on the second.
        inner = next((line for line in lines if re.match(r"^\w*(Error|Exception|Exit)\b", line)), lines[0])
        following = lines[lines.index(inner) + 1 :]
        return f"{inner} {following[0]}" if inner.endswith(":") and following else inner
    return lines[0] if lines else None


def _first_line(text: str | None) -> str:
    return next((line.strip() for line in (text or "").splitlines() if line.strip()), "")


def _memory_hint(number: int) -> str:
    return " (out of memory?)" if number == signal.SIGKILL else ""


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} (signal {number})"
    except ValueError:
        return f"signal {number}"
