"""Everything that a run writes reaches its user, from the command line to the files on the disk and back."""

import json
import subprocess
import sys
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cli.systems import Up, call, environment, up

from penstock.terminal.exit_codes import Exit

pytestmark = pytest.mark.system

LIMIT_BYTES = 2_000_000_000
LINES = 60_000

LOG_OF_A_FAILED_RULE = """
rule all:
    input: "done.txt"
rule map_reads:
    output: "mapped/{s}.bam"
    log: "logs/map/{s}.log"
    shell: "(echo 'FATAL: reference index is corrupt'; exit 3) > {log} 2>&1"
rule gather:
    input: expand("mapped/{s}.bam", s=["A"])
    output: "done.txt"
    shell: "touch {output}"
"""
UNDECLARED = """
rule all:
    input: "flag.done"
rule a:
    output: touch("flag.done")
    log: "logs/a.log"
    benchmark: "bench/a.tsv"
    shell: "mkdir -p results; echo 1 > results/side_effect.csv; echo hi > {log}"
onsuccess:
    open("SUCCESS.txt", "w").write("from the hook")
"""
LINKS = """
rule all:
    input: "byclass", "alias"
rule mk:
    output: directory("sample")
    shell: "mkdir sample; echo r > sample/reads.txt"
rule classes:
    input: "sample"
    output: directory("byclass")
    shell: "mkdir byclass; ln -s ../sample byclass/x; ln -s ../sample/reads.txt byclass/one.txt; ln -s / byclass/out"
rule alias:
    input: "sample"
    output: directory("alias")
    shell: "ln -s sample alias"
"""
GROUP = """
rule all:
    input: expand("c{i}.txt", i=range(3))
rule a:
    output: "a{i}.txt"
    group: "g"
    shell: "echo {wildcards.i} > {output}"
rule b:
    input: "a{i}.txt"
    output: "c{i}.txt"
    group: "g"
    shell: "if [ {wildcards.i} = 1 ]; then echo 'group member broke' >&2; exit 6; fi; cp {input} {output}"
"""
LOUD = f"""
rule all:
    input: "a.txt", "b.txt"
rule loud:
    output: "a.txt"
    shell: "seq -f 'line %.0f of much text to see if any is lost' {LINES}; echo LAST-STDERR >&2; touch {{output}}"
rule longline:
    output: "b.txt"
    shell: "head -c 3000000 /dev/zero | tr '\\\\0' x; echo END; touch {{output}}"
"""
TEMPORARY = """
rule all:
    input: "x.txt"
rule t:
    output: temp("x.txt")
    shell: "echo wanted > {output}"
"""
NOT_EXECUTABLE = 'rule a:\n    output: "o"\n    shell: "./tool.txt > o"\n'
STDOUT = 'rule t:\n    output: "o.txt"\n    shell: "echo \'ERROR: licence expired\'; exit 1"\n'
EXIT = 'import sys\nprint("ERROR: give a sample sheet", file=sys.stderr)\nsys.exit(1)\n'
MEMORY = (
    'rule c:\n    output: "c"\n    shell: "head -c 3G /dev/zero | tail -c 2900000000 > /dev/null; touch {output}"\n'
)


@dataclass
class User:
    """Somebody who runs commands against a system."""

    system: Up

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return call(self.system.home, *arguments, timeout_s=120)

    def submit(self, tmp_path: Path, snakefile: str, *options: str, files: Mapping[str, str] | None = None) -> str:
        """Submit a workflow and return its id once it has ended."""
        folder = tmp_path / "workflow"
        folder.mkdir()
        for name, text in {"Snakefile": snakefile, **(files or {})}.items():
            (folder / name).write_text(text)
        done = self.run("submit", str(folder), "--watch", *options)
        return done.stdout.strip()

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "-o", "json").stdout)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Generator[User]:
    environ = {"PENSTOCK_LIMIT_MEMORY_BYTES": str(LIMIT_BYTES)}
    with up(tmp_path_factory.mktemp("home"), "--slots", "1", environ=environ) as system:
        yield User(system)


