"""Runs in words: what people read."""

import contextlib
import io
from datetime import UTC, datetime, timedelta

import click
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.commands.runs.outputs import missing_lines, report_lines
from penstock.local.service_logs import ServiceLogMonitor
from penstock.terminal.reports import describe_job, software_rows, task_file_rows, task_rows
from penstock.terminal.watching import LiveDisplay, PlainDisplay, counts_of, end_lines
from penstock_schemas.api import Holder, JobResponse, OutputEntry, OutputList, Waiting, WaitReason
from penstock_schemas.ids import JobId, RunnerId
from penstock_schemas.jobs import Failure, FailureCause, JobState, JobStatus, LogFileTail, TaskCounts
from penstock_schemas.measurements import MeasuredResources
from penstock_schemas.outputs import OutputKind, ReportItem, TaskFile, UndeclaredFile, UnstoredFile
from penstock_schemas.software import Package, ProvidedItem, SoftwareManifest
from penstock_schemas.views import Task, TaskKind, TaskState

START = datetime(2026, 1, 1, tzinfo=UTC)
RUNNING = JobResponse(
    id=JobId("0b9c1f4e-0000-4000-8000-000000000001"),
    status=JobStatus.RUNNING,
    pipeline_name="tuna",
    parameters={"x": 1},
    description=None,
    created_at=START,
    updated_at=START,
    started_at=START + timedelta(seconds=1),
    completed_at=None,
    error_message=None,
    state=JobState.RUNNING,
    status_detail=None,
    engine="snakemake",
    owner="ada",
    labels={"b": "2", "a": "1"},
    priority=0,
    attempt=1,
    runner_id=RunnerId("r-1"),
    failure=None,
    tasks=TaskCounts(total=3, done=1, running=1),
    output_files=0,
    output_bytes=0,
    seq=3,
)
FAILED = msgspec.structs.replace(
    RUNNING,
    state=JobState.FAILED,
    status=JobStatus.FAILED,
    completed_at=START + timedelta(seconds=43),
    failure=Failure(
        cause=FailureCause.WORKFLOW,
        message="rule align failed",
        rule="align",
        wildcards={"sample": "a"},
        exit_code=7,
        stderr_tail="".join(f"line {number}\n" for number in range(40)),
    ),
)


def words(job: JobResponse) -> str:
    return click.unstyle("\n".join(describe_job(job)))


def test_a_run_that_is_running() -> None:
    report = words(RUNNING)
    assert "state:      running\n" in report
    assert "tasks:      1 of 3 done, 1 running\n" in report
    assert "labels:     a=1 b=2\n" in report
    assert " ago\n" in report
    assert "ended" not in report


def test_a_run_that_waits_shows_the_reason() -> None:
    waiting = msgspec.structs.replace(
        RUNNING, state=JobState.QUEUED, started_at=None, attempt=0, status_detail="no runner offers the engine"
    )
    report = words(waiting)
    assert "state:      queued (no runner offers the engine)\n" in report
    assert "started" not in report


def test_a_detail_that_repeats_the_state_is_not_repeated() -> None:
    assigned = msgspec.structs.replace(RUNNING, state=JobState.ASSIGNED, status_detail="assigned to r-1, attempt 1")
    assert "state:      assigned to r-1, attempt 1\n" in words(assigned)


def test_a_failure_names_rule_exit_code_and_last_lines() -> None:
    lines = [click.unstyle(line) for line in end_lines(FAILED)]
    assert lines[0].endswith("failed after 42s")
    assert lines[1:4] == [
        "failed: rule align failed",
        "  rule align (sample=a), exit code 7",
        "  the last it wrote to standard error:",
    ]
    assert lines[4:-1] == [f"    line {number}" for number in range(25, 40)]
    assert lines[-1] == f"the whole log: penstock logs {FAILED.id}"


def test_a_failure_quotes_standard_output_and_log_files() -> None:
    assert FAILED.failure is not None
    failure = msgspec.structs.replace(
        FAILED.failure,
        stderr_tail=None,
        stdout_tail="ERROR: licence expired\n",
        log_tails=(LogFileTail(path="logs/a.log", text="FATAL: the index is corrupt\n"),),
    )
    assert words(msgspec.structs.replace(FAILED, failure=failure)).splitlines()[-4:] == [
        "  the last it wrote to standard output:",
        "    ERROR: licence expired",
        "  the end of logs/a.log:",
        "    FATAL: the index is corrupt",
    ]


