"""Which stored logs a run has, and which of them are wanted. Pure.

The log of a run is made of parts: what the engine's own process wrote, and what each task wrote to its standard output
and to its standard error. Each part is stored whole when what wrote it has ended.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from penstock_schemas.outputs import OutputKind
from penstock_schemas.views import LogStream, Task, TaskState

OWN_STREAMS: Final = (LogStream.WORKFLOW, LogStream.ENGINE)
TASK_STREAMS: Final = (LogStream.STDOUT, LogStream.STDERR)
_ENDED: Final = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED})
_NAMES: Final = {LogStream.STDOUT: "standard output", LogStream.STDERR: "standard error"}


class LogPart(Struct, frozen=True, kw_only=True):
    """One stored log of a run."""

    title: str
    path: str
    """Of the API, with its query."""
    stream: LogStream
    task_id: str | None = None
    attempt: int = 0
    is_certain: bool = True
    """Whether the run reported it; otherwise there may be none."""


def parts_of_run(job_id: str, attempt: int, streams: Collection[LogStream]) -> Iterator[LogPart]:
    """Yield the engine's own log, as far as it is wanted: both of its streams together in the order of writing."""
    wanted = [one_stream for one_stream in OWN_STREAMS if not streams or one_stream in streams]
    if not wanted:
        return
    query = f"&stream={wanted[0].value}" if len(wanted) == 1 else ""
    yield LogPart(
        title="the engine and the workflow's own process",
        path=f"/jobs/{quote(job_id, safe='')}/logs?format=text{query}",
        stream=wanted[0] if len(wanted) == 1 else LogStream.ENGINE,
        attempt=attempt,
    )


def parts_of_tasks(
    job_id: str, tasks: Sequence[Task], streams: Collection[LogStream], files: str | None = None
) -> Iterator[LogPart]:
    """Yield what each task of a run that is over wrote, as far as it is wanted, in the order of their start.

    Args:
        job_id: the run.
        tasks: of it.
        streams: those wanted; empty: all of them. Of files, logs alone.
        files: a pattern; where it is given, only the log and benchmark files whose paths match it are wanted.

    """
    started = [(one_task.started_at, one_task) for one_task in tasks if one_task.started_at is not None]
    ordered = [one_task for _, one_task in sorted(started, key=lambda pair: pair[0])]
    # Several tasks may write to one file: it is printed once, as the last of them left it.
    last = {file.path: (task.name, task.wildcards) for task in ordered for file in task.files}
    for task in ordered:
        if files is None:
            yield from _written(job_id, task, streams)
        if files is not None or not streams or LogStream.FILE in streams:
            yield from _files(job_id, task, files, last)


def _files(
    job_id: str, task: Task, pattern: str | None, last: Mapping[str, tuple[str, Mapping[str, str]]]
) -> Iterator[LogPart]:
    for file in task.files:
        is_wanted = PurePosixPath(file.path).match(pattern) if pattern is not None else file.kind is OutputKind.LOG
        if is_wanted and last[file.path] == (task.name, task.wildcards):
            path = f"/jobs/{quote(job_id, safe='')}/tasks/{quote(task.id, safe='')}/files/{quote(file.path)}"
            yield LogPart(
                title=f"{label_of(task)}: {file.path}",
                path=path,
                stream=LogStream.FILE,
                task_id=task.id,
                attempt=task.attempt,
                is_certain=file.key is not None,
            )


def _written(job_id: str, task: Task, streams: Collection[LogStream]) -> Iterator[LogPart]:
    for stream, key in ((LogStream.STDOUT, task.stdout_key), (LogStream.STDERR, task.stderr_key)):
        # The last news of a task may be lost in an outage; its log is stored all the same.
        is_certain = key is not None
        if (not is_certain and task.state in _ENDED) or (streams and stream not in streams):
            continue
        yield LogPart(
            title=f"{label_of(task)}: {_NAMES[stream]}",
            path=f"/jobs/{quote(job_id, safe='')}/tasks/{quote(task.id, safe='')}/{stream.value}",
            stream=stream,
            task_id=task.id,
            attempt=task.attempt,
            is_certain=is_certain,
        )


def label_of(task: Task) -> str:
    """Write a task as its author knows it: rule, wildcards, and the try where it is not the first."""
    wildcards = ", ".join(f"{key}={value}" for key, value in task.wildcards.items())
    tried = f", try {task.try_number}" if task.try_number > 1 else ""
    return f"{task.name} ({wildcards}){tried}" if wildcards else task.name + tried


def is_meant(task: Task, wanted: str) -> bool:
    """Return whether a user's words match a task: its id, its rule, or its rule with some of its wildcards.

    `align`, `align sample=A`, `align (sample=A, lane=2)` and `align-0123456789ab` are such words.
    """
    if wanted in (task.id, task.name, label_of(task)):
        return True
    words = [word for word in re.split(r"[\s,()]+", wanted) if word]
    given = [word.partition("=") for word in words[1:]]
    return bool(given) and words[0] == task.name and all(task.wildcards.get(key) == value for key, _, value in given)
