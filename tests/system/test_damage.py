"""One damaged event stops only its own job: everything else goes on, it is reported, and an operator closes the job."""

import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import nats
import pytest
from tests.system.processes import System, running_system, wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 90.0
PADDING = "p" * 400


@pytest.fixture
def system(tmp_path: Path) -> Generator[System, None, None]:
    with running_system(tmp_path) as system:
        yield system


def submit(system: System, **body: object) -> str:
    mock = {"min_duration": 0, "max_duration": 0.1, "success_rate": 1}
    wanted = {"pipeline_name": "flow", "engine": "mock", "parameters": {"mock": mock}, **body}
    status, job = system.post("/jobs", wanted)
    assert status == 201, job
    return str(job["id"])


def run_others(system: System, count: int = 5) -> None:
    """Run jobs to their end."""
    others = [submit(system) for _ in range(count)]
    wait_until(
        lambda: all(system.get(f"/jobs/{other}")[1]["status"] == "completed" for other in others),
        deadline_s=DEADLINE_S,
        what=system.services["scheduler"].tail,
    )


def publish(system: System, job_id: str, payload: bytes) -> int:
    """Write past Penstock to the subject of a job, whether that is the id of one or not; return the sequence."""

    async def send() -> int:
        client: Any = await nats.connect(system.nats_url)  # pyright: ignore[reportUnknownMemberType]
        try:
            stored = await client.jetstream().publish(f"penstock.events.job.default.{job_id}", payload)
            return int(stored.seq)
        finally:
            await client.close()

    with ThreadPoolExecutor(1) as thread:  # in the tests' own one the event loop of asynchronous tests may be open
        return thread.submit(anyio.run, send).result()


def command(system: System, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environ = {**system.environ("cli"), "PENSTOCK_URL": system.url}
    return subprocess.run(
        [sys.executable, "-m", "penstock", *arguments], env=environ, capture_output=True, text=True, check=False
    )


def restart(system: System) -> None:
    """Stop every service, the server last, and start them again."""
    for name in ("runner", "projector", "scheduler", "gateway", "nats"):
        system.services[name].stop()
    start(system)


def start(system: System) -> None:
    for name in ("nats", "gateway", "scheduler", "projector", "runner"):
        system.services[name].start()
    system.await_ready()


def await_damage(system: System, seq: int, aggregate: str) -> None:
    """Wait until the scheduler knows the damage, and whose it is: where the event is gone, it looks for that."""
    wait_until(
        lambda: (
            [(damage["seq"], damage["aggregate"]) for damage in system.get("/status")[1]["damages"]]
            == [(seq, aggregate)]
        ),
        deadline_s=DEADLINE_S,
        what=lambda: f"{system.get('/status')}\n{system.services['scheduler'].tail()}",
    )


def check_reported(system: System, job_id: str, seq: int, reason: str) -> None:
    """Check that the job, the readiness, `doctor` and `verify` report the damage."""
    await_damage(system, seq, f"job.default.{job_id}")
    wait_until(
        lambda: system.get(f"/jobs/{job_id}")[1]["damage"] is not None, deadline_s=DEADLINE_S, what="the job shows it"
    )
    job = system.get(f"/jobs/{job_id}")[1]
    assert job["error_message"].startswith(f"the event log of this job is damaged at sequence {seq}: {reason}")
    assert "until an operator closes it" in job["status_detail"]
    refused = system.post(f"/jobs/{job_id}/cancel")
    assert (refused[0], "close" in refused[1]["detail"]) == (409, True)
    wait_until(
        lambda: "1 event of the log is damaged" in str(system.get("/readyz")),
        deadline_s=DEADLINE_S,
        what=lambda: str(system.get("/readyz")),
    )
    doctor = command(system, "doctor")
    assert f"sequence {seq} of job.default.{job_id}: {reason}" in doctor.stdout, doctor.stdout + doctor.stderr
    verify = command(system, "verify")
    assert verify.returncode == 1, verify
    assert f"sequence {seq} " in verify.stdout + " "
    assert reason in verify.stdout
    listed = command(system, "ls")
    assert f"damaged at sequence {seq}" in listed.stdout, listed.stdout


def close(system: System, job_id: str) -> None:
    closed = command(system, "close", job_id, "--reason", "a disk failed")
    assert closed.returncode == 0, closed.stderr
    job = system.get(f"/jobs/{job_id}")[1]
    assert (job["state"], job["damage"]) == ("FAILED", None)
    wait_until(
        lambda: system.get("/status")[1]["damaged"] == 0, deadline_s=DEADLINE_S, what=lambda: str(system.get("/status"))
    )


def test_an_event_that_cannot_be_read_stops_only_its_job(system: System) -> None:
    job_id = submit(system, hold=True)
    seq = publish(system, job_id, b'{"not": "an event"')
    run_others(system)
    check_reported(system, job_id, seq, "the event cannot be read")
    assert "cycle_refused" not in system.services["scheduler"].log.read_text()

    restart(system)
    check_reported(system, job_id, seq, "the event cannot be read")
    run_others(system, 2)
    close(system, job_id)
    restart(system)
    assert system.get(f"/jobs/{job_id}")[1]["state"] == "FAILED"
    run_others(system, 2)
    assert "the decision" not in command(system, "verify").stdout

    unknown = str(uuid4())
    seq = publish(system, unknown, b"no JSON")
    check_reported(system, unknown, seq, "the event cannot be read")
    close(system, unknown)

    seq = publish(system, "no-uuid", b"no JSON")
    await_damage(system, seq, "job.default.no-uuid")
    run_others(system, 2)
    assert "background_task_failed" not in system.services["gateway"].log.read_text()


def test_a_flipped_byte_on_the_disk_stops_only_its_job(system: System) -> None:
    run_others(system, 2)
    system.services["runner"].stop()
    job_id = submit(system)
    status, held = system.post(f"/jobs/{job_id}/hold", {"reason": PADDING})
    assert status == 200
    for name in ("projector", "scheduler", "gateway", "nats"):
        system.services[name].stop()
    flip_a_byte(system.root)

    start(system)
    run_others(system)
    check_reported(system, job_id, held["seq"], "the event is missing")
    restart(system)
    check_reported(system, job_id, held["seq"], "the event is missing")
    close(system, job_id)
    run_others(system, 2)


def flip_a_byte(root: Path) -> None:
    """Change one byte of the last event on the disk that has the padding."""
    blocks = [*root.glob("nats/jetstream/*/streams/PENSTOCK_EVENTS/msgs/*.blk")]
    for block in blocks:
        content = bytearray(block.read_bytes())
        at = content.rfind(PADDING.encode())
        if at >= 0:
            content[at + len(PADDING) // 2] ^= 1
            block.write_bytes(content)
            return
    raise AssertionError(f"no block has the padding: {blocks}")