def test_what_a_workflow_wrote_cannot_steer_the_terminal() -> None:
    hostile = "\x1b[2Jpassword:\r\x9b1m\ttab"
    failure = Failure(
        cause=FailureCause.WORKFLOW, message=hostile, rule=hostile, wildcards={hostile: hostile}, stderr_tail=hostile
    )
    job = msgspec.structs.replace(FAILED, failure=failure, warnings=(hostile,), status_detail=hostile)
    report = "\n".join((*describe_job(job), *describe_job(msgspec.structs.replace(job, error_message=hostile))))
    assert "\x1b[2J" not in report
    assert "\x9b" not in report
    assert "\r" not in report
    assert "\ttab" in report


def test_a_task_shows_its_wildcards_and_its_cause() -> None:
    task = Task(
        id="b-1",
        job_id=FAILED.id,
        attempt=1,
        name="b",
        state=TaskState.FAILED,
        wildcards={"i": "1"},
        exit_code=6,
        message="failed with exit code 6",
    )
    headers, [row] = task_rows([task])
    cells = dict(zip(headers, row, strict=True))
    assert (cells["WILDCARDS"], cells["NOTE"]) == ("i=1", "failed with exit code 6")


def test_a_task_shows_what_it_used_beside_what_it_requested() -> None:
    used = MeasuredResources(peak_memory_bytes=3 << 29, user_s=61.0, system_s=2.5)
    task = Task(id="b", job_id=FAILED.id, attempt=1, name="b", state=TaskState.COMPLETED, measured=used)
    requested = msgspec.structs.replace(task, resources={"mem_mb": 2000}, measured=used)
    short = msgspec.structs.replace(task, measured=MeasuredResources(user_s=0.1))
    headers, rows = task_rows([task, requested, short])
    cells = [dict(zip(headers, row, strict=True)) for row in rows]
    assert [(item["CPU"], item["MEMORY"]) for item in cells] == [
        ("1m03s", "1.5 GiB"),
        ("1m03s", "1.5 GiB of 1.9 GiB"),
        ("", ""),
    ]


def test_the_files_of_tasks_are_listed() -> None:
    files = (TaskFile(path="logs/a.log", kind=OutputKind.LOG, size_bytes=2048),)
    task = Task(id="b", job_id=FAILED.id, attempt=1, name="b", state=TaskState.FAILED, files=files)
    headers, rows = task_file_rows([task, msgspec.structs.replace(task, files=())])
    assert headers == ("TASK", "RULE", "STATE", "KIND", "SIZE", "PATH")
    assert rows == [("b", "b", "failed", "log", "2.0 KiB", "logs/a.log")]


def test_a_run_shows_what_it_used() -> None:
    used = MeasuredResources(peak_memory_bytes=3 << 29, user_s=61.0, system_s=2.5, read_bytes=0, written_bytes=2048)
    lines = list(describe_job(msgspec.structs.replace(FAILED, measured=used)))
    line = "used:       at most 1.5 GiB of memory at once, 1m03s of processor time, 0 B read from disk, 2.0 KiB written"
    assert line in lines
    assert not [line for line in describe_job(FAILED) if line.startswith("used")]


def test_report_items_show_what_the_workflow_states_of_them() -> None:
    item = ReportItem(caption="First\x1b[2J line.\nSecond.", category="QC", subcategory="A", labels={"s": "A"})
    marked = OutputEntry(path="plot.svg", size_bytes=1, sha256="0", url="/x", kind=OutputKind.REPORT, report=item)
    plain = OutputEntry(path="x.html", size_bytes=1, sha256="0", url="/x", media_type="text/html")
    bare = OutputEntry(path="report.html", size_bytes=1, sha256="0", url="/x", report=ReportItem())
    found = OutputList(job_id=FAILED.id, attempt=1, files=[marked, plain, bare], total_bytes=3)
    lines = list(report_lines(found))
    assert "\x1b" not in "".join(lines)
    assert lines[0] == "report item plot.svg: QC / A; s=A"
    assert lines[2:] == ["    Second.", "report item report.html"]


