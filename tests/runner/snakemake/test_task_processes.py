"""The process of one task: how its failure is reported, and the command of a rule in a separate session."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from penstock_engines.snakemake.attempt_process.tasks.shell_process import JobCommand, ShellJob
from penstock_engines.snakemake.attempt_process.tasks.task_process import TaskFiles, TaskReport, read_report, report_of

pytestmark = pytest.mark.system

WORKFLOW = SimpleNamespace(linemaps={})


def raised(error: BaseException, cause: BaseException | None = None) -> TaskReport:
    error.__cause__ = cause
    return report_of(error, WORKFLOW)


@pytest.mark.parametrize(
    ("error", "cause", "exit_code", "first"),
    [
        (ValueError("wrong"), None, 1, "ValueError: wrong"),
        (ValueError(), None, 1, "ValueError"),
        (RuntimeError("outer"), KeyError("inner"), 1, "KeyError: 'inner'"),
        (RuntimeError("outer"), subprocess.CalledProcessError(-9, "cmd"), -9, None),
        (SystemExit(7), None, 7, "SystemExit: 7"),
        (SystemExit("a text"), None, 1, "SystemExit: a text"),
    ],
)
def test_a_failure_names_its_first_cause(
    error: BaseException, cause: BaseException | None, exit_code: int, first: str | None
) -> None:
    report = raised(error, cause)
    assert (report.exit_code, report.raised, report.exception) == (exit_code, first, type(error).__name__)


@pytest.mark.parametrize("raw", [b"", b"{", b'{"exit_code": "x"}'])
def test_a_report_that_is_not_whole_is_none(raw: bytes) -> None:
    descriptor = os.memfd_create("report")
    os.pwrite(descriptor, raw, 0)
    assert read_report(descriptor) is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


class Command:
    """A command of a job, and what was reported of it."""

    def __init__(self, folder: Path) -> None:
        self.files = TaskFiles(folder / "stdout", folder / "stderr")
        self.reported: list[tuple[str, int]] = []

    def start(self, command: str, **how: object) -> JobCommand:
        def isolate() -> None:
            self.reported.append(("isolated", 0))

        job = ShellJob(
            self.files,
            lambda pid: self.reported.append(("started", pid)),
            lambda pid: self.reported.append(("ending", pid)),
            lambda _used: self.reported.append(("ended", 0)),
            isolate,
        )
        return JobCommand(job, command, shell=True, text=True, **how)


def test_a_command_writes_to_the_files_of_its_task_in_a_separate_session(tmp_path: Path) -> None:
    command = Command(tmp_path)
    process = command.start("echo out; echo err >&2; cut -d ' ' -f 6 /proc/$$/stat > sid", cwd=tmp_path)
    assert process.wait() == 0
    assert command.reported == [("isolated", 0), ("started", process.pid), ("ending", process.pid), ("ended", 0)]
    assert (tmp_path / "stdout").read_text() == "out\n"
    assert (tmp_path / "stderr").read_text() == "err\n"
    assert int((tmp_path / "sid").read_text()) == process.pid


def test_what_the_workflow_reads_is_not_in_the_log(tmp_path: Path) -> None:
    command = Command(tmp_path)
    output, _ = command.start("echo out", stdout=subprocess.PIPE).communicate()
    assert output == "out\n"
    assert (tmp_path / "stdout").read_text() == ""


def test_an_isolation_that_fails_starts_nothing(tmp_path: Path) -> None:
    def isolate() -> None:
        raise OSError("no domain")

    job = ShellJob(TaskFiles(tmp_path / "stdout", tmp_path / "stderr"), print, print, print, isolate)
    with pytest.raises(OSError, match="no domain"):
        JobCommand(job, f'{sys.executable} -c \'open("begun", "w")\'', shell=True, cwd=tmp_path)
    assert not (tmp_path / "begun").exists()
