"""What processes use, read of real ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock_execution.processes.process_usage import memory_of, resident_of, written_files

GONE = 1 << 22


@pytest.mark.system
def test_memory_that_is_shared_counts_once_and_never_more_than_what_is_resident() -> None:
    program = "import os, sys; taken = bytearray(50_000_000); os.fork(); os.write(1, b'ready\\n'); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == process.stdout.readline() == b"ready\n"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        tree = {process.pid, *map(int, children)}
        assert len(tree) == 2
        assert 50_000_000 < memory_of(tree) < 100_000_000 < resident_of(tree)
        assert process.stdin is not None
        process.stdin.close()


def test_files_that_are_open_for_writing_are_found_and_others_are_not(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out, Path(sys.executable).open("rb") as inputs:
        out.write(b"x" * 100_000)
        out.flush()
        found = dict(written_files(os.getpid()))
        written, read = os.fstat(out.fileno()), os.fstat(inputs.fileno())
    assert found[written.st_dev, written.st_ino] >= 100_000
    assert (read.st_dev, read.st_ino) not in found


def test_a_process_that_is_gone_uses_nothing() -> None:
    assert memory_of({GONE}) == resident_of({GONE}) == 0
    assert list(written_files(GONE)) == []
