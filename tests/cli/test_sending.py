"""What `submit` and `plan` send of a folder, and the result, against one running system."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.cli.systems import Up, call, up

from penstock.terminal.exit_codes import Exit

pytestmark = pytest.mark.system

TOTAL = """
rule total:
    input: "data/values.txt"
    output: "results/total.txt"
    params: factor=config.get("factor", 1)
    shell: "awk '{{s+=$1}} END {{print s*{params.factor}}}' {input} > {output}"
"""
NEEDS_DATA = """
rule all:
    input: "data/raw/big.bam"
    output: "o.txt"
    shell: "cp {input} {output}"
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Generator[Up]:
    with up(tmp_path_factory.mktemp("home"), "--slots", "2") as started:
        yield started
        assert started.stop() == Exit.OK


def submitted(system: Up, folder: Path, *options: str) -> str:
    done = call(system.home, "submit", str(folder), "--watch", *options)
    assert done.returncode == Exit.OK, done.stderr
    return done.stdout.strip()


def output(system: Up, job_id: str, path: str, to: Path) -> str:
    done = call(system.home, "outputs", job_id, "--get", str(to))
    assert done.returncode == Exit.OK, done.stderr
    return (to / path).read_text()


def test_results_of_an_earlier_run_are_made_again_when_input_or_parameters_changed(system: Up, tmp_path: Path) -> None:
    folder = tmp_path / "flow"
    (folder / "data").mkdir(parents=True)
    (folder / "Snakefile").write_text(TOTAL)
    values = folder / "data" / "values.txt"
    values.write_text("1\n2\n3\n")
    subprocess.run([sys.executable, "-m", "snakemake", "-c1", "-q"], cwd=folder, check=True, capture_output=True)
    assert (folder / "results" / "total.txt").read_text() == "6\n"
    made_ns = (folder / "results" / "total.txt").stat().st_mtime_ns

    assert "nothing would run" in call(system.home, "plan", str(folder)).stdout
    changed = call(system.home, "plan", str(folder), "-p", "factor=5", "--tasks").stdout
    assert "Params have changed" in changed

    values.write_text("10\n20\n30\n")
    os.utime(values, ns=(made_ns + 1000, made_ns + 1000))
    first = submitted(system, folder)
    second = submitted(system, folder, "-p", "factor=5")
    assert output(system, first, "results/total.txt", tmp_path / "first") == "60\n"
    assert output(system, second, "results/total.txt", tmp_path / "second") == "300\n"


def test_a_folder_that_is_linked_and_a_program_arrive(system: Up, tmp_path: Path) -> None:
    folder = tmp_path / "flow"
    (folder / "pkg" / "workflow").mkdir(parents=True)
    (folder / "bin").mkdir()
    rule = 'rule all:\n    output: "o.txt"\n    shell: "bin/tool hello > {output} && test -L workflow"\n'
    (folder / "pkg" / "workflow" / "Snakefile").write_text(rule)
    (folder / "workflow").symlink_to("pkg/workflow")
    (folder / "bin" / "tool").write_bytes(Path("/bin/echo").read_bytes())
    (folder / "bin" / "tool").chmod(0o755)
    job_id = submitted(system, folder)
    assert output(system, job_id, "o.txt", tmp_path / "got") == "hello\n"


def test_what_was_left_out_is_named_again_when_the_run_fails(system: Up, tmp_path: Path) -> None:
    folder = tmp_path / "flow"
    (folder / "data" / "raw").mkdir(parents=True)
    (folder / "Snakefile").write_text(NEEDS_DATA)
    (folder / "data" / "raw" / "big.bam").write_text("reads")
    (folder / ".penstockignore").write_text("# large\n\ndata/raw/\n")
    line = "left out: data/raw/ (1 file, 5 B): .penstockignore line 3 'data/raw/'"
    done = call(system.home, "submit", str(folder), "--watch")
    assert done.returncode == Exit.RUN_FAILED
    assert done.stderr.count(line) == 2, done.stderr
    job_id = done.stdout.strip()
    assert line in call(system.home, "show", job_id).stdout
    assert line in call(system.home, "plan", str(folder)).stderr
    with urllib.request.urlopen(f"{system.record.url}/ga4gh/wes/v1/runs/{job_id}", timeout=30) as answer:
        lines = json.load(answer)["run_log"]["system_logs"]
    assert any(line.endswith("data/raw/: .penstockignore line 3 'data/raw/'") for line in lines), lines


def test_much_is_sent_after_a_question_alone(system: Up, tmp_path: Path) -> None:
    folder = tmp_path / "flow"
    folder.mkdir()
    (folder / "Snakefile").write_text('rule all:\n    output: "o"\n    shell: "touch {output}"\n')
    (folder / "data").write_bytes(bytes(5000))
    for command in (
        ("submit", str(folder)),
        ("plan", str(folder)),
        ("pipeline", "add", str(folder), "--version", "1"),
    ):
        refused = call(system.home, *command, PENSTOCK_SEND_CONFIRM_BYTES="4000")
        assert refused.returncode == Exit.USAGE, refused.stderr
        assert "nothing was sent; add --yes" in refused.stderr
        agreed = call(system.home, *command, "--yes", PENSTOCK_SEND_CONFIRM_BYTES="4000")
        assert agreed.returncode == Exit.OK, agreed.stderr


@pytest.mark.parametrize("command", [("submit",), ("plan",), ("pipeline", "add", "--version", "1")])
@pytest.mark.parametrize("folder", ["/", "/etc", "/usr", "/tmp"])
def test_folders_of_the_system_are_refused(tmp_path: Path, command: tuple[str, ...], folder: str) -> None:
    done = call(tmp_path, *command, folder, PENSTOCK_URL="http://127.0.0.1:9")
    assert done.returncode == Exit.USAGE
    assert "--force" in done.stderr
