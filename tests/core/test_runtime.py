"""The sources of time and ids, and the rule that nothing else reads a clock."""

import os
import subprocess
import sys
from datetime import UTC
from pathlib import Path

import pytest

from penstock_runtime.runtime import SYSTEM

ROOT = Path(__file__).parents[2]


def test_the_clocks_do_not_run_backwards() -> None:
    assert SYSTEM.now().tzinfo is UTC
    assert SYSTEM.monotonic() <= SYSTEM.monotonic()
    assert SYSTEM.boot_time() <= SYSTEM.boot_time()


def test_ids_differ_and_have_32_hexadecimal_digits() -> None:
    first, second = SYSTEM.new_id(), SYSTEM.new_id()
    assert first != second
    assert len(first) == 32
    assert int(first, 16) >= 0


@pytest.mark.parametrize(
    ("code", "is_banned"),
    [
        ("from datetime import UTC, datetime\n\nNOW = datetime.now(UTC)\n", True),
        ("import time\n\nNOW = time.monotonic()\n", True),
        ("from uuid import uuid4\n\nID = uuid4().hex\n", True),
        ("from penstock_runtime.runtime import SYSTEM\n\nNOW = SYSTEM.now()\n", False),
    ],
)
@pytest.mark.system
def test_production_code_must_not_read_a_clock_itself(code: str, is_banned: bool) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename", "services/x.py", "-"],
        input=code,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert (run.returncode == 1) is is_banned, run.stdout + run.stderr


@pytest.mark.system
def test_a_forked_process_makes_other_ids_than_its_parent() -> None:
    SYSTEM.new_id()  # reads a block of random bytes ahead
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, "\n".join(_new_ids(100)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    in_child = set(os.read(read, 1 << 16).decode().split())
    os.close(read)
    os.close(write)

    ids = set(_new_ids(1000))
    assert (len(in_child), len(ids)) == (100, 1000)
    assert not in_child & ids


def _new_ids(count: int) -> list[str]:
    return [SYSTEM.new_id() for _ in range(count)]
