"""A run in words: for `show`, and for the end of a watched run."""

from collections.abc import Iterator, Sequence
from typing import Final

import click
import msgspec

from penstock.terminal import tables
from penstock.terminal.exit_codes import Exit
from penstock.terminal.terminal_text import plain, plain_lines
from penstock_domain.quantities import counted
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.api import JobResponse
from penstock_schemas.jobs import Failure, JobState, LeftOut, LineageKind, TaskCounts
from penstock_schemas.measurements import MeasuredResources
from penstock_schemas.software import Package, SoftwareManifest
from penstock_schemas.views import Task

TAIL_LINES: Final = 15
"""Of standard error, under a failure."""

MAX_CHILDREN: Final = 5
"""Runs that `show` names as those that retry or repeat a run."""
MAX_HOLDERS: Final = 5
"""Runs that `show` names as those that another one waits for."""

EXIT_OF: Final = {
    JobState.COMPLETED: Exit.OK,
    JobState.FAILED: Exit.RUN_FAILED,
    JobState.CANCELLED: Exit.CANCELLED,
}
"""The exit code that a run's end becomes."""


def describe_job(job: JobResponse) -> Iterator[str]:
    """Yield the lines of `penstock show`."""
    rows: list[tuple[str, str]] = [
        ("run", job.id),
        ("pipeline", job.pipeline_name + (f", version {job.pipeline.version}" if job.pipeline else "")),
        ("state", describe_state(job)),
        ("waits for", describe_holders(job)),
        ("tasks", describe_tasks(job)),
        ("submitted", f"{tables.moment(job.created_at)} by {job.owner}"),
        ("started", tables.moment(job.started_at) + ("" if job.completed_at else f", {took(job)} ago")),
        ("ended", tables.moment(job.completed_at) + (f", after {took(job)}" if job.started_at else "")),
        ("engine", job.engine),
        ("runner", f"{job.runner_id or '-'}, attempt {job.attempt}" if job.attempt else ""),
        ("priority", str(job.priority) if job.priority else ""),
        ("once only", "" if job.requeue else "not requeued when its runner is stopped or lost"),
        ("labels", " ".join(f"{key}={value}" for key, value in sorted(job.labels.items()))),
        ("about", job.description or ""),
        ("parameters", msgspec.json.encode(job.parameters).decode() if job.parameters else ""),
        ("outputs", describe_outputs(job, "file") if job.output_files else ""),
        ("used", describe_use(job.measured)),
        ("parent", describe_parent(job)),
        ("children", describe_children(job)),
    ]
    for name, value in rows:
        if value and not value.startswith("-"):
            yield f"{name + ':':<12}{value}"
    yield from describe_preflight(job)
    yield from describe_warnings(job)
    if job.state is JobState.FAILED or job.damage is not None:
        yield from describe_failure(job)
    if may_lack_files(job):
        yield from left_out_lines(job.left_out)


def describe_holders(job: JobResponse) -> str:
    """Return which runs hold what a run waits for, as `1a2b3c4d of ada on runner-1, and 3 more`."""
    if job.waiting is None or not job.waiting.holder_count:
        return ""
    named_jobs = job.waiting.holders[:MAX_HOLDERS]
    named = ", ".join(f"{held.id[:8]} of {plain(held.owner)} on {held.runner_id}" for held in named_jobs)
    others = job.waiting.holder_count - len(named_jobs)
    if not named:
        return f"{counted(others, 'run')} of others"
    return f"{named}, and {others} more" if others > 0 else named


def describe_parent(job: JobResponse) -> str:
    """Return which run a run retries or repeats, as `retry of 1a2b3c4d, begins with 12 files, 3.1 MiB`."""
    parent = job.parent
    if parent is None:
        return ""
    text = f"{parent.kind.value} of {parent.id[:8]}"
    if parent.is_deleted:
        text += " (which was deleted)"
    if parent.kind is LineageKind.RETRY:
        files = counted(parent.result_files, "file")
        size = tables.size(parent.result_bytes)
        text += f", begins with {files}, {size}" if parent.result_files else ", begins without results"
    return text


