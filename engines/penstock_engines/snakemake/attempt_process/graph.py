"""Snakemake's graph of jobs, as messages."""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from penstock_engines.snakemake.messages import (
    BATCH,
    BATCH_CHARS,
    MAX_CHECKED_OUTPUTS,
    MAX_DECLARED,
    MAX_DEPENDENCIES,
    MAX_NAME_CHARS,
    MAX_TASKS,
    MAX_VALUE_CHARS,
    GraphChanged,
    GraphTask,
    Message,
    chars_of,
    fit,
    fit_wildcards,
)
from penstock_execution.processes.event_pipe import Reporter

T = TypeVar("T")

NOT_KEPT: Final = ("temp", "temporary", "pipe", "service")
"""Flags of outputs that are not meant to stay."""
NO_FILES: Final = ("pipe", "service")
"""Flags of outputs that are no files. A temporary one is stored where Snakemake left it: it was requested."""
_RULE_CHARS: Final = 40
_DIGEST_CHARS: Final = 12


def task_key(rule: str, wildcards: Mapping[str, str]) -> str:
    """Return the token that represents (rule, wildcards) in every run of the workflow."""
    digest = hashlib.sha256(msgspec.json.encode([rule, sorted(wildcards.items())])).hexdigest()[:_DIGEST_CHARS]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", rule).strip("-")[:_RULE_CHARS] or "rule"
    return f"{readable}-{digest}"


def job_key(job: Any) -> str:
    """Return the key of one of Snakemake's jobs, as the reader of the messages makes it too."""
    return task_key(*_identity(str(job.rule.name), plain_wildcards(job)))


def plain_wildcards(job: Any) -> dict[str, str]:
    """Return a job's wildcards."""
    return {str(name): str(value) for name, value in job.wildcards_dict.items()}


def needed_jobs(dag: Any) -> list[Any]:
    """Return the jobs that need to run, finished ones included, each after those that it depends on."""
    levels = dag.toposorted(set(dag.needrun_jobs(exclude_finished=False)))
    return [job for level in levels for job in sorted(level, key=_name)]


def _name(job: Any) -> tuple[str, list[tuple[str, str]]]:
    return str(job.rule.name), sorted(plain_wildcards(job).items())


def declared_paths(job: Any, directive: str) -> tuple[str, ...]:
    """Return the files of a job's `log` or `benchmark`, absolute, the first ones of many.

    There are none where they are not known.
    """
    with contextlib.suppress(Exception):  # a function of the workflow may give them
        found = getattr(job, directive)
        names = [found] if isinstance(found, str) else list(found or ())
        # From the present folder, which the workflow's `workdir:` may have changed.
        paths = (os.path.abspath(str(name)) for name in names[:MAX_DECLARED])  # noqa: PTH100 - links stay links
        return tuple(path for path in paths if len(path) <= MAX_VALUE_CHARS)
    return ()


class TaskNumbers:
    """The numbers that represent jobs of the graph in messages."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.graph: GraphWatch | None = None
        """The graph that reports them, once there is one."""

    def of_job(self, job: Any) -> int:
        """Return the number of one of Snakemake's jobs."""
        return self._numbers.setdefault(job_key(job), len(self._numbers))

    def find(self, rule: str, wildcards: Mapping[str, str]) -> int | None:
        """Return the number of a job by its rule and wildcards; `None` when it was in no graph."""
        return self._numbers.get(task_key(*_identity(rule, wildcards)))


class GraphWatch:
    """Reports what is new in the graph since the last time."""

    def __init__(self, dag: Any, reporter: Reporter[Message], numbers: TaskNumbers, work_dir: Path) -> None:
        self._dag = dag
        self._reporter = reporter
        self._numbers = numbers
        numbers.graph = self
        self._work_dir = work_dir
        self._known: dict[int, tuple[int, ...]] = {}
        """Number to the numbers that it depends on."""
        self._size: tuple[int, int] | None = None
        self._is_stale = True

    def expect_change(self) -> None:
        """Look again even when the graph has the same size: a checkpoint replaces jobs."""
        self._is_stale = True

    def refresh(self) -> bool:
        """Report new jobs, changed dependencies and jobs that are not needed any more; return whether it looked.

        Raises:
            ValueError: there are more jobs than a run may have.

        """
        size = (len(self._dag.jobs), len(self._dag))
        if not self._is_stale and size == self._size:
            return False
        self._is_stale, self._size = False, size
        entries = {entry.task: entry for entry in self._entries()}
        if len(entries) > MAX_TASKS:
            raise ValueError(f"the graph has {len(entries):,} jobs; at most {MAX_TASKS:,} are supported")
        changed = [entry for number, entry in entries.items() if self._known.get(number) != entry.depends_on]
        gone = [number for number in self._known if number not in entries]
        self._known = {number: entry.depends_on for number, entry in entries.items()}
        for tasks in in_batches(changed, chars_of):
            self._reporter.report(GraphChanged(tasks=tasks))
        for numbers in in_batches(gone):
            self._reporter.report(GraphChanged(gone=numbers))
        return True

    def conclude(self) -> None:
        """Report the graph at the end of a run that ended well."""
        self.expect_change()
        self.refresh()

    def _entries(self) -> Iterator[GraphTask]:
        """Yield the jobs, each behind those that it waits for."""
        jobs = needed_jobs(self._dag)
        needed = set(jobs)
        for job in jobs:
            depends_on = sorted(self._numbers.of_job(other) for other in self._dag.dependencies[job] if other in needed)
            yield GraphTask(
                task=self._numbers.of_job(job),
                rule=fit(str(job.rule.name), MAX_NAME_CHARS),
                wildcards=fit_wildcards(plain_wildcards(job)),
                depends_on=tuple(depends_on[:MAX_DEPENDENCIES]),
                is_checkpoint=bool(job.rule.is_checkpoint),
                is_norun=bool(job.is_norun),
                is_service=bool(getattr(job, "is_service", False)),
                outputs=tuple(self._lasting_outputs(job))[:MAX_CHECKED_OUTPUTS],
                logs=declared_paths(job, "log"),
                benchmarks=declared_paths(job, "benchmark"),
            )

    def _lasting_outputs(self, job: Any) -> Iterator[str]:
        """Yield the outputs that must be there when the job ended well, where they are in the work directory."""
        chars = 0
        for output in job.output:
            flags = getattr(output, "flags", {})
            if any(flag in flags for flag in NOT_KEPT) or getattr(output, "is_storage", False):
                continue
            path = os.path.relpath(os.path.abspath(str(output)), self._work_dir)  # noqa: PTH100 - links stay links
            chars += len(path)
            if not path.startswith("..") and len(path) <= MAX_VALUE_CHARS and chars <= BATCH_CHARS:
                yield path


def _identity(rule: str, wildcards: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    return fit(rule, MAX_NAME_CHARS), fit_wildcards(wildcards)


def in_batches(items: Iterable[T], weigh: Callable[[T], int] = lambda _: 1) -> Iterator[tuple[T, ...]]:
    """Yield `items` in pieces that fit a message; `weigh` returns the characters of one."""
    batch: list[T] = []
    weight = 0
    for item in items:
        weight += weigh(item)
        if batch and (len(batch) == BATCH or weight > BATCH_CHARS):
            yield tuple(batch)
            batch.clear()
            weight = weigh(item)
        batch.append(item)
    if batch:
        yield tuple(batch)
