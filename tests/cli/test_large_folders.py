"""Folders that do not fit a request in JSON, against a running system."""

from collections.abc import Generator
from pathlib import Path

import pytest
from tests.cli.systems import Up, call, up

from penstock.terminal.exit_codes import Exit

pytestmark = pytest.mark.system

MIB = 1024 * 1024
STRANGE = 'data/we "ird %22 ñ.txt'
WORKFLOW = """
rule all:
    input: "sizes.txt"

rule sizes:
    input: "data/large.bin"
    output: "sizes.txt"
    shell: "stat -c %s {input} > {output}; cat data/we* >> {output}"
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Generator[Up]:
    with up(
        tmp_path_factory.mktemp("home"), "--slots", "1", environ={"PENSTOCK_MAX_UPLOAD_BYTES": str(48 * MIB)}
    ) as started:
        yield started


def folder(tmp_path: Path, large_bytes: int) -> str:
    (tmp_path / "data").mkdir()
    (tmp_path / "Snakefile").write_text(WORKFLOW)
    (tmp_path / STRANGE).write_text("strange")
    with (tmp_path / "data" / "large.bin").open("wb") as file:
        file.truncate(large_bytes)
    return str(tmp_path)


def test_a_large_folder_is_planned_run_and_found_again(system: Up, tmp_path: Path) -> None:
    workflow = folder(tmp_path, 40 * MIB)
    planned = call(system.home, "plan", workflow)
    assert planned.returncode == Exit.OK, planned.stderr
    assert "sizes  1" in planned.stdout
    done = call(system.home, "submit", workflow, "--idempotency-key", "large", "--watch")
    assert done.returncode == Exit.OK, done.stderr
    assert "sending 3 files, 40.0 MiB" in done.stderr
    got = call(system.home, "outputs", done.stdout.strip(), "--get", str(tmp_path / "got"))
    assert got.returncode == Exit.OK, got.stderr
    assert (tmp_path / "got" / "sizes.txt").read_text() == f"{40 * MIB}\nstrange"
    again = call(system.home, "submit", workflow, "--idempotency-key", "large", "--exclude", "got/")
    assert again.stdout == done.stdout, again.stderr


@pytest.mark.parametrize(
    ("large_bytes", "option", "expected"),
    [(64 * MIB, "--name=x", f"{48 * MIB:,} bytes"), (20 * MIB, "--engine=excel", "no runner offers `excel`")],
)
def test_a_refusal_comes_through(system: Up, tmp_path: Path, large_bytes: int, option: str, expected: str) -> None:
    refused = call(system.home, "submit", folder(tmp_path, large_bytes), option)
    assert refused.returncode == Exit.USAGE, refused.stderr
    assert refused.stderr.count(expected) == 1
