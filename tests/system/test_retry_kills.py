"""A retry survives the end of every process that it needs: the first runner, the gateway, and a runner that stages."""

import threading
from pathlib import Path
from typing import Any

import pytest
import urllib3
from tests.system.processes import System, running_system, wait_until

pytestmark = pytest.mark.system

FILES = 1_500
DEADLINE_S = 120.0
SNAKEFILE = f"""
rule all:
    input: "sum.txt"
rule many:
    output: expand("parts/{{n}}.txt", n=range({FILES}))
    shell: "echo many >> {{config[notes]}}/ran; for n in $(seq 0 {FILES - 1}); do echo $n > parts/$n.txt; done"
rule sum:
    input: expand("parts/{{n}}.txt", n=range({FILES}))
    output: "sum.txt"
    shell: "echo sum >> {{config[notes]}}/ran; test -e {{config[notes]}}/ok; cat parts/*.txt | wc -l > {{output}}"
"""


def ended(system: System, job_id: str) -> dict[str, Any]:
    """Wait for the end of a job."""
    found: dict[str, Any] = {}

    def is_over() -> bool:
        _, job = system.get(f"/jobs/{job_id}")
        found.update(job)
        return job["state"] in ("COMPLETED", "FAILED", "CANCELLED")

    wait_until(is_over, deadline_s=DEADLINE_S, what=lambda: f"{job_id} is over: {found}")
    return found


def retry_while_the_gateway_dies(system: System, job_id: str, delay_s: float) -> str:
    """Request a retry, kill the gateway meanwhile, and repeat the request with its key; return the new job."""
    key = {"Idempotency-Key": f"retry-{delay_s}"}
    arrived: list[str] = []

    def request() -> None:
        try:
            status, job = system.post(f"/jobs/{job_id}/retry", {"hold": True}, **key)
        except urllib3.exceptions.HTTPError:
            return
        assert status in (200, 201), job
        arrived.append(job["id"])

    sender = threading.Thread(target=request)
    sender.start()
    sender.join(delay_s)
    system.services["gateway"].kill()
    sender.join()
    system.services["gateway"].start()
    system.await_ready()
    request()
    assert len(set(arrived)) == 1
    return arrived[0]


def test_a_retry_ends_well_though_its_processes_are_killed(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    with running_system(tmp_path, PENSTOCK_SLOTS="2", PENSTOCK_SANDBOX_WRITE=str(notes)) as system:
        body = {
            "pipeline_name": "p",
            "source": {"files": {"Snakefile": SNAKEFILE}},
            "parameters": {"notes": str(notes)},
        }
        status, job = system.post("/jobs", body)
        assert status == 201, job
        assert ended(system, job["id"])["state"] == "FAILED"
        assert (notes / "ran").read_text().split() == ["many", "sum"]
        system.services["runner"].kill()  # and nothing of its disk is used any more

        made = [retry_while_the_gateway_dies(system, job["id"], delay_s) for delay_s in (0.0, 0.05, 0.2)]
        _, parent = system.get(f"/jobs/{job['id']}")
        assert sorted(child["id"] for child in parent["children"]) == sorted(made)
        _, retry = system.get(f"/jobs/{made[0]}")
        assert retry["parent"]["result_files"] >= FILES

        (notes / "ok").touch()
        second = system.add("second", "penstock_runner", PENSTOCK_RUNNER_NAME="second")
        work = tmp_path / "state" / "second" / "work"
        assert system.post(f"/jobs/{retry['id']}/release")[0] == 200
        partial = work / f"{retry['id']}.partial"
        wait_until(lambda: any(partial.glob("parts/*")), deadline_s=DEADLINE_S, what="results are staged")
        second.kill()
        assert not (work / retry["id"]).exists(), "it was staged before the kill"

        system.add("third", "penstock_runner", PENSTOCK_RUNNER_NAME="third")
        last = ended(system, retry["id"])
        assert last["state"] == "COMPLETED", last
        assert (notes / "ran").read_text().split() == ["many", "sum", "sum"]
        response = system.http.request("GET", f"{system.url}/jobs/{retry['id']}/outputs/sum.txt", timeout=15.0)
        assert response.data.strip() == str(FILES).encode()

        second.start()
        wait_until(lambda: not partial.exists(), deadline_s=DEADLINE_S, what="the partial folder is removed")
