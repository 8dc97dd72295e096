"""How the local stack starts its services: as a module, and no longer alive than the supervisor."""

import builtins
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.systems import wait_until

from penstock.local import parent_death_signal, service_launch

SUPERVISOR = """
import os, subprocess, sys
command = [sys.executable, "-I", "-S", sys.argv[1], str(os.getpid()), "sleep", "600"]
child = subprocess.Popen(command)
print(child.pid, flush=True)
child.wait()
"""
FILE = parent_death_signal.__file__


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.system
def test_a_service_ends_with_its_supervisor_also_after_sigkill() -> None:
    with subprocess.Popen([sys.executable, "-c", SUPERVISOR, FILE], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        wait_until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", "the command runs", deadline_s=20)
        supervisor.kill()
        supervisor.wait()
    wait_until(lambda: not is_running(pid), "the command ended", deadline_s=20)


@pytest.mark.system
def test_a_service_whose_supervisor_is_gone_already_does_not_begin() -> None:
    ended = subprocess.run(
        [sys.executable, "-I", "-S", FILE, "1" if os.getpid() != 1 else "2", "echo", "begun"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "the supervisor ended before" in ended.stderr


def test_a_module_runs_with_its_own_arguments_and_without_rich(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_service.py").write_text(
        "import sys\nresult = (__name__, sys.argv[1:])\nsys.modules['builtins'].found = result\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "argv", ["service_launch", "a_service", "--option"])
    monkeypatch.setattr("builtins.found", None, raising=False)
    service_launch.main()
    assert vars(builtins)["found"] == ("__main__", ["--option"])
    assert sys.modules.get("rich", ...) is not None, "users who want it may import it afterwards"
