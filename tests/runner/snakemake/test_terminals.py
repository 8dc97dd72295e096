"""A runner that an operator started at a terminal: no process of a workflow inherits the terminal."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

pytestmark = pytest.mark.system

DEADLINE_S = 60.0
RUNNER = """
    import anyio, os, sys
    from pathlib import Path
    from penstock_execution.engine import Attempt
    from penstock_execution.local_workspace import LocalWorkspace
    from penstock_engines.snakemake.engine import SnakemakeEngine

    async def main():
        root = Path(sys.argv[1])
        async with SnakemakeEngine() as engine:
            attempt = Attempt(job_id="j", tenant="t", attempt=1, pipeline_name="p", parameters={}, cores=1,
                              workspace=LocalWorkspace(root / "work", root / "logs"))
            outcome = await engine.run(attempt, lambda event: None, anyio.Event())
            print(outcome.kind.value, outcome.failure, flush=True)

    assert os.isatty(0) and os.isatty(1) and os.isatty(2)
    os.close(os.open("/dev/tty", os.O_RDWR))
    anyio.run(main)
"""
SNAKEFILE = """
    import json, os

    def look(path):
        open_ones = [int(name) for name in os.listdir("/proc/self/fd")]
        found = {}
        for number in open_ones:
            try:
                found[number] = [os.readlink(f"/proc/self/fd/{number}"), os.isatty(number)]
            except OSError:
                pass  # the descriptor that listed them
        controlling = int(open("/proc/self/stat").read().rpartition(")")[2].split()[4])
        json.dump({"open": found, "controlling": controlling}, open(path, "w"))

    look("parsed.json")

    rule all:
        input: "python.json", "shell.json"

    rule python:
        output: "python.json"
        run: look(output[0])

    rule shell:
        output: "shell.json"
        shell:
            '''
            for fd in 0 1 2; do [ ! -t $fd ] || echo "descriptor $fd is a terminal" >&2; [ ! -t $fd ]; done
            ! (exec 9<> /dev/tty) 2> /dev/null
            echo '{{"open": {{}}, "controlling": 0}}' > {output}
            '''
"""


def run_at_terminal(root: Path) -> str:
    """Run the runner with a separate terminal, as a shell does; return what appeared on the screen."""
    screen, terminal = pty.openpty()
    helper = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", helper, sys.executable, "-c", dedent(RUNNER), str(root)]
    try:
        with subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
        ) as process:
            os.close(terminal)
            output, ends = b"", time.monotonic() + DEADLINE_S
            while time.monotonic() < ends:
                if select.select([screen], [], [], 1.0)[0]:
                    try:
                        output += os.read(screen, 4096)
                    except OSError:  # nobody has the terminal open any more
                        break
            process.kill()
        return output.decode()
    finally:
        os.close(screen)


def test_a_workflow_inherits_no_terminal(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "work/Snakefile").write_text(dedent(SNAKEFILE))
    output = run_at_terminal(tmp_path)
    assert "succeeded None" in output
    for name in ("parsed", "python", "shell"):
        found = json.loads((tmp_path / f"work/{name}.json").read_text())
        assert found["controlling"] == 0
        assert not any(is_terminal for _, is_terminal in found["open"].values())


def test_a_workflow_inherits_its_own_descriptors_alone(tmp_path: Path) -> None:
    """Not the zygote's control socket, the lease's memory, or another attempt's lifeline."""
    (tmp_path / "work").mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "work/Snakefile").write_text(dedent(SNAKEFILE))
    assert "succeeded None" in run_at_terminal(tmp_path)
    found = json.loads((tmp_path / "work/parsed.json").read_text())["open"]
    others = {place for place, _ in found.values() if not place.startswith((str(tmp_path), "pipe:"))}
    assert others <= {"/dev/null", f"/proc/{os.getpid()}/fd"}, others
