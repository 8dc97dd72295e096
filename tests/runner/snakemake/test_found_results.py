"""What is found after a run: its files, and the last output of the task that failed first."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock_engines.snakemake.attempt_events.progress import TaskProgress
from penstock_engines.snakemake.attempt_events.results import collect_results
from penstock_engines.snakemake.messages import GraphChanged, GraphTask, OutputsFound, RunEnded, TryEnded, TryStarted
from penstock_execution.local_workspace import LocalWorkspace
from penstock_schemas.ids import JobId
from penstock_schemas.outputs import OutputKind
from penstock_schemas.views import Task

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def place(tmp_path: Path) -> LocalWorkspace:
    for name in ("work", "logs"):
        (tmp_path / name).mkdir()
    return LocalWorkspace(tmp_path / "work", tmp_path / "logs")


def logs_in(folder: Path) -> Callable[[Task, str], Path]:
    return lambda _task, stream: folder / f"task.{stream}"


def failed_run(place: LocalWorkspace) -> TaskProgress:
    """Return the progress of a run whose only task failed; its rule declares a log."""
    progress = TaskProgress(JobId("j"), 1)
    log = str(place.work_dir / "logs/r.log")
    progress.apply(GraphChanged(tasks=(GraphTask(task=0, rule="r", wildcards={}, logs=(log,)),)))
    progress.apply(TryStarted(task=0, try_number=1, time=NOW))
    progress.apply(TryEnded(task=0, try_number=1, time=NOW, ok=False, exit_code=3))
    progress.apply(OutputsFound(unfinished=(str(place.work_dir / "half.txt"),), logs=(log,)))
    progress.apply(RunEnded())
    return progress


def test_declared_files_are_found_with_their_kinds(place: LocalWorkspace) -> None:
    progress = TaskProgress(JobId("j"), 1)
    for name in ("out.txt", "run.log", "other.txt"):
        (place.work_dir / name).write_text(name)
    progress.apply(
        OutputsFound(paths=(str(place.work_dir / "out.txt"),), logs=(str(place.work_dir / "run.log"),)),
    )
    progress.apply(RunEnded())
    found = collect_results(place, progress, logs_in(place.log_dir), keep_undeclared=False)
    assert {file.path: file.kind for file in found.produced.files} == {
        "out.txt": OutputKind.OUTPUT,
        "run.log": OutputKind.LOG,
    }
    assert found.words.stderr is None


def test_the_first_failure_has_its_last_output_and_its_log(place: LocalWorkspace) -> None:
    (place.log_dir / "task.stderr").write_text("begin\nlast\n")
    (place.work_dir / "logs").mkdir()
    (place.work_dir / "logs/r.log").write_text("why\n")
    (place.work_dir / "half.txt").write_text("half")
    found = collect_results(place, failed_run(place), logs_in(place.log_dir), keep_undeclared=False)
    assert (found.words.stderr, found.words.stdout) == ("begin\nlast", None)
    assert [(tail.path, tail.text) for tail in found.words.logs] == [("logs/r.log", "why")]
    assert "half.txt" not in {file.path for file in found.produced.files}


def test_a_log_that_was_not_written_is_left_out(place: LocalWorkspace) -> None:
    found = collect_results(place, failed_run(place), logs_in(place.log_dir), keep_undeclared=False)
    assert found.words.logs == ()
