"""The watchdog: what hangs is ended, and nothing else."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.systems import environment, up, wait_until
from tests.cli.test_supervisor import stage, until

from penstock.local import watchdog
from penstock.local.watchdog import FIRST_S, HUNG_S, LATE_S, Patience
from penstock.terminal.exit_codes import Exit

BEATS = """
import os, sys, time
pipe = int(os.environ["PENSTOCK_WATCHDOG_FD"])
print("here", flush=True)
while True:
    os.write(pipe, b".")
    time.sleep(0.01)
"""
HANGS_LATER = """
import os, time
os.write(int(os.environ["PENSTOCK_WATCHDOG_FD"]), b".")
print("here", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "LOOK_S", 0.05)
    monkeypatch.setattr(watchdog, "HUNG_S", 0.5)


@pytest.mark.system
@pytest.mark.usefixtures("quick")
async def test_a_service_that_hangs_is_started_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as at:
        await at.start(HANGS_LATER)
        await until(lambda: ("it", "here") in at.lines)
        await until(lambda: "it was killed by SIGABRT; starting it again" in at.messages)
        assert any('"event":"hung"' in line for _, line in at.lines)
        assert '"event":"hung"' in at.log()
        await at.supervisor.stop("it")


@pytest.mark.system
async def test_a_service_that_is_stopped_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "LOOK_S", 0.05)
    monkeypatch.setattr(watchdog, "HUNG_S", 5.0)  # a loaded machine pauses a process for longer than half a second
    async with stage(tmp_path) as at:
        await at.start(BEATS)
        await until(lambda: ("it", "here") in at.lines)
        os.kill(at.supervisor.pids()["it"], signal.SIGSTOP)
        await until(lambda: "it was killed by SIGKILL; starting it again" in at.messages)
        await at.supervisor.stop("it")


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=200))
def test_only_looks_that_come_in_time_count(looks: list[tuple[float, bool]]) -> None:
    patience, now, silent_s, limit_s = Patience(0.0), 0.0, 0.0, FIRST_S
    for passed_s, has_beaten in looks:
        now += passed_s
        limit_s = HUNG_S if has_beaten else limit_s
        silent_s = 0.0 if has_beaten or passed_s > LATE_S else silent_s + passed_s
        hangs = patience.look(now, has_beaten=has_beaten)
        assert hangs <= (silent_s >= limit_s - 1e-6)
        assert hangs >= (silent_s >= limit_s + 1e-6)


def test_a_pause_of_everything_ends_nothing() -> None:
    patience = Patience(0.0)
    assert not patience.look(1.0, has_beaten=True)
    assert not patience.look(10_000.0, has_beaten=False), "the machine slept"
    assert not any(patience.look(10_000.0 + second, has_beaten=False) for second in range(1, 29))
    assert patience.look(10_000.0 + 30, has_beaten=False)


@pytest.mark.system
def test_up_starts_every_service_again_that_is_stopped(tmp_path: Path) -> None:
    assert environment(tmp_path)
    services = ("gateway", "scheduler", "projector", "runner")
    with up(tmp_path) as running:
        for name in services:
            os.kill(running.record.services[name], signal.SIGSTOP)
        wait_until(
            lambda: all(f"{name} was killed by SIGKILL; starting it again" in running.output() for name in services),
            "every service started again",
            deadline_s=3 * HUNG_S,
        )
        assert "nats-server was" not in running.output()
        assert running.stop(signal.SIGTERM) == Exit.OK
