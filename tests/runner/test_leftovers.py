"""What a killed runner left behind, and who may use its folder."""

import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.engine_folders import SNAKEMAKE_FOLDERS
from tests.runner.conftest import Stage

from penstock_execution.local_workspace import LocalWorkspaces
from penstock_execution.processes.markers import RUNNER_MARKER
from penstock_execution.processes.orphan_processes import find, sweep
from penstock_runner.state_folder import Predecessor, StateFolder
from penstock_runtime.folders.state_folder import StateFolderTaken, StateFolderUnusable
from penstock_schemas.ids import JobId, RunnerId
from penstock_sources.workspace.sources import PARTIAL, Sources
from penstock_testing.memory import MemoryBlobs
from penstock_testing.scripted_engine import ScriptedEngine

# Starts a child in a separate session, and both ignore SIGTERM.
FAMILY = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"],
                         start_new_session=True)
child.wait()
"""


@pytest.fixture
def family() -> Generator[subprocess.Popen[bytes]]:
    """A process and its child, as an engine of the runner `old-00000000` would have them."""
    process = subprocess.Popen(
        [sys.executable, "-c", FAMILY], env=os.environ | {RUNNER_MARKER: "old-00000000"}, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    yield process
    process.stdout.close()
    process.kill()
    process.wait()


@pytest.mark.system
def test_every_process_under_the_marker_is_killed_and_no_other(family: subprocess.Popen[bytes]) -> None:
    assert sweep("other-00000000") == 0
    assert len(list(find("old-00000000"))) == 2
    assert sweep("old-00000000") == 2
    assert list(find("old-00000000")) == []
    assert family.wait(5) == -9


@pytest.mark.system
async def test_a_runner_kills_what_its_predecessor_left_and_records_that_it_left(
    stage: Stage, family: subprocess.Popen[bytes]
) -> None:
    async with stage.runner(ScriptedEngine()):
        _, first = await stage.desk.joined()
    # As if it had been killed: the record and processes of a session that never left.
    lost = RunnerId("old-00000001")
    await stage.desk.append(f"runner.{lost}", first)
    StateFolder(stage.folder).remember(Predecessor(runner_id=lost, marker="old-00000000"))
    before = await stage.log.last_seq()
    async with stage.runner(ScriptedEngine()):
        seq, second = await stage.desk.joined(after=before)
        assert second.runner_id not in (first.runner_id, lost)
        assert await stage.desk.event_types(lost) == ["RunnerJoined", "RunnerLeft"]
        [left] = [stored for stored in await stage.log.load(f"runner.{lost}") if stored.seq > before]
        assert left.seq < seq, "its jobs are free before the successor takes any"
        assert family.poll() is not None or family.wait(5) == -9


def test_work_that_nobody_came_back_for_is_discarded(tmp_path: Path) -> None:
    workspaces = LocalWorkspaces(tmp_path, Sources(MemoryBlobs(), (), reserved=SNAKEMAKE_FOLDERS))
    old, new = (workspaces.of_attempt(JobId(name), 1).work_dir for name in ("old", "new"))
    for item in (old, new):
        item.mkdir(parents=True)
        (item / "file").write_text("x")
    os.utime(old, (1000, 1000))
    assert workspaces.discard_abandoned(now_s=time.time()) == 1
    assert not old.exists()
    assert (new / "file").exists()


def test_a_work_directory_that_was_not_complete_is_discarded(tmp_path: Path) -> None:
    workspaces = LocalWorkspaces(tmp_path, Sources(MemoryBlobs(), (), reserved=SNAKEMAKE_FOLDERS))
    work_dir = workspaces.of_attempt(JobId("new"), 1).work_dir
    partial = work_dir.with_name(work_dir.name + PARTIAL)
    partial.mkdir(parents=True)
    assert workspaces.discard_abandoned(now_s=time.time()) == 1
    assert not partial.exists()


def test_one_runner_at_a_time_uses_a_folder(tmp_path: Path) -> None:
    with (
        StateFolder(tmp_path).hold(),
        pytest.raises(StateFolderTaken, match="PENSTOCK_STATE_DIR"),
        StateFolder(tmp_path).hold(),
    ):
        pass
    with StateFolder(tmp_path).hold():
        pass


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateFolderUnusable, match="Not a directory"), StateFolder(tmp_path / "file" / "x").hold():
        pass


def test_the_predecessor_is_remembered_and_a_broken_record_is_none(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    assert folder.predecessor() is None
    record = Predecessor(runner_id=RunnerId("a-1"), marker="a-0")
    folder.remember(record)
    assert folder.predecessor() == record
    (tmp_path / "runner.json").write_bytes(b"{")
    assert folder.predecessor() is None