def describe_children(job: JobResponse) -> str:
    """Return which runs retry or repeat a run, as `1a2b3c4d (retry, completed) and 3 more`."""
    named = ", ".join(
        f"{child.id[:8]} ({child.kind.value}, {child.status.value})" for child in job.children[:MAX_CHILDREN]
    )
    others = job.child_count - min(len(job.children), MAX_CHILDREN)
    return f"{named} and {others} more: penstock ls --of {job.id[:8]}" if others > 0 else named


def describe_outputs(job: JobResponse, noun: str) -> str:
    """Return how many outputs a run has, as `3 files, 1.2 MiB`."""
    return f"{counted(job.output_files, noun)}, {tables.size(job.output_bytes)}"


def describe_use(measured: MeasuredResources | None) -> str:
    """Return what a run used, as `at most 1.2 GiB of memory, 3m05s of processor time, 2.0 MiB read, ...`."""
    if measured is None:
        return ""
    parts: list[str] = []
    if measured.peak_memory_bytes is not None:
        parts.append(f"at most {tables.size(measured.peak_memory_bytes)} of memory at once")
    if measured.user_s is not None or measured.system_s is not None:
        parts.append(f"{tables.span((measured.user_s or 0.0) + (measured.system_s or 0.0))} of processor time")
    if measured.read_bytes is not None:
        parts.append(f"{tables.size(measured.read_bytes)} read from disk")
    if measured.written_bytes is not None:
        parts.append(f"{tables.size(measured.written_bytes)} written")
    return ", ".join(parts)


def may_lack_files(job: JobResponse) -> bool:
    """Return whether a run failed, or ended without results: a file that was left out may be the reason."""
    return job.state is JobState.FAILED or (job.state is JobState.COMPLETED and not job.output_files)


def left_out_lines(left_out: Sequence[LeftOut]) -> Iterator[str]:
    """Yield what was left out of a workflow's folder when it was sent, and why."""
    for item in left_out:
        size = f", {tables.size(item.size_bytes)}" if item.size_bytes else ""
        amount = f" ({counted(item.files, 'file')}{size})" if item.files > 1 or size else ""
        yield printable(f"left out: {item.path}{amount}: {item.reason}")


def printable(text: str) -> str:
    """Return a text that moves no cursor of a terminal, for any name of a file."""
    return "".join(item if item.isprintable() else "?" for item in text)


def describe_preflight(job: JobResponse) -> Iterator[str]:
    """Yield what a run declares and no connected runner provides, while it has not ended."""
    for sentence in job.preflight:
        yield click.style("not provided: ", fg="yellow") + plain_lines(sentence)


def describe_warnings(job: JobResponse) -> Iterator[str]:
    """Yield what the user must know of a run, however it ended."""
    for warning in job.warnings:
        yield click.style("warning: ", fg="yellow") + plain_lines(warning)


def describe_state(job: JobResponse) -> str:
    """Write a run's state, and what more is known of it."""
    word, detail = tables.state_word(job.state), plain(job.status_detail or "")
    if detail.startswith(word):
        return tables.styled(word) + detail.removeprefix(word)
    return tables.styled(word) + (f" ({detail})" if detail else "")


def describe_failure(job: JobResponse) -> Iterator[str]:
    """Yield what is known of a failure: the message, the rule, its exit code, the last it wrote."""
    failure: Failure | None = job.failure
    if failure is None:
        yield click.style("failed: ", fg="red") + plain_lines(job.error_message or "no reason was recorded")
        return
    yield click.style("failed: ", fg="red") + plain_lines(failure.message)
    if failure.rule:
        wildcards = ", ".join(f"{key}={value}" for key, value in failure.wildcards.items())
        yield plain(f"  rule {failure.rule}" + (f" ({wildcards})" if wildcards else "")) + _code(failure)
    elif failure.exit_code is not None:
        yield f" {_code(failure).removeprefix(',')}"
    if failure.stderr_tail:
        yield "  the last it wrote to standard error:"
        yield from _quoted(failure.stderr_tail)
    if failure.stdout_tail:
        yield "  the last it wrote to standard output:"
        yield from _quoted(failure.stdout_tail)
    for log in failure.log_tails:
        yield f"  the end of {plain(log.path)}:"
        yield from _quoted(log.text)


