"""Other users of the machine reach nothing of a state folder, also when they could before `penstock up` started."""

import os
import stat
from pathlib import Path
from textwrap import dedent

import pytest
from tests.cli.systems import call, up

pytestmark = pytest.mark.system

SNAKEFILE = """
    rule all:
        output: "made.txt", directory("folder")
        log: "logs/all.log"
        shell: "umask > {output[0]}; mkdir {output[1]}; echo x > {output[1]}/file; ls -la > {log}"
"""


USUAL_MODES = {"made.txt": 0o644, "folder": 0o755, "folder/file": 0o644, "data": 0o755}
"""As the bare command has them with this umask."""


def open_to_others(state: Path) -> dict[str, str]:
    """Everything in a state folder whose modes give others something, but for what runs made."""
    found: dict[str, str] = {}
    for parent, folders, files in os.walk(state):
        for path in (Path(parent, name) for name in ("", *folders, *files)):
            mode = path.lstat().st_mode
            if mode & 0o077 and not stat.S_ISLNK(mode):
                found[str(path.relative_to(state))] = oct(mode)
        if Path(parent) == state / "runner/work":
            folders.clear()
    return found


def test_a_state_folder_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    state = tmp_path / "state/penstock"
    for name in ("blobs/jobs/old", "gateway", "nats/jetstream", "runner/logs/old", "runner/work/old", "log"):
        (state / name).mkdir(parents=True)
        (state / name / "file").write_text("x")
        (state / name / "file").chmod(0o644)
    for parent, _, _ in os.walk(state):
        Path(parent).chmod(0o755)
    workflow = tmp_path / "workflow"
    workflow.mkdir()
    (workflow / "Snakefile").write_text(dedent(SNAKEFILE))
    (workflow / "data").mkdir()
    (workflow / "data/input.txt").write_text("x")
    before = os.umask(0o022)
    try:
        with up(tmp_path, environ={"PENSTOCK_AUTH": "token", "PENSTOCK_KEEP_WORK": "true"}) as system:
            assert "other users could reach the state folder" in system.output()
            made = call(tmp_path, "token", "create", "first", "--bootstrap")
            token = made.stdout.strip()
            done = call(tmp_path, "submit", str(workflow), "--watch", PENSTOCK_TOKEN=token)
            assert done.returncode == 0, (made, done)
            assert open_to_others(state) == {}
            [work] = [path for path in (state / "runner/work").iterdir() if path.name != "old"]
            assert (work / "made.txt").read_text() == "0022\n"
            assert {name: stat.S_IMODE((work / name).stat().st_mode) for name in USUAL_MODES} == USUAL_MODES
        assert open_to_others(state) == {}
    finally:
        os.umask(before)