def test_the_log_file_of_a_failed_rule_is_shown_and_can_be_fetched(user: User, tmp_path: Path) -> None:
    job_id = user.submit(tmp_path, LOG_OF_A_FAILED_RULE)
    output = user.run("show", job_id).stdout
    assert "the end of logs/map/A.log:\n    FATAL: reference index is corrupt" in output
    [log] = user.json("show", job_id)["failure"]["log_tails"]
    assert log == {"path": "logs/map/A.log", "text": "FATAL: reference index is corrupt"}
    assert user.run("outputs", job_id, "--get", str(tmp_path / "got")).returncode == 0
    assert (tmp_path / "got/logs/map/A.log").read_text() == "FATAL: reference index is corrupt\n"
    assert "exit code 3; the last line of logs/map/A.log: FATAL: reference index is corrupt" in output
    assert user.run("logs", job_id, "--task", "map_reads").stdout == "FATAL: reference index is corrupt\n"
    assert user.run("logs", job_id, "--file", "*.log").stdout == "FATAL: reference index is corrupt\n"
    assert user.run("logs", job_id, "--file", "*.tsv").returncode == Exit.NOT_FOUND
    [line] = [line for line in user.run("tasks", job_id, "--files").stdout.splitlines() if "map_reads" in line]
    assert line.split()[2:] == ["failed", "log", "34", "B", "logs/map/A.log"]


def test_the_work_directory_of_a_failed_run_can_be_inspected(user: User, tmp_path: Path) -> None:
    job_id = user.submit(tmp_path, LOG_OF_A_FAILED_RULE)
    listed = user.run("files", job_id)
    assert {line.split()[0] for line in listed.stdout.splitlines()[1:]} >= {"Snakefile", "logs/"}
    assert "kept until" in listed.stderr
    assert "logs/map/A.log" in user.run("files", job_id, "logs/map").stdout
    assert user.run("files", job_id, "logs", "--get", str(tmp_path / "got")).stdout.startswith("1 file in ")
    assert (tmp_path / "got/logs/map/A.log").read_text() == "FATAL: reference index is corrupt\n"
    assert user.run("files", job_id, "absent").returncode == Exit.NOT_FOUND
    (tmp_path / "again").mkdir()
    good = user.submit(tmp_path / "again", TEMPORARY)
    assert "is not kept on the runner" in user.run("files", good).stderr
    (tmp_path / "third").mkdir()
    kept = user.submit(tmp_path / "third", TEMPORARY, "--keep-work")
    assert "x.txt" in user.run("files", kept).stdout


def test_undeclared_files_are_named_and_kept_on_request(user: User, tmp_path: Path) -> None:
    job_id = user.submit(tmp_path, UNDECLARED)
    listed = user.json("outputs", job_id)
    assert {file["path"]: file["kind"] for file in listed["files"]} == {
        "bench/a.tsv": "benchmark",
        "flag.done": "output",
        "logs/a.log": "log",
    }
    assert {item["path"] for item in listed["undeclared"]} == {"SUCCESS.txt", "results/side_effect.csv"}
    warning = "2 undeclared files were not kept: SUCCESS.txt, results/side_effect.csv"
    assert warning in user.run("show", job_id).stdout
    assert warning in user.run("logs", job_id).stdout
    (tmp_path / "again").mkdir()
    kept = user.json("outputs", user.submit(tmp_path / "again", UNDECLARED, "--keep-undeclared"))
    assert {file["path"] for file in kept["files"] if file["kind"] == "undeclared"} == {
        "SUCCESS.txt",
        "results/side_effect.csv",
    }
    assert kept["undeclared_count"] == 0