def test_files_that_are_missing_from_the_outputs_are_listed() -> None:
    found = OutputList(
        job_id=FAILED.id,
        attempt=1,
        files=[],
        total_bytes=0,
        not_stored=[UnstoredFile(path="byclass/up", reason="it is a link to a folder that contains it")],
        not_stored_count=1,
        undeclared=[UndeclaredFile(path=f"side{number}.csv", size_bytes=2048) for number in range(30)],
        undeclared_count=30,
        undeclared_bytes=61440,
    )
    lines = list(missing_lines(found))
    assert lines[:4] == [
        "not stored, 1 file:",
        "  byclass/up: it is a link to a folder that contains it",
        "not kept because no rule declares them, 30 files, 60.0 KiB:",
        "  side0.csv  2.0 KiB",
    ]
    assert lines[-2:] == [
        "  and 10 more; -o json lists up to 1,000",
        "submit with --keep-undeclared to keep such files",
    ]


@pytest.mark.parametrize(("code", "text"), [(-9, "rule align, ended by signal 9"), (None, "rule align")])
def test_how_a_task_ended(code: int | None, text: str) -> None:
    failure = Failure(cause=FailureCause.WORKFLOW, message="m", rule="align", exit_code=code)
    assert f"  {text}" in words(msgspec.structs.replace(FAILED, failure=failure)).splitlines()


def test_a_failure_without_particulars() -> None:
    failed = msgspec.structs.replace(FAILED, failure=None, error_message="out of luck")
    assert "failed: out of luck" in words(failed)


def test_each_change_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    task = Task(id="t1", job_id=RUNNING.id, attempt=1, name="align", state=TaskState.RUNNING, wildcards={"s": "a"})
    display = PlainDisplay()
    for state in (TaskState.RUNNING, TaskState.RUNNING, TaskState.COMPLETED):
        display.show(RUNNING, [msgspec.structs.replace(task, state=state)])
    report = [click.unstyle(line)[9:] for line in capsys.readouterr().err.splitlines()]
    assert report == [
        "0b9c1f4e running",
        "0b9c1f4e ● align s=a running  [0 of 3 done, 1 running]",
        "0b9c1f4e ✓ align s=a completed  [1 of 3 done]",
    ]


