"""kill -9 of the gateway while it deletes a job: what it began is finished when it runs again."""

import threading
from contextlib import suppress
from pathlib import Path

import pytest
import urllib3
from tests.system.processes import System, running_system, wait_until

pytestmark = pytest.mark.system

FILES = 400
SNAKEFILE = f"""
rule all:
    output: expand("many/{{n}}", n=range({FILES}))
    shell: "mkdir -p many; for n in $(seq 0 {FILES - 1}); do echo $n > many/$n; done"
"""


def delete(system: System, job_id: str) -> threading.Thread:
    """Request a deletion, and ignore the response."""

    def request() -> None:
        with suppress(urllib3.exceptions.HTTPError):  # the gateway was killed before it answered
            system.http.request("DELETE", f"{system.url}/jobs/{job_id}", timeout=30.0)

    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    return thread


def test_a_gateway_that_is_killed_while_it_deletes_finishes_that_later(tmp_path: Path) -> None:
    with running_system(tmp_path, PENSTOCK_KEEP_WORK="true") as system:
        source = {"files": {"Snakefile": SNAKEFILE}}
        job_id = system.post("/jobs", {"pipeline_name": "many", "source": source})[1]["id"]
        wait_until(
            lambda: bool(system.get(f"/jobs/{job_id}")[1]["status"] == "completed"),
            deadline_s=90,
            what=lambda: str(system.get(f"/jobs/{job_id}")),
        )
        left = tmp_path / "blobs" / "jobs" / job_id
        assert len(list((left / "outputs" / "many").iterdir())) == FILES

        requesting = delete(system, job_id)
        wait_until(
            lambda: len(list(left.glob("outputs/many/*"))) < FILES, deadline_s=30, what="the first blobs are removed"
        )
        system.services["gateway"].kill()
        requesting.join()
        assert left.exists(), "it was too quick to be killed"

        system.services["gateway"].start()
        system.await_ready()
        wait_until(lambda: not left.exists(), deadline_s=90, what="the rest is removed")
        wait_until(lambda: not list(tmp_path.glob("blobs/deletions/*/*")), deadline_s=30, what="the note is removed")
        assert system.get(f"/jobs/{job_id}")[0] == 404
        events = system.get(f"/jobs/{job_id}/events")[1]["events"]
        assert [event["type"] for event in events].count("JobDeleted") == 1