def _quoted(text: str) -> Iterator[str]:
    """Yield the last lines of what a workflow wrote."""
    yield from (f"    {plain(line)}" for line in text.rstrip().splitlines()[-TAIL_LINES:])


def describe_tasks(job: JobResponse) -> str:
    """Write a run's progress in words; empty when it has no tasks."""
    return describe_counts(job.tasks)


def describe_counts(counts: TaskCounts) -> str:
    """Write counts of tasks in words; empty when there are none."""
    if not counts.total:
        return ""
    parts = [f"{counts.done} of {counts.total} done"]
    parts += [f"{counts.running} running"] if counts.running else []
    parts += [f"{counts.failed} failed"] if counts.failed else []
    return ", ".join(parts)


def took(job: JobResponse) -> str:
    """Write how long a run took, or has taken so far."""
    if job.started_at is None:
        return ""
    return tables.span(((job.completed_at or SYSTEM.now()) - job.started_at).total_seconds())


def task_rows(tasks: Sequence[Task]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headers and rows of a table of tasks."""
    rows: list[tuple[str, ...]] = [
        (
            task.id,
            task.name,
            tables.state_word(task.state),
            str(task.attempt) if task.try_number == 1 else f"{task.attempt}.{task.try_number}",
            task_time(task),
            task_processor_time(task),
            task_memory(task),
            "" if task.exit_code is None else str(task.exit_code),
            task_wildcards(task),
            task.message or (f"from the cache: run {task.cached_from[:8]}" if task.cached_from else ""),
        )
        for task in tasks
    ]
    return ("TASK", "RULE", "STATE", "ATTEMPT", "TOOK", "CPU", "MEMORY", "EXIT", "WILDCARDS", "NOTE"), rows


def software_rows(found: SoftwareManifest) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headers and rows of a table of what was prepared for a run, one package a row."""
    rows: list[tuple[str, ...]] = [
        (item.label, item.kind.value, package.name, package.version, package.build, package.url or package.sha256)
        for item in found.items
        for package in item.packages or (Package(name="", version=item.identity),)
    ]
    return ("DECLARED", "KIND", "PACKAGE", "VERSION", "BUILD", "FROM"), rows


def task_file_rows(tasks: Sequence[Task]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headers and rows of a table of the log and benchmark files of tasks."""
    rows: list[tuple[str, ...]] = [
        (task.id, task.name, tables.state_word(task.state), file.kind.value, tables.size(file.size_bytes), file.path)
        for task in tasks
        for file in task.files
    ]
    return ("TASK", "RULE", "STATE", "KIND", "SIZE", "PATH"), rows


def task_wildcards(task: Task) -> str:
    """Write a task's wildcards."""
    return " ".join(f"{key}={value}" for key, value in task.wildcards.items())


def task_time(task: Task) -> str:
    """Write how long a task took, or has taken so far."""
    if task.started_at is None:
        return ""
    return tables.span(((task.ended_at or SYSTEM.now()) - task.started_at).total_seconds())


def task_processor_time(task: Task) -> str:
    """Write how much processor time a task took."""
    measured = task.measured
    if measured is None or measured.user_s is None or measured.system_s is None:
        return ""
    return tables.span(measured.user_s + measured.system_s)


def task_memory(task: Task) -> str:
    """Write the most memory that a task had, and what it requested, as `1.2 GiB of 2.0 GiB`."""
    peak = None if task.measured is None else task.measured.peak_memory_bytes
    if peak is None:
        return ""
    requested = task.resources.get("mem_mb")
    return tables.size(peak) + (f" of {tables.size(requested * 1_000_000)}" if isinstance(requested, int) else "")


def _code(failure: Failure) -> str:
    if failure.exit_code is None:
        return ""
    if failure.exit_code < 0:
        return f", ended by signal {-failure.exit_code}"
    return f", exit code {failure.exit_code}"
