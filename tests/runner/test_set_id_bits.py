"""What stays of a run on the runner's disk lends nobody the rights of the runner's user."""

import os
import stat
from pathlib import Path

import anyio
import pytest
from tests.runner.conftest import Stage

from penstock_execution.engine import Attempt, Emit, Outcome
from penstock_execution.files.set_id_bits import strip_set_id_bits
from penstock_execution.local_workspace import local_folders
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.jobs import JobState
from penstock_testing.scripted_engine import STOPPED, ScriptedEngine

MODES = {"shell": 0o4755, "deep/group": 0o2750, "both": 0o6777, "plain": 0o755}


def make_files(folder: Path) -> None:
    for name, mode in MODES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
        (folder / name).chmod(mode)


def modes(folder: Path) -> dict[str, int]:
    return {name: stat.S_IMODE((folder / name).stat().st_mode) for name in MODES}


def test_the_bits_go_and_the_rest_stays(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("x")
    outside.chmod(0o4755)
    folder = tmp_path / "work"
    folder.mkdir()
    make_files(folder)
    (folder / "link").symlink_to(outside)
    os.mkfifo(folder / "pipe")
    assert strip_set_id_bits(folder) == 3
    assert modes(folder) == {name: mode & 0o777 for name, mode in MODES.items()}
    assert stat.S_IMODE(outside.stat().st_mode) == 0o4755
    assert strip_set_id_bits(folder) == 0


@pytest.mark.parametrize("kind", [OutcomeKind.SUCCEEDED, OutcomeKind.STOPPED])
async def test_a_run_whose_work_is_kept_leaves_none(stage: Stage, kind: OutcomeKind) -> None:
    stage.keep_work = True

    async def script(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
        make_files(local_folders(attempt.workspace).work_dir)
        if kind is OutcomeKind.STOPPED:
            await stop.wait()
            return STOPPED
        return Outcome(kind=kind)

    async with stage.runner(ScriptedEngine(script, needs_files=True)) as shutdown:
        _, joined = await stage.desk.joined()
        job_id = await stage.desk.submit()
        await stage.desk.assign(job_id, joined.runner_id)
        if kind is OutcomeKind.STOPPED:
            await stage.desk.reaches(job_id, JobState.RUNNING)
            shutdown.request()
            shutdown.request()
        await stage.desk.reaches(job_id, JobState.COMPLETED, JobState.QUEUED)
    assert modes(stage.folder / "work" / job_id) == {name: mode & 0o777 for name, mode in MODES.items()}
