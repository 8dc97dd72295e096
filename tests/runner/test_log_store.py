"""The logs of tasks in the blob store: what they wrote, and their log and benchmark files."""

import os
from pathlib import Path

import pytest

from penstock_execution.engine import TaskChanged
from penstock_execution.files.produced import ProducedFile
from penstock_execution.local_workspace import LocalWorkspace
from penstock_runner.attempts.log_store import LogStore
from penstock_runner.attempts.uploads import Uploads
from penstock_schemas.ids import JobId
from penstock_schemas.outputs import OutputKind
from penstock_schemas.views import Task, TaskState
from penstock_testing.memory.blobs import MemoryBlobs

JOB = JobId("job")


@pytest.fixture
def workspace(tmp_path: Path) -> LocalWorkspace:
    work, logs = tmp_path / "work", tmp_path / "logs"
    (work / "logs").mkdir(parents=True)
    (logs / "tasks").mkdir(parents=True)
    (logs / "tasks/t.stdout").write_text("hello")
    (work / "logs/a.log").write_text("of the task")
    (work / "logs/empty.log").touch()
    (work / "logs/large.log").write_text("x" * 101)
    os.mkfifo(work / "logs/pipe.log")
    (work / "bench.tsv").write_text("s\n0.1\n")
    return LocalWorkspace(work, logs)


def ended(*names: str) -> TaskChanged:
    task = Task(id="t", job_id=JOB, attempt=2, name="r", state=TaskState.FAILED)
    files = tuple(
        ProducedFile(path=name, content=name, kind=OutputKind.BENCHMARK if name == "bench.tsv" else OutputKind.LOG)
        for name in names
    )
    return TaskChanged(task=task, stdout="tasks/t.stdout", stderr="tasks/t.stderr", files=files)


async def test_files_of_a_task_are_stored_with_its_logs(
    workspace: LocalWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock_runner.attempts.log_store.MAX_TASK_FILE_BYTES", 100)
    blobs = MemoryBlobs()
    store = LogStore(Uploads(blobs), JOB, 2, workspace, lambda _: None)
    names = ("bench.tsv", "logs/a.log", "logs/empty.log", "logs/gone.log", "logs/large.log", "logs/pipe.log")
    stored = await store.put_task(ended(*names), None)
    assert stored.stdout.key == "jobs/job/2/logs/tasks/t.stdout"
    assert stored.stderr.key is None
    assert [(file.path, file.kind, file.size_bytes) for file in stored.files] == [
        ("bench.tsv", OutputKind.BENCHMARK, 6),
        ("logs/a.log", OutputKind.LOG, 11),
        ("logs/empty.log", OutputKind.LOG, 0),
        ("logs/large.log", OutputKind.LOG, 101),
    ]
    keys = [file.key for file in stored.files]
    assert keys == [
        "jobs/job/2/logs/tasks/t.files/bench.tsv",
        "jobs/job/2/logs/tasks/t.files/logs/a.log",
        None,
        None,
    ]
    assert await blobs.get_bytes("jobs/job/2/logs/tasks/t.files/logs/a.log") == b"of the task"


async def test_without_files_there_is_nothing_to_store() -> None:
    stored = await LogStore(Uploads(MemoryBlobs()), JOB, 1, None, lambda _: None).put_task(ended("a.log"), None)
    assert (stored.stdout.key, stored.files) == (None, ())


async def test_a_log_that_is_no_file_is_reported(workspace: LocalWorkspace, tmp_path: Path) -> None:
    (tmp_path / "logs/tasks/t.stdout").unlink()
    os.mkfifo(tmp_path / "logs/tasks/t.stdout")
    sentences: list[str] = []
    store = LogStore(Uploads(MemoryBlobs()), JOB, 1, workspace, sentences.append)
    assert (await store.put_task(ended(), None)).stdout.key is None
    assert sentences == ["the log t.stdout is not stored: it is a FIFO and no regular file"]
