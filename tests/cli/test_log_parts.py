"""Which logs of a run are printed, and how they look."""

from datetime import UTC, datetime, timedelta

import click
import pytest
from click.testing import CliRunner
from msgspec import structs

from penstock.client.log_parts import is_meant, label_of, parts_of_run, parts_of_tasks
from penstock.terminal.log_printing import LivePrinter
from penstock_schemas.api import LogEntry
from penstock_schemas.ids import JobId
from penstock_schemas.outputs import OutputKind, TaskFile
from penstock_schemas.views import LogStream, Task, TaskState

START = datetime(2026, 1, 1, tzinfo=UTC)


def task(name: str, second: int = 0, **wildcards: str) -> Task:
    return Task(
        id=f"{name}-{'-'.join(wildcards.values()) or '0'}",
        job_id=JobId("job"),
        attempt=1,
        name=name,
        state=TaskState.COMPLETED,
        wildcards=wildcards,
        started_at=START + timedelta(seconds=second),
        stdout_key=f"{name}.stdout",
        stderr_key=f"{name}.stderr",
    )


@pytest.mark.parametrize(
    "words", ["align", "align sample=A", "align (sample=A, lane=2)", "align-A-2", "align lane=2,sample=A"]
)
def test_a_task_is_meant_by_its_id_its_rule_or_its_wildcards(words: str) -> None:
    assert is_meant(task("align", sample="A", lane="2"), words)


@pytest.mark.parametrize("words", ["", "sort", "align sample=B", "align sample", "alig", "align sample=A x=1"])
def test_other_words_mean_other_tasks(words: str) -> None:
    assert not is_meant(task("align", sample="A", lane="2"), words)


def test_a_label_selects_a_task_for_all_values_of_its_wildcards() -> None:
    odd = task("align", sample="a b, c=(d)")
    assert is_meant(odd, label_of(odd))


def test_the_parts_come_in_the_order_of_the_start() -> None:
    parts = [*parts_of_run("job", 1, ()), *parts_of_tasks("job", [task("late", 2), task("early", 1)], ())]
    assert [part.path for part in parts] == [
        "/jobs/job/logs?format=text",
        "/jobs/job/tasks/early-0/stdout",
        "/jobs/job/tasks/early-0/stderr",
        "/jobs/job/tasks/late-0/stdout",
        "/jobs/job/tasks/late-0/stderr",
    ]


def test_a_task_whose_end_was_not_reported_may_have_logs() -> None:
    lost = structs.replace(task("lost"), state=TaskState.RUNNING, stdout_key=None, stderr_key=None)
    silent = structs.replace(task("silent"), stdout_key=None, stderr_key=None)
    assert [(part.task_id, part.is_certain) for part in parts_of_tasks("job", [lost, silent], ())] == [
        ("lost-0", False),
        ("lost-0", False),
    ]


def test_only_the_wanted_streams_are_parts() -> None:
    assert list(parts_of_run("job", 1, [LogStream.STDERR])) == []
    [own] = parts_of_run("job", 1, [LogStream.WORKFLOW])
    assert own.path == "/jobs/job/logs?format=text&stream=workflow"
    [part] = parts_of_tasks("job", [task("one")], [LogStream.STDERR, LogStream.ENGINE])
    assert part.stream is LogStream.STDERR


def with_files(owner: Task, *files: TaskFile) -> Task:
    return structs.replace(owner, files=files)


LOG = TaskFile(path="logs/a.log", kind=OutputKind.LOG, size_bytes=3, key="k")
LARGE = TaskFile(path="logs/b c.log", kind=OutputKind.LOG, size_bytes=1 << 40)
BENCHMARK = TaskFile(path="bench/a.tsv", kind=OutputKind.BENCHMARK, size_bytes=3, key="k")


def test_log_files_follow_what_their_task_wrote() -> None:
    owner = with_files(task("one"), LOG, LARGE, BENCHMARK)
    *_, log, large = parts_of_tasks("job", [owner], ())
    assert (log.path, log.title, log.is_certain) == ("/jobs/job/tasks/one-0/files/logs/a.log", "one: logs/a.log", True)
    assert (large.path, large.is_certain) == ("/jobs/job/tasks/one-0/files/logs/b%20c.log", False)
    assert {part.stream for part in parts_of_tasks("job", [owner], [LogStream.STDERR])} == {LogStream.STDERR}
    assert [part.title for part in parts_of_tasks("job", [owner], [LogStream.FILE])] == [log.title, large.title]


def test_a_pattern_selects_files_alone() -> None:
    owner = with_files(task("one"), LOG, LARGE, BENCHMARK)
    assert [part.title for part in parts_of_tasks("job", [owner], (), "*.tsv")] == ["one: bench/a.tsv"]
    assert len(list(parts_of_tasks("job", [owner], (), "*"))) == 3
    assert list(parts_of_tasks("job", [owner], (), "*.txt")) == []


def test_a_file_of_several_tasks_is_printed_once_and_that_of_each_try_separately() -> None:
    first, last = with_files(task("first", 1), LOG), with_files(task("last", 3), LOG)
    again = structs.replace(last, id="last-0-2", try_number=2, started_at=START + timedelta(seconds=4))
    parts = list(parts_of_tasks("job", [first, last, again], [LogStream.FILE]))
    assert [part.task_id for part in parts] == ["last-0", "last-0-2"]


def entry(text: str, stream: LogStream = LogStream.STDOUT, task_id: str | None = "t") -> LogEntry:
    return LogEntry(position=1, attempt=1, stream=stream, text=text, time=START, task_id=task_id)


def test_a_line_in_several_pieces_stays_one_line() -> None:
    @click.command()
    def show() -> None:
        printer = LivePrinter(times=False)
        for item in (
            entry("xx"),
            entry("yy\nnext"),
            entry("from another\n", LogStream.STDERR),
            entry("no end", LogStream.ENGINE, None),
        ):
            printer.print(item)
        printer.close()

    assert CliRunner().invoke(show).output == "xxyy\nnext\nfrom another\nno end\n"
