import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock.client import instance_record
from penstock.client.instance_record import Held, Running

RECORD = Running(
    pid=os.getpid(),
    url="http://127.0.0.1:8123",
    nats_url="nats://127.0.0.1:4222",
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
    software_version="1",
    services={"gateway": 7},
)


def test_the_running_system_is_found_while_it_holds_the_folder(tmp_path: Path) -> None:
    with instance_record.held(tmp_path):
        assert instance_record.find(tmp_path) is None
        instance_record.write(tmp_path, RECORD)
        assert instance_record.find(tmp_path) == RECORD
    assert instance_record.find(tmp_path) is None


def test_a_record_that_a_kill_left_behind_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "up.lock").touch()
    instance_record.write(tmp_path, RECORD)
    assert instance_record.find(tmp_path) is None
    with instance_record.held(tmp_path):
        assert instance_record.find(tmp_path) is None  # nor by others while the next one starts


def test_a_second_holder_gets_the_record_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_record, "LOCK_WAIT_S", 0.0)
    with instance_record.held(tmp_path):
        instance_record.write(tmp_path, RECORD)
        with pytest.raises(Held) as caught, instance_record.held(tmp_path):
            pass
        assert caught.value.running == RECORD
    with instance_record.held(tmp_path):
        pass


@pytest.mark.system
def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys, signal\nfrom penstock.client import instance_record\n"
        "with instance_record.held(pathlib.Path(sys.argv[1])):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, tmp_path], check=False).returncode == -9
    with instance_record.held(tmp_path):
        pass


def test_nothing_runs_on_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    assert instance_record.find(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"PENSTOCK_STATE_DIR": "/a/b"}, "/a/b"),
        ({"XDG_STATE_HOME": "/x"}, "/x/penstock"),
        ({"XDG_STATE_HOME": "relative"}, "~/.local/state/penstock"),
        ({}, "~/.local/state/penstock"),
    ],
)
def test_the_state_folder_is_where_users_expect_it(environ: dict[str, str], folder: str) -> None:
    assert instance_record.default_state(environ) == Path(folder).expanduser()
