"""What a workflow's own process writes: standard output apart from standard error, and both in the right order."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from tests.runner.snakemake.engine_harness import EngineHarness

from penstock_execution.logs.combined_log import OwnLog
from penstock_execution.logs.stdio_capture import RECORD
from penstock_schemas.views import LogStream

PRELUDE = """
import os, subprocess, sys
from pathlib import Path
from penstock_execution.logs.stdio_capture import record_streams
record_streams(Path(sys.argv[1]))
"""


def record(folder: Path, code: str) -> Path:
    """Run code in a process that records its streams; return where its log will be."""
    log = folder / "engine.log"
    program = PRELUDE + dedent(code)
    assert subprocess.run([sys.executable, "-c", program, str(log)], timeout=60, check=False).returncode == 7
    return log


def read(log: Path) -> tuple[str, str, str]:
    OwnLog(log).join()
    stdout, stderr, whole = (log.with_suffix(item).read_text() for item in (".stdout", ".stderr", ".log"))
    return stdout, stderr, whole


@pytest.mark.system
@pytest.mark.parametrize(
    ("code", "whole"),
    [
        ("", ""),
        ("print('o1'); print('o2')", "o1 o2"),
        ("print('e1', file=sys.stderr); print('e2', file=sys.stderr)", "e1 e2"),
        ("for n in range(4): print(f'o{n}'); print(f'e{n}', file=sys.stderr)", "o0 e0 o1 e1 o2 e2 o3 e3"),
        ("print('e1', file=sys.stderr); os.system('echo o1'); print('o2')", "e1 o1 o2"),
        ("print('o1'); os.system('echo e1 >&2'); print('o2'); os.system('echo o3'); os.system('echo e2 >&2')",
         "o1 e1 o2 o3 e2"),
        ("os.system('echo e1 >&2'); print('o1'); os.system('echo e2 >> /dev/stderr'); print('e3', file=sys.stderr)",
         "e1 o1 e2 e3"),
        ("os.system('echo o1'); print('e1', file=sys.stderr); os.write(1, b'o2\\n'); print('e2', file=sys.stderr)",
         "o1 e1 o2 e2"),
    ],
)  # fmt: skip
def test_both_streams_and_their_order(tmp_path: Path, code: str, whole: str) -> None:
    stdout, stderr, joined = read(record(tmp_path, f"{code}\nos._exit(7)"))
    words = whole.split()
    assert joined.split() == words
    assert stdout.split() == [word for word in words if word.startswith("o")]
    assert stderr.split() == [word for word in words if word.startswith("e")]


@pytest.mark.system
def test_a_stream_that_is_emptied_loses_only_what_it_had(tmp_path: Path) -> None:
    code = """
    print("lost", file=sys.stderr)
    os.system("echo e1 > /dev/stderr")
    for n in range(3):
        print(f"o{n}")
        print(f"e{n}", file=sys.stderr)
    os._exit(7)
    """
    log = record(tmp_path, code)
    live = "".join(item.text for item in OwnLog(log).read(is_over=True))
    stdout, stderr, whole = read(log)
    assert sorted(whole.split()) == sorted(live.split()) == sorted([*stdout.split(), *stderr.split()])


@pytest.mark.system
def test_a_fork_that_writes_elsewhere_leaves_the_order_alone(tmp_path: Path) -> None:
    code = """
    print('o1')
    if os.fork() == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        for n in range(50): print('nowhere'); print('e1' if n == 0 else '', end='', file=sys.stderr)
        sys.stderr.flush()
        os._exit(0)
    os.wait()
    print('o2')
    os._exit(7)
    """
    assert read(record(tmp_path, code))[2].replace("e1", "e1\n").split() == ["o1", "e1", "o2"]


def test_it_is_reported_in_order_while_it_is_written(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    own = OwnLog(log)
    assert own.read() == []
    stdout, stderr, order = (log.with_suffix(item).open("ab", buffering=0) for item in (".stdout", ".stderr", ".order"))
    with stdout, stderr, order:

        def reported(*, is_over: bool = False) -> list[tuple[str, LogStream]]:
            return [(item.text, item.stream) for item in own.read(is_over=is_over)]

        stdout.write(b"o1\no")
        assert reported() == [("o1\n", LogStream.WORKFLOW)]
        order.write(RECORD.pack(4, 0, 1))
        stderr.write(b"e1\n")
        order.write(RECORD.pack(6, 3, 0))  # its bytes are still to come
        assert reported() == [("e1\n", LogStream.ENGINE)]
        stdout.write(b"2\n")
        stderr.write(b"e2\n")
        assert reported() == [("o2\n", LogStream.WORKFLOW), ("e2\n", LogStream.ENGINE)]
        stdout.write("ö".encode()[:1])
        assert reported() == []
        stdout.write("ö".encode()[1:])
        assert reported(is_over=True) == [("ö", LogStream.WORKFLOW)]


@pytest.mark.parametrize("order", [b"x", os.urandom(17 * 50), RECORD.pack(9**9, 9**9, 255), RECORD.pack(3, 0, 1) * 5])
def test_a_record_that_the_workflow_wrote_over_costs_the_order_alone(tmp_path: Path, order: bytes) -> None:
    log = tmp_path / "engine.log"
    for suffix, content in ((".stdout", b"o1\no2\n"), (".stderr", b"e1\ne2\n"), (".order", order)):
        log.with_suffix(suffix).write_bytes(content)
    own = OwnLog(log)
    live = "".join(item.text for item in own.read(is_over=True))
    own.join()
    for text in (live, log.read_text()):
        assert sorted(text.split()) == ["e1", "e2", "o1", "o2"]


@pytest.mark.system
def test_a_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    log = record(tmp_path, "print('o1'); os._exit(7)")
    (tmp_path / "precious").write_text("precious")
    log.symlink_to(tmp_path / "precious")
    OwnLog(log).join()
    assert (tmp_path / "precious").read_text() == "precious"
    assert log.read_text() == "o1\n"


@pytest.mark.slow
async def test_what_a_workflow_prints_is_apart_from_what_snakemake_logs(harness: EngineHarness) -> None:
    await harness.succeed("""
        print("parsing")
        shell("echo checking; echo careful >&2")
        onsuccess:
            print("well done")
            shell("echo mailing")
        rule all:
            output: "x"
            shell: "echo of the task; touch {output}"
    """)
    printed = (harness.logs / "engine.stdout").read_text()
    logged = (harness.logs / "engine.stderr").read_text()
    assert printed == "parsing\nchecking\nwell done\nmailing\n"
    assert "1 of 1 steps (100%) done" in logged
    assert "careful" in logged
    assert (harness.emitted.log(LogStream.WORKFLOW), harness.emitted.log(LogStream.ENGINE)) == (printed, logged)
    whole = (harness.logs / "engine.log").read_text()
    for earlier, later in (("parsing", "checking"), ("careful", "Building DAG"), ("(100%) done", "well done")):
        assert whole.index(earlier) < whole.index(later)
    assert len(whole) == len(printed) + len(logged)
    assert "of the task" not in whole.splitlines()