def test_changes_are_shown_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    early, late = datetime(2026, 1, 31, 10, 0, tzinfo=UTC), datetime(2026, 1, 31, 10, 1, tzinfo=UTC)
    ended = Task(id="t1", job_id=RUNNING.id, attempt=1, name="all", state=TaskState.COMPLETED, ended_at=late)
    before = msgspec.structs.replace(ended, id="t2", name="align", ended_at=early)
    PlainDisplay().show(RUNNING, [ended, before])
    report = click.unstyle(capsys.readouterr().err)
    assert report.index("✓ align") < report.index("✓ all")


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.integers(0, 9))
def test_the_counts_on_a_line_agree_with_the_lines_before_it(done_at: list[int], counted: int) -> None:
    """The server's counts may be of another moment than its list of tasks."""
    with contextlib.redirect_stderr(io.StringIO()) as written:
        display = PlainDisplay()
        job = msgspec.structs.replace(RUNNING, tasks=TaskCounts(total=counted, done=counted // 2))
        for look in range(6):
            tasks = [
                Task(
                    id=f"t{n}",
                    job_id=job.id,
                    attempt=1,
                    name=f"r{n}",
                    state=TaskState.COMPLETED if look >= at else TaskState.RUNNING,
                )
                for n, at in enumerate(done_at)
            ]
            display.show(job, tasks)
    lines = [line for line in click.unstyle(written.getvalue()).splitlines() if "[" in line]
    completed = 0
    for line in lines:
        completed += "completed" in line
        assert f"[{completed} of {max(counted, len(done_at))} done" in line


def test_a_bar_agrees_with_the_tasks_below_it() -> None:
    one = Task(id="t1", job_id=RUNNING.id, attempt=1, name="a", state=TaskState.COMPLETED)
    failed = msgspec.structs.replace(one, id="t2", name="b", state=TaskState.FAILED)
    again = msgspec.structs.replace(failed, id="t2-2", state=TaskState.RUNNING, try_number=2)
    behind = msgspec.structs.replace(RUNNING, tasks=TaskCounts(total=1))
    assert counts_of([again, failed, one], behind) == TaskCounts(total=2, done=1, running=1)
    assert counts_of([], RUNNING) == RUNNING.tasks


def test_a_narrow_terminal_shows_the_numbers_and_no_bar_looks_full(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    width = 80
    monkeypatch.setattr("penstock.terminal.tables.stderr_width", lambda: width)
    fresh = msgspec.structs.replace(RUNNING, tasks=TaskCounts(total=12), runner_id=None)
    LiveDisplay().show(fresh, [])
    output = capsys.readouterr().err
    assert "0/12 tasks" in output
    assert "━" not in output
    width = 40
    LiveDisplay().show(fresh, [])
    assert "0/12 tasks" in capsys.readouterr().err


def test_warnings_are_shown_however_a_run_ended() -> None:
    warned = msgspec.structs.replace(
        FAILED, warnings=("rule a declares `conda: e`, which this runner does not provide",)
    )
    assert "warning: rule a declares `conda: e`" in words(warned)
    assert any("warning: rule a declares" in click.unstyle(line) for line in end_lines(warned))


def test_what_no_runner_provides_is_shown_with_a_run_that_waits() -> None:
    """So that its user need not wait for the refusal."""
    lines = words(msgspec.structs.replace(RUNNING, preflight=("rule a declares `conda:` (Snakefile:3)",)))
    assert "not provided: rule a declares `conda:` (Snakefile:3)" in lines


def test_a_preparation_is_not_counted_as_a_task() -> None:
    """Progress is about the rules of the workflow."""
    step = Task(
        id="s", job_id=RUNNING.id, attempt=1, name="conda: e", state=TaskState.COMPLETED, kind=TaskKind.ENVIRONMENT
    )
    rule = Task(id="r", job_id=RUNNING.id, attempt=1, name="a", state=TaskState.RUNNING)
    counts = counts_of([step, rule], msgspec.structs.replace(RUNNING, tasks=TaskCounts(total=1, running=1)))
    assert counts == TaskCounts(total=1, running=1)


def test_the_software_of_a_run_is_a_row_for_each_package() -> None:
    """What has no packages, as a file, is a row with its identity."""
    package = Package(name="bwa", version="0.7.18", build="h1", url="https://host/bwa.conda")
    items = (
        ProvidedItem(kind=TaskKind.ENVIRONMENT, label="bwa.yaml", identity="e1", packages=(package,)),
        ProvidedItem(kind=TaskKind.FETCH, label="https://host/x", identity="f1"),
    )
    headers, rows = software_rows(SoftwareManifest(job_id=JobId("j"), attempt=1, items=items))
    assert headers[0] == "DECLARED"
    assert rows == [
        ("bwa.yaml", "environment", "bwa", "0.7.18", "h1", "https://host/bwa.conda"),
        ("https://host/x", "fetch", "", "f1", "", ""),
    ]


def test_a_run_ends_after_its_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    task = Task(id="t1", job_id=FAILED.id, attempt=1, name="align", state=TaskState.FAILED, exit_code=2)
    PlainDisplay().show(FAILED, [task])
    first, last = [click.unstyle(line)[9:] for line in capsys.readouterr().err.splitlines()]
    assert "align failed exit code 2" in first
    assert last.startswith(f"{FAILED.id[:8]} failed")


def test_readiness_and_errors_of_services_are_detected() -> None:
    reported: list[str] = []
    monitor = ServiceLogMonitor(reported.append)
    monitor.feed("runner", '{"event":"ready","level":"info"}')
    monitor.feed("runner", '{"event":"job_ended","level":"info","error":null}')
    monitor.feed("gateway", '{"event":"broken","level":"error","why":"rain","timestamp":"2026"}')
    monitor.feed("gateway", '{"event":"broken","level":"error","why":"snow"}')
    monitor.feed("gateway", 'no JSON but an "error"')
    assert monitor.ready == {"runner"}
    assert reported == ["gateway: broken why=rain"]


@pytest.mark.parametrize(
    ("holders", "count", "expected"),
    [
        (1, 1, "waits for:  00000000 of ada on r-1"),
        (2, 5, "waits for:  00000000 of ada on r-1, 11111111 of ada on r-1, and 3 more"),
        (0, 2, "waits for:  2 runs of others"),
        (0, 0, None),
    ],
)
def test_a_waiting_run_names_the_runs_that_hold_what_it_needs(holders: int, count: int, expected: str | None) -> None:
    named = tuple(Holder(id=JobId(str(n) * 8 + "-x"), owner="ada", runner_id=RunnerId("r-1")) for n in range(holders))
    waiting = Waiting(reason=WaitReason.NO_SLOT, text="", holders=named, holder_count=count)
    lines = list(describe_job(msgspec.structs.replace(RUNNING, state=JobState.QUEUED, waiting=waiting)))
    assert [line for line in lines if line.startswith("waits for")] == ([] if expected is None else [expected])
