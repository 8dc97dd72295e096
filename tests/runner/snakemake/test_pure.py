"""The parts without processes: frames, the fold of messages, failure reasons, tails, outputs."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock_engines.snakemake.attempt_events.exit_reasons import why_it_failed
from penstock_engines.snakemake.attempt_events.failures import TAIL_BYTES, tail_of_file, tail_of_text
from penstock_engines.snakemake.attempt_events.progress import MAX_EXPLAINED, TaskProgress
from penstock_engines.snakemake.attempt_process.graph import task_key
from penstock_engines.snakemake.engine import clean_environment
from penstock_engines.snakemake.frames import MAX_FRAME_BYTES, FrameReader, encode_frame
from penstock_engines.snakemake.messages import (
    ErrorLogged,
    GraphChanged,
    GraphTask,
    InvalidEvent,
    Message,
    OutputsFound,
    RunEnded,
    TryDescribed,
    TryEnded,
    TryStarted,
    shorten,
)
from penstock_execution.logs.log_follower import Tail
from penstock_schemas.ids import JobId, is_token
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import LogStream, TaskState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = task_key("r", {"x": "1"})


def started(try_number: int = 1) -> TryStarted:
    return TryStarted(task=0, try_number=try_number, time=NOW)


def ended(*, ok: bool, try_number: int = 1, will_retry: bool = False, exit_code: int | None = None) -> TryEnded:
    return TryEnded(task=0, try_number=try_number, time=NOW, ok=ok, will_retry=will_retry, exit_code=exit_code)


def progress_with_one_job() -> TaskProgress:
    progress = TaskProgress(JobId("job"), 1)
    progress.apply(GraphChanged(tasks=(GraphTask(task=0, rule="r", wildcards={"x": "1"}),)))
    return progress


def test_frames_survive_any_cut() -> None:
    messages: list[Message] = [started(), ended(ok=False, exit_code=3), OutputsFound(paths=("é",)), RunEnded()]
    stream = b"".join(encode_frame(message) for message in messages)
    for size in (1, 2, 7, len(stream)):
        reader = FrameReader()
        seen = [item for at in range(0, len(stream), size) for item in reader.feed(stream[at : at + size])]
        assert seen == messages


@pytest.mark.parametrize(
    "rubbish", [(MAX_FRAME_BYTES + 1).to_bytes(4, "big"), b"\0\0\0\2{}", b'\0\0\0\x10{"type":"Nobody"}']
)
def test_a_bad_frame_is_refused(rubbish: bytes) -> None:
    with pytest.raises(InvalidEvent):
        list(FrameReader().feed(rubbish))


def test_long_texts_are_cut_in_the_middle() -> None:
    text = shorten("a" * 50_000 + "end")
    assert text.endswith("end")
    assert len(text) < 9_000
    assert shorten("short") == "short"


def test_a_key_is_a_token_that_stands_for_rule_and_wildcards() -> None:
    assert task_key("r", {"a": "1", "b": "2"}) == task_key("r", {"b": "2", "a": "1"})
    assert task_key("r", {"a": "1"}) != task_key("r", {"a": "2"})
    for rule in ("r", "_hidden", "ünïcode", "x" * 300, "1"):
        assert is_token(task_key(rule, {}))
        assert is_token(task_key(rule, {}) + "-10")


def test_a_retry_is_not_counted_as_failed() -> None:
    progress = progress_with_one_job()
    progress.apply(started())
    (task,) = progress.apply(ended(ok=False, will_retry=True, exit_code=1))
    assert (task.state, task.exit_code, task.message) == (TaskState.FAILED, 1, "failed with exit code 1")
    assert progress.counts == TaskCounts(total=1)
    assert progress.failed_task is None
    (task,) = progress.apply(started(2))
    assert (task.id, task.state, task.message) == (f"{KEY}-2", TaskState.RUNNING, None)
    progress.apply(ended(ok=True, try_number=2, exit_code=0))
    assert progress.counts == TaskCounts(total=1, done=1)


def test_an_error_that_is_logged_late_still_explains() -> None:
    progress = progress_with_one_job()
    progress.apply(started())
    progress.apply(ended(ok=False, exit_code=0))
    text = (
        'MissingOutputException in rule r in file "Snakefile", line 1:\n'
        "Job 0 completed successfully, but some output files are missing. Missing files after 0 seconds. "
        "This might be due to filesystem latency.\ny.txt (missing locally)"
    )
    (task,) = progress.apply(ErrorLogged(exception="MissingOutputException", text=text))
    assert task.message == "ended well but did not make all of its output: y.txt"


def test_an_error_explains_those_that_failed_last_and_no_more() -> None:
    progress = TaskProgress(JobId("job"), 1)
    for task in range(3 * MAX_EXPLAINED):
        progress.apply(GraphChanged(tasks=(GraphTask(task=task, rule="r", wildcards={"x": f"{task:04}"}),)))
        progress.apply(TryStarted(task=task, try_number=1, time=NOW))
        progress.apply(TryEnded(task=task, try_number=1, time=NOW, ok=False))
    explained = progress.apply(ErrorLogged(exception="E", text="broken in rule r: oh"))
    latest = {f"{task:04}" for task in range(2 * MAX_EXPLAINED, 3 * MAX_EXPLAINED)}
    assert {task.wildcards["x"] for task in explained} == latest


def test_details_before_the_start_are_kept() -> None:
    progress = progress_with_one_job()
    assert progress.apply(TryDescribed(task=0, command="true", reason="missing")) == []
    (task,) = progress.apply(started())
    assert (task.command, task.reason) == ("true", "missing")


def test_closing_ends_every_task() -> None:
    progress = progress_with_one_job()
    progress.apply(GraphChanged(tasks=(GraphTask(task=1, rule="other", wildcards={}),)))
    progress.apply(started())
    closed = {task.name: task.state for task in progress.close(TaskState.FAILED, "it stopped", NOW)}
    assert closed == {"r": TaskState.FAILED, "other": TaskState.CANCELLED}
    assert list(progress.close(TaskState.FAILED, "again", NOW)) == []


def test_jobs_that_a_checkpoint_makes_needless_leave_the_count() -> None:
    progress = progress_with_one_job()
    (task,) = progress.apply(GraphChanged(gone=(0,)))
    assert task.state is TaskState.CANCELLED
    assert progress.counts.total == 0


def test_a_job_may_enter_the_graph_and_leave_it_in_one_message() -> None:
    progress = TaskProgress(JobId("job"), 1)
    entry = GraphTask(task=0, rule="r", wildcards={})
    assert [task.state for task in progress.apply(GraphChanged(tasks=(entry,), gone=(0,)))] == [
        TaskState.WAITING,
        TaskState.CANCELLED,
    ]
    assert progress.counts.total == 0


@pytest.mark.parametrize(
    ("exit_code", "raised", "reason"),
    [
        (3, None, "failed with exit code 3"),
        (127, None, "failed with exit code 127: a command was not found"),
        (-9, None, "was killed by SIGKILL (signal 9)"),
        (-15, None, "was killed by SIGTERM (signal 15)"),
        (139, None, "failed with exit code 139: a command in it was killed by SIGSEGV (signal 11)"),
        (255, None, "failed with exit code 255"),
        (1, "ValueError: no", "failed: ValueError: no"),
        (None, None, "failed"),
    ],
)
def test_failure_reasons(exit_code: int | None, raised: str | None, reason: str) -> None:
    assert why_it_failed(exit_code, raised, None) == reason


def test_a_tail_shows_whole_lines_and_whole_characters(tmp_path: Path) -> None:
    log = tmp_path / "log"
    tail = Tail(log, LogStream.STDOUT)
    assert tail.read() == []
    with log.open("ab") as file:
        file.write("one\ntwö".encode()[:-1])
        file.flush()
        assert [item.text for item in tail.read()] == ["one\n"]
        file.write("twö\nend".encode()[3:])
        file.flush()
        assert [item.text for item in tail.read()] == ["twö\n"]
    assert [item.text for item in tail.read(is_over=True)] == ["end"]
    assert tail.read(is_over=True) == []


def test_the_tail_of_a_failure_is_short(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"{number} {'ä' * 500}\n" for number in range(100)))
    tail = tail_of_file(log)
    assert tail is not None
    assert len(tail.encode()) <= TAIL_BYTES
    assert tail.endswith("ä")
    assert tail_of_text(" \n\n") is None
    assert tail_of_file(tmp_path / "absent") is None


def test_secrets_are_not_passed_on() -> None:
    environ = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "PENSTOCK_RUNNER_ID": "r1",
        "PENSTOCK_NATS_URL": "nats://user:secret@host",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "NATS_TOKEN": "secret",
    }
    assert clean_environment(environ) == {"PATH": "/bin", "LC_ALL": "C", "PENSTOCK_RUNNER_ID": "r1"}