def test_a_temporary_file_is_kept_where_the_bare_command_keeps_it(user: User, tmp_path: Path) -> None:
    job_id = user.submit(tmp_path, TEMPORARY)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "Snakefile").write_text(TEMPORARY)
    command = [sys.executable, "-m", "snakemake", "--cores", "1"]
    subprocess.run(command, cwd=bare, env=environment(user.system.home), capture_output=True, check=True)
    left = {path.name for path in bare.iterdir() if path.is_file()} - {"Snakefile"}
    assert {file["path"] for file in user.json("outputs", job_id)["files"]} == left


def test_links_in_folders_are_stored_or_listed_with_the_reason(user: User, tmp_path: Path) -> None:
    job_id = user.submit(tmp_path, LINKS)
    listed = user.json("outputs", job_id)
    assert {file["path"] for file in listed["files"]} == {
        "alias/reads.txt",
        "byclass/one.txt",
        "byclass/x/reads.txt",
        "sample/reads.txt",
    }
    assert listed["not_stored"] == [{"path": "byclass/out", "reason": "it leads outside the run's folder"}]
    assert "byclass/out (it leads outside the run's folder)" in user.run("show", job_id).stdout
    assert "byclass/out: it leads outside the run's folder" in user.run("outputs", job_id).stderr


def test_tasks_show_which_member_of_a_group_failed_and_why(user: User, tmp_path: Path) -> None:
    job_id = user.submit(tmp_path, GROUP)
    assert user.json("show", job_id)["error_message"] == "rule b (i=1) failed with exit code 6"
    [line] = [line for line in user.run("tasks", job_id).stdout.splitlines() if "group member broke" in line]
    assert line.split()[1:3] == ["b", "failed"]
    assert "i=1" in line
    assert line.endswith("failed with exit code 6: group member broke")


def test_the_whole_log_is_printed_after_the_end(user: User, tmp_path: Path) -> None:
    job_id = user.submit(tmp_path, LOUD)
    lines = user.run("logs", job_id).stdout.splitlines()
    expected = [f"line {number} of much text to see if any is lost" for number in range(1, LINES + 1)]
    start = lines.index(expected[0])
    assert lines[start : start + LINES] == expected
    assert "LAST-STDERR" in lines
    assert user.run("logs", job_id, "--task", "longline").stdout == "x" * 3_000_000 + "END\n"
    assert user.run("logs", job_id, "--task", "loud", "--stream", "stderr").stdout == "LAST-STDERR\n"
    assert user.run("logs", "-f", job_id).stdout.splitlines() == lines
    entries = user.json("logs", job_id, "--task", "longline")["entries"]
    assert "".join(entry["text"] for entry in entries) == "x" * 3_000_000 + "END\n"


def test_a_reader_that_has_enough_ends_it_quietly(user: User, tmp_path: Path) -> None:
    job_id = user.submit(tmp_path, LOUD)
    command = [sys.executable, "-m", "penstock", "logs", job_id]
    with subprocess.Popen(
        command, env=environment(user.system.home), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("snakefile", "message"),
    [
        (STDOUT, "the last it wrote to standard output:\n    ERROR: licence expired"),
        (EXIT, "failed: the Snakefile ended the run itself: sys.exit(1); the last it printed: ERROR: give a sample"),
        (
            MEMORY,
            f"the runner allows each process 2,000,000,000 bytes of memory (PENSTOCK_LIMIT_MEMORY_BYTES={LIMIT_BYTES})",
        ),
        (NOT_EXECUTABLE, "tool.txt has no execute permission"),
    ],
    ids=["stdout", "exit", "memory", "mode"],
)
def test_the_reason_of_a_failure_is_shown(user: User, tmp_path: Path, snakefile: str, message: str) -> None:
    output = user.run("show", user.submit(tmp_path, snakefile, files={"tool.txt": "hello"})).stdout
    assert message in output, output
    assert "PENSTOCK_SANDBOX_WRITE" not in output
