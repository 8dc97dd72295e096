"""What a run of Snakemake left: the files that its jobs declare, and the last words of the job that failed first."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_engines.snakemake.attempt_events.failures import MAX_LOG_TAILS, LastWords, tail_of_file, tails_of_logs
from penstock_engines.snakemake.attempt_events.progress import TaskProgress
from penstock_engines.snakemake.descriptor import DESCRIPTOR
from penstock_engines.snakemake.messages import GraphTask, InvalidEvent
from penstock_execution.files.produced import MAX_NAMED, Declared, OwnNames, Produced, ProducedFile
from penstock_execution.files.produced_files import collect, declared_files
from penstock_execution.files.work_entries import TooMuchWork, work_entries
from penstock_execution.files.workflow_files import WorkflowFolder
from penstock_execution.local_workspace import LocalWorkspace
from penstock_execution.workspace import UnsafeFile
from penstock_schemas.outputs import OutputKind, ReportItem, UnstoredFile
from penstock_schemas.views import Task

RESERVED: Final = ReservedFolders(DESCRIPTOR.reserved_folders)
COLLECT_S: Final = 120.0
"""How long the search may take."""
OWN_NAMES: Final = OwnNames(
    folders=frozenset(folder.name for folder in DESCRIPTOR.reserved_folders),
    files=frozenset({".snakemake_timestamp"}),  # in each folder that a job declares
)
MAX_TASK_FILES: Final = 50
"""Log and benchmark files of one task: a folder may hold more of them, which are outputs of the run alone."""


class Results(Struct, frozen=True, kw_only=True):
    """What was found."""

    produced: Produced = Produced()
    words: LastWords = LastWords()


def collect_results(
    place: LocalWorkspace, progress: TaskProgress, log_path: Callable[[Task, str], Path], *, keep_undeclared: bool
) -> Results:
    """Look at what a run left; blocks.

    Args:
        place: the workspace of the attempt, none of whose processes runs any more.
        progress: what it reported.
        log_path: where a task's `stdout` or `stderr` is.
        keep_undeclared: whether files that no job declares are stored too.

    Raises:
        OSError: the work directory cannot be read.

    """
    declared = Declared(
        outputs=tuple(progress.outputs),
        logs=tuple(progress.logs),
        benchmarks=tuple(progress.benchmarks),
        unfinished=tuple(progress.unfinished),
    )
    # A run that did not come to its end did not report what all of its jobs declare.
    source = place.source_files if progress.ended is not None else None
    produced = collect(place.work_dir, declared, source=source, own=OWN_NAMES, keep_undeclared=keep_undeclared)
    produced = with_report_items(produced, progress.report_items, place.work_dir)
    if progress.ended is None or progress.ended.problem is not None:
        produced = _with_work(produced, place)
    task = progress.failed_task
    if task is None:
        return Results(produced=produced)
    contents = {file.path: file.content for file in produced.files}
    names = [_relative(path, place.work_dir) for path in progress.declared_by(task).logs]
    logs = [(name, contents[name]) for name in names if name in contents]
    words = LastWords(
        stderr=tail_of_file(log_path(task, "stderr")),
        stdout=tail_of_file(log_path(task, "stdout")),
        logs=tails_of_logs(place.work_dir, logs[:MAX_LOG_TAILS]),
    )
    return Results(produced=produced, words=words)


def with_report_items(produced: Produced, items: Mapping[str, ReportItem], work_dir: Path) -> Produced:
    """Return files with what the workflow states of them for its report.

    A marked folder marks all files in it; its caption is that of the folder, so they have none.
    """
    if not items:
        return produced
    by_name = {_relative(path, work_dir): item for path, item in items.items()}

    def marked(file: ProducedFile) -> ProducedFile:
        item = by_name.get(file.path)
        if item is None:
            above = (by_name.get(str(parent)) for parent in PurePosixPath(file.path).parents)
            item = next((replace(found, caption=None) for found in above if found is not None), None)
        if item is None or file.kind is not OutputKind.OUTPUT:
            return file
        return replace(file, kind=OutputKind.REPORT, report=item)

    return replace(produced, files=tuple(map(marked, produced.files)))


def files_of_task(work_dir: Path, declared: Declared) -> tuple[ProducedFile, ...]:
    """Return the log and benchmark files of a task that ended; blocks. There are none where they cannot be read."""
    try:
        return declared_files(work_dir, declared, own=OWN_NAMES, max_files=MAX_TASK_FILES)
    except OSError:
        return ()


def require_outputs(work_dir: Path, entry: GraphTask) -> None:
    """Look for the outputs of a job that ended well, which waits for that; blocks.

    Raises:
        InvalidEvent: one is not there.

    """
    missing = _first_missing(work_dir, entry.outputs) if entry.outputs else None
    if missing is not None:
        raise InvalidEvent(f"rule {entry.rule[:100]} ended well, and its output {missing[:200]!r} is not there")


def _first_missing(work_dir: Path, outputs: tuple[str, ...]) -> str | None:
    """Return the first output that does not exist; one behind a link, which may lead anywhere, is not looked for."""
    with WorkflowFolder(work_dir) as folder:
        for output in outputs:
            try:
                folder.status(output)
            except (FileNotFoundError, NotADirectoryError):
                return output
            except (UnsafeFile, PermissionError):
                continue
    return None


def _with_work(produced: Produced, place: LocalWorkspace) -> Produced:
    """Add what a retry begins with."""
    try:
        work = work_entries(place.work_dir, source=place.source_files, reserved=RESERVED)
    except (TooMuchWork, OSError) as error:
        unstored = UnstoredFile(path=".", reason=f"a retry begins without results: {error}")
        not_stored = (*produced.not_stored, unstored)[:MAX_NAMED]
        return replace(produced, not_stored=not_stored, not_stored_count=produced.not_stored_count + 1)
    return replace(produced, work=work, work_dir=str(place.work_dir))


def _relative(path: str, work_dir: Path) -> str:
    return os.path.relpath(path, work_dir) if path.startswith("/") else os.path.normpath(path)
