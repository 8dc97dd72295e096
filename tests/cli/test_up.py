"""`penstock up`: starting, stopping, dying."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.systems import STOP_S, Up, call, environment, processes_of, up, wait_until

from penstock.terminal.exit_codes import Exit
from penstock_jetstream.settings import NatsSettings

pytestmark = pytest.mark.system

QUICK = 'mock={"min_duration":0,"max_duration":0,"success_rate":1}'
LONG = 'mock={"min_duration":600,"max_duration":600,"success_rate":1}'
SERVICES = {"nats-server", "gateway", "scheduler", "projector", "runner"}


def submit(home: Path, *options: str) -> str:
    done = call(home, "submit", "--pipeline", "trial", *options)
    assert done.returncode == Exit.OK, done.stderr
    return done.stdout.strip()


def status(home: Path, job_id: str) -> str:
    done = call(home, "show", job_id, "-o", "json")
    assert done.returncode == Exit.OK, done.stderr
    return str(json.loads(done.stdout)["status"])


def test_it_starts_serves_keeps_and_ends_without_a_trace(tmp_path: Path) -> None:
    with up(tmp_path) as first:
        assert set(first.record.services) == SERVICES
        nats_url = NatsSettings(url=first.record.nats_url).shown_url
        assert nats_url != first.record.nats_url, "the services have a password"
        assert stat.S_IMODE((first.state / "up.json").stat().st_mode) == 0o600
        job_id = submit(tmp_path, "-p", QUICK, "--watch")
        rival = call(tmp_path, "up", "--port", "0")
        assert rival.returncode == Exit.ERROR
        assert first.record.url in rival.stderr
        assert f"kill {first.record.pid}" in rival.stderr
        assert first.stop(signal.SIGINT) == Exit.OK
        assert "ready at http://127.0.0.1:" in first.output()
        assert f"nats sub -s {nats_url} " in first.output()
        assert first.output().rstrip().endswith("stopped; everything is kept")
        assert "did not end" not in first.output()
    assert processes_of(tmp_path) == {}
    with up(tmp_path) as second:
        assert status(tmp_path, job_id) == "completed"
        url = second.record.url
        assert url in call(tmp_path, "version").stdout
        assert second.stop(signal.SIGTERM) == Exit.OK
    assert processes_of(tmp_path) == {}
    assert url not in call(tmp_path, "version").stdout, "the command line does not look for it any more"


def test_the_command_that_it_prints_works_in_another_terminal(tmp_path: Path) -> None:
    """With a state folder and a separate port, and settings that have no effect here."""
    workflow = tmp_path / "my workflow"
    workflow.mkdir()
    (workflow / "Snakefile").write_text('rule all:\n    output: "x"\n    shell: "touch x"\n')
    elsewhere = {"PENSTOCK_REPLICAS": "3", "PENSTOCK_XYZZY": "1", "PENSTOCK_SLOTS": "1"}
    with up(tmp_path, environ=elsewhere, state=tmp_path / "apart") as system:
        wait_until(lambda: "stop: Ctrl-C" in system.output(), "everything is printed")
        output = system.output()
        assert "PENSTOCK_REPLICAS is set, and has no effect" in output
        assert "PENSTOCK_XYZZY is set, and nothing reads it" in output
        assert "PENSTOCK_SLOTS" not in output
        (printed,) = re.findall(r"submit a workflow:  penstock (submit DIR .*?)      ", output)
        arguments = [str(workflow) if part == "DIR" else part for part in printed.split()]
        done = call(tmp_path, *arguments)
        assert done.returncode == Exit.OK, done.stderr


def test_what_runs_at_ctrl_c_goes_on_at_the_next_start(tmp_path: Path) -> None:
    with up(tmp_path) as first:
        job_id = submit(tmp_path, "-p", LONG)
        wait_until(lambda: status(tmp_path, job_id) == "running", "running")
        first.process.send_signal(signal.SIGINT)
        wait_until(lambda: "stopping" in first.output(), "the first Ctrl-C")
        assert first.stop(signal.SIGINT) == Exit.OK  # a second one: quicker
    assert processes_of(tmp_path) == {}
    with up(tmp_path):
        wait_until(lambda: status(tmp_path, job_id) == "running", "running again")


def test_a_killed_supervisor_takes_everything_along_and_the_next_one_recovers(tmp_path: Path) -> None:
    with up(tmp_path) as first:
        job_id = submit(tmp_path, "-p", LONG)
        wait_until(lambda: status(tmp_path, job_id) == "running", "running")
        url = first.record.url
        first.process.kill()
        first.process.wait(STOP_S)
        wait_until(lambda: processes_of(tmp_path) == {}, "every child gone", deadline_s=STOP_S)
    assert url not in call(tmp_path, "version").stdout, "the command line does not look for it any more"
    with up(tmp_path):
        wait_until(lambda: status(tmp_path, job_id) == "running", "running again")
        assert call(tmp_path, "cancel", job_id, "--wait").returncode == Exit.OK
        assert status(tmp_path, job_id) == "cancelled"


def await_output(system: Up, text: str) -> None:
    wait_until(lambda: text in system.output(), text)


def test_services_that_are_killed_come_back(tmp_path: Path) -> None:
    with up(tmp_path) as system:
        for name in sorted(SERVICES):
            os.kill(system.record.services[name], signal.SIGKILL)
            await_output(system, f"{name} was killed by SIGKILL; starting it again")
            assert call(tmp_path, "submit", "--pipeline", "trial", "-p", QUICK, "--watch").returncode == Exit.OK
        assert system.stop() == Exit.OK
    assert processes_of(tmp_path) == {}


def test_a_service_that_cannot_start_is_explained(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "up", "--port", "0"],
        env=environment(tmp_path) | {"PENSTOCK_LEASE_S": "much"},
        capture_output=True,
        text=True,
        timeout=STOP_S + STOP_S,
        check=False,
    )
    assert done.returncode == Exit.USAGE
    assert "runner refused its settings" in done.stderr
    assert "PENSTOCK_LEASE_S" in done.stderr
    assert processes_of(tmp_path) == {}
