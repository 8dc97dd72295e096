"""Snakemake's graph of jobs, as messages."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

import msgspec

from penstock_runner.engines.snakemake.messages import BATCH, GraphChanged, GraphTask
from penstock_runner.engines.snakemake.reporting import Reporter

T = TypeVar("T")

_RULE_CHARS: Final = 40
_DIGEST_CHARS: Final = 12


def task_key(rule: str, wildcards: Mapping[str, str]) -> str:
    """Return the token that stands for (rule, wildcards) in every run of the workflow."""
    digest = hashlib.sha256(msgspec.json.encode([rule, sorted(wildcards.items())])).hexdigest()[:_DIGEST_CHARS]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", rule).strip("-")[:_RULE_CHARS] or "rule"
    return f"{readable}-{digest}"


def job_key(job: Any) -> str:
    """Return the key of one of Snakemake's jobs."""
    return task_key(str(job.rule.name), plain_wildcards(job))


def plain_wildcards(job: Any) -> dict[str, str]:
    """Return a job's wildcards."""
    return {str(name): str(value) for name, value in job.wildcards_dict.items()}


def needed_jobs(dag: Any) -> list[Any]:
    """Return the jobs that need to run, finished ones included, each after those that it depends on."""
    levels = dag.toposorted(set(dag.needrun_jobs(exclude_finished=False)))
    return [job for level in levels for job in sorted(level, key=_name)]


def _name(job: Any) -> tuple[str, list[tuple[str, str]]]:
    return str(job.rule.name), sorted(plain_wildcards(job).items())


class GraphWatch:
    """Tells what is new in the graph since it looked last."""

    def __init__(self, dag: Any, reporter: Reporter) -> None:
        self._dag = dag
        self._reporter = reporter
        self._known: dict[str, tuple[str, ...]] = {}
        """Key to the keys that it depends on."""
        self._size: tuple[int, int] | None = None
        self._is_stale = True

    def expect_change(self) -> None:
        """Look again even when the graph has the same size: a checkpoint replaces jobs."""
        self._is_stale = True

    def refresh(self) -> bool:
        """Report new jobs, changed dependencies and jobs that are not needed any more; return whether it looked."""
        size = (len(self._dag.jobs), len(self._dag))
        if not self._is_stale and size == self._size:
            return False
        self._is_stale, self._size = False, size
        entries = {entry.key: entry for entry in self._entries()}
        changed = [entry for key, entry in entries.items() if self._known.get(key) != entry.depends_on]
        gone = [key for key in self._known if key not in entries]
        self._known = {key: entry.depends_on for key, entry in entries.items()}
        for tasks in in_batches(changed):
            self._reporter.report(GraphChanged(tasks=tasks))
        for keys in in_batches(gone):
            self._reporter.report(GraphChanged(gone=keys))
        return True

    def _entries(self) -> Iterator[GraphTask]:
        keys: dict[Any, str] = {job: job_key(job) for job in needed_jobs(self._dag)}
        for job, key in keys.items():
            yield GraphTask(
                key=key,
                rule=str(job.rule.name),
                wildcards=plain_wildcards(job),
                depends_on=tuple(sorted(keys[other] for other in self._dag.dependencies[job] if other in keys)),
                is_checkpoint=bool(job.rule.is_checkpoint),
            )


def in_batches(items: Iterable[T]) -> Iterator[tuple[T, ...]]:
    """Yield `items` in pieces that fit a message."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield tuple(batch)
            batch.clear()
    if batch:
        yield tuple(batch)
