"""The supervisor over real small processes."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from penstock.local import supervisor as supervision
from penstock.local.processes import RotatedLog, Service, ServiceProcess, ending
from penstock.local.supervisor import Supervisor

pytestmark = pytest.mark.system

DEADLINE_S = 20.0
STAY = "import time; print('here', flush=True); time.sleep(1000)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(1000)"
)


class Stage:
    """A supervisor, and its messages."""

    def __init__(self, supervisor: Supervisor, folder: Path, messages: list[str], lines: list[tuple[str, str]]) -> None:
        self.supervisor = supervisor
        self.messages = messages
        self.lines = lines
        self._folder = folder
        self._names: set[str] = set()

    async def start(self, program: str, *, name: str = "it", grace_s: float = DEADLINE_S, **environ: str) -> None:
        service = Service(name=name, command=(sys.executable, "-c", program), environ=environ)
        kept = ServiceProcess(service, self._folder / f"{name}.log", lambda who, line: self.lines.append((who, line)))
        self._names.add(name)
        await self.supervisor.start(kept, grace_s=grace_s)

    async def stop_all(self) -> None:
        self.supervisor.hurry.set()
        for name in self._names:
            await self.supervisor.stop(name)

    def log(self, name: str = "it") -> str:
        return (self._folder / f"{name}.log").read_text()


@asynccontextmanager
async def stage(folder: Path) -> AsyncGenerator[Stage]:
    messages: list[str] = []
    with anyio.fail_after(DEADLINE_S * 2):
        async with anyio.create_task_group() as group:
            supervisor = Supervisor(group, messages.append)
            started = Stage(supervisor, folder, messages, [])
            try:
                yield started
            finally:  # a supervisor ignores cancellation, so a failed test would never end
                with anyio.CancelScope(shield=True):
                    await started.stop_all()


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  # another process makes it true
            await anyio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


async def test_output_goes_to_the_log_and_to_the_listener(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.start("import os, time; print(os.environ['NAME'], flush=True); time.sleep(1000)", NAME="Ada")
        await until(lambda: ("it", "Ada") in at.lines)
        await at.supervisor.stop("it")
    assert at.log() == "Ada\n"
    assert at.messages == []


async def test_what_dies_is_started_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.start(STAY)
        await until(lambda: len(at.lines) == 1)
        os.kill(at.supervisor.pids()["it"], signal.SIGKILL)
        await until(lambda: len(at.lines) == 2)
        await at.supervisor.stop("it")
    assert at.messages == ["it was killed by SIGKILL; starting it again"]


async def test_what_does_not_stay_alive_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "MAX_QUICK_DEATHS", 3)
    monkeypatch.setattr(supervision, "FIRST_PAUSE_S", 0.001)
    async with stage(tmp_path) as at:
        await at.start("raise SystemExit('no luck')")
        await at.supervisor.trouble.wait()
        await at.supervisor.stop("it")
    given_up = at.supervisor.given_up
    assert given_up is not None
    assert given_up.reason == "died 3 times soon after its start; at last it ended with exit code 1"
    assert given_up.last_lines == ("no luck",) * 3
    assert len(at.messages) == 2


async def test_what_dies_again_and_again_of_its_work_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "MAX_QUICK_DEATHS", 3)
    monkeypatch.setattr(supervision, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(supervision, "LAST_PAUSE_S", 0.001)
    line = '{"event":"ready","level":"info"}'
    async with stage(tmp_path) as at:
        await at.start(f"print({line!r}, flush=True); raise SystemExit('a run took it down')")
        await until(lambda: at.lines.count(("it", line)) >= 10)
        await at.supervisor.stop("it")
    assert at.supervisor.given_up is None
    assert "it ended with exit code 1; starting it again" in at.messages


async def test_refused_settings_are_no_reason_to_try_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.start("print('PENSTOCK_X is wrong'); raise SystemExit(2)")
        await at.supervisor.trouble.wait()
    assert at.supervisor.given_up is not None
    assert at.supervisor.given_up.last_lines == ("PENSTOCK_X is wrong",)
    assert at.messages == []


async def test_what_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.start(STUBBORN, grace_s=0.1)
        await until(lambda: len(at.lines) == 1)
        pid = at.supervisor.pids()["it"]
        await at.supervisor.stop("it")
        assert not is_alive(pid)
    assert at.messages == ["it did not end within 0.1 s: killing it"]


async def test_hurry_ends_the_grace(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.start(STUBBORN)
        await until(lambda: len(at.lines) == 1)
        at.supervisor.hurry.set()
        await at.supervisor.stop("it")
    assert at.messages == []


async def test_stopping_during_the_pause_before_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "FIRST_PAUSE_S", 1000.0)
    monkeypatch.setattr(supervision, "LAST_PAUSE_S", 1000.0)
    async with stage(tmp_path) as at:
        await at.start("pass")
        await until(lambda: len(at.messages) == 1)
        await at.supervisor.stop("it")


async def test_a_process_left_behind_does_not_hold_up_the_restart(tmp_path: Path) -> None:
    program = (
        "import os, subprocess, sys, time\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'], start_new_session=True)\n"
        "print(left.pid, flush=True); time.sleep(1000)"
    )
    async with stage(tmp_path) as at:
        await at.start(program)
        await until(lambda: len(at.lines) == 1)
        os.kill(at.supervisor.pids()["it"], signal.SIGKILL)
        await until(lambda: len(at.lines) == 2)
        await at.supervisor.stop("it")
    for _, pid in at.lines:
        os.kill(int(pid), signal.SIGKILL)


async def test_children_end_with_a_supervisor_that_is_killed() -> None:
    program = (
        "import os, sys, subprocess, time\n"
        "from penstock.local import processes\n"
        "bound = processes._BOUND\n"
        "child = subprocess.Popen([sys.executable, '-I', '-S', bound, str(os.getpid()), sys.executable, '-c',\n"
        "    'import os, time; print(os.getpid(), flush=True); time.sleep(1000)'])\n"
        "time.sleep(1000)"
    )
    parent = subprocess.Popen(  # noqa: ASYNC220  # it is quick, and nothing else runs here
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_alive(child)
    parent.kill()
    parent.wait()  # it was killed
    parent.stdout.close()
    await until(lambda: not is_alive(child))


def test_a_log_file_is_bounded(tmp_path: Path) -> None:
    log = RotatedLog(tmp_path / "x.log", max_bytes=100)
    for number in range(30):
        log.write(f"{number:09d}\n".encode())
    log.close()
    lines = (tmp_path / "x.log.1").read_text().splitlines() + (tmp_path / "x.log").read_text().splitlines()
    assert lines == [f"{number:09d}" for number in range(10, 30)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.log", "x.log.1"]


def test_how_a_process_ended_in_words() -> None:
    assert ending(-9) == "was killed by SIGKILL"
    assert ending(3) == "ended with exit code 3"


def test_a_log_on_a_full_disk_loses_lines_and_ends_nobody() -> None:
    log = RotatedLog(Path("/dev/full"))
    log.write(b"a line\n")
    log.close()
