"""Hostile runs of one tenant beside a decent run of another, on one runner: only the hostile ones fail."""

import base64
import json
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from tests.system.processes import System, running_system, wait_until

from penstock_domain.job.attempts import MAX_SHARED_CRASHES

pytestmark = pytest.mark.system

DEADLINE_S = 90.0
FORGED = Path(__file__).parents[1] / "runner" / "snakemake" / "forged"
SECRET = "not to be shown"
DECENT = """
rule r:
    output: "done.txt"
    shell: "while [ ! -e {config[gate]} ]; do sleep 0.1; done; echo hi > {output}"
"""
END_AT_ONCE = """
import json, os, struct
for number in os.listdir("/proc/self/fd"):
    try:
        if os.readlink(f"/proc/self/fd/{number}").startswith("pipe:"):
            body = json.dumps({"type": "RunEnded"}).encode()
            os.write(int(number), struct.pack(">I", len(body)) + body)
    except OSError:
        pass
os._exit(0)
"""


class Client:
    """Somebody who uses the API."""

    def __init__(self, system: System, name: str) -> None:
        self._system = system
        self._headers = {"Authorization": "Basic " + base64.b64encode(f"{name}:password".encode()).decode()}

    def get(self, path: str) -> Any:
        response = self._system.http.request("GET", self._system.url + path, headers=self._headers, timeout=15.0)
        assert response.status == 200, response.data
        return json.loads(response.data)

    def text(self, path: str) -> str:
        response = self._system.http.request("GET", self._system.url + path, headers=self._headers, timeout=15.0)
        return response.data.decode()

    def submit(self, snakefile: str, **parameters: str) -> str:
        body = {"pipeline_name": "p", "parameters": parameters, "source": {"files": {"Snakefile": snakefile}}}
        status, job = self._system.post("/jobs", body, **self._headers)
        assert status in (200, 201), job
        return str(job["id"])

    def state(self, job_id: str) -> str:
        return str(self.get(f"/jobs/{job_id}")["state"])


def entry(name: str, role: str) -> str:
    return f"{name}:{bcrypt.hashpw(b'password', bcrypt.gensalt(4)).decode()}:{role}"


def test_hostile_runs_fail_alone(tmp_path: Path) -> None:
    secret, gate = tmp_path / "secret.txt", tmp_path / "shared" / "gate"
    secret.write_text(SECRET)
    gate.parent.mkdir()
    (tmp_path / "system").mkdir()
    settings = {
        "PENSTOCK_AUTH": "basic",
        "PENSTOCK_BASIC_AUTH_USERS": f"{entry('ada', 'operator')},{entry('mallory', 'submitter@red')}",
        "PENSTOCK_SLOTS": "5",
        "PENSTOCK_SANDBOX_READ": str(gate.parent),
    }
    with running_system(tmp_path / "system", **settings) as system:
        ada, mallory = Client(system, "ada"), Client(system, "mallory")
        decent = ada.submit(DECENT, gate=str(gate))
        wait_until(lambda: ada.state(decent) == "RUNNING", deadline_s=DEADLINE_S, what="the decent run is running")
        hostile = {
            name: mallory.submit((FORGED / f"{name}.smk").read_text(), target=str(secret))
            for name in ("link", "name", "fifo")
        }
        hostile["end"] = mallory.submit(END_AT_ONCE)
        for name, job_id in hostile.items():
            wait_until(lambda job_id=job_id: mallory.state(job_id) == "FAILED", deadline_s=DEADLINE_S, what=name)  # type: ignore[misc]
            job = mallory.get(f"/jobs/{job_id}")
            assert job["failure"]["message"].startswith("the workflow sent an invalid event: "), job
            assert job["attempt"] == 1
            assert SECRET not in json.dumps(job) + mallory.text(f"/jobs/{job_id}/logs?format=text")
        assert ada.state(decent) == "RUNNING", ada.get(f"/jobs/{decent}")

        def busy() -> list[int]:
            return [runner["busy"] for runner in ada.get("/runners")["runners"]]

        wait_until(lambda: busy() == [1], deadline_s=DEADLINE_S, what="the runner reports the one run that is left")
        gate.touch()
        wait_until(lambda: ada.state(decent) == "COMPLETED", deadline_s=DEADLINE_S, what="the decent run is completed")
        assert ada.get(f"/jobs/{decent}")["attempt"] == 1
        stored = [path for path in (tmp_path / "system" / "blobs").rglob("*") if path.is_file()]
        assert not [path for path in stored if SECRET.encode() in path.read_bytes()]
        log = (tmp_path / "system" / "runner.log").read_text()
        assert "session_fault" not in log
        assert "fenced" not in log


KILLS_ITS_RUNNER = """
import os, signal

def parent(pid):
    return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])

supervisor = os.getppid()
zygote = parent(supervisor)
os.kill(parent(zygote), signal.SIGKILL)

rule r:
    output: "a.txt"
    shell: "touch {output}"
"""
CRASHES_DEADLINE_S = 240.0


def test_a_run_that_ends_its_runner_is_quarantined_and_takes_nobody_along(tmp_path: Path) -> None:
    """Without a sandbox a workflow can kill its runner, which its supervisor restarts."""
    gate = tmp_path / "gate"
    with running_system(tmp_path, PENSTOCK_SLOTS="3", PENSTOCK_SANDBOX="off") as system:
        runner = system.services["runner"]

        def submit(snakefile: str) -> str:
            body = {
                "pipeline_name": "p",
                "parameters": {"gate": str(gate)},
                "source": {"files": {"Snakefile": snakefile}},
            }
            status, job = system.post("/jobs", body)
            assert status in (200, 201), job
            return str(job["id"])

        def is_over(job_id: str) -> bool:
            assert runner.process is not None
            if runner.process.poll() is not None:
                runner.start()
            # On a loaded machine a runner may also be lost because it was silent: that counts like a crash.
            attempts = [system.get(f"/jobs/{job}")[1]["attempt"] for job in decent]
            if runner.starts > MAX_SHARED_CRASHES or max(attempts) > MAX_SHARED_CRASHES:
                gate.touch()  # the decent runs lost that many attempts, and run alone from now on
            return str(system.get(f"/jobs/{job_id}")[1]["state"]) in ("COMPLETED", "FAILED")

        decent = [submit(DECENT), submit(DECENT)]
        hostile = submit(KILLS_ITS_RUNNER)
        wait_until(lambda: is_over(hostile), deadline_s=CRASHES_DEADLINE_S, what="the hostile run is over")
        for job_id in decent:
            wait_until(lambda job_id=job_id: is_over(job_id), deadline_s=CRASHES_DEADLINE_S, what="it is over")  # type: ignore[misc]
            assert system.get(f"/jobs/{job_id}")[1]["state"] == "COMPLETED"
        failure = system.get(f"/jobs/{hostile}")[1]["failure"]
        assert failure["message"].startswith("quarantined: this run was on a runner that crashed 4 times"), failure
