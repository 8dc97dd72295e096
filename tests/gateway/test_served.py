"""The gateway as a process: a real socket, a real nats-server, signals, settings."""

import hashlib
import json
import signal
import socket
import time
from collections.abc import Generator
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.conftest import NatsServer
from tests.gateway.gateway_harness import problem, submission, submit
from tests.gateway.processes import DEADLINE_S, Process

from penstock_jetstream.adapters.blobs import open_blobs
from penstock_ports import BLOB_PIECE_BYTES
from penstock_schemas.outputs import OutputFile, OutputManifest


@pytest.fixture
def nats_url(nats_server: NatsServer) -> str:
    return nats_server.new_settings().url


@pytest.fixture
def process(tmp_path: Path, nats_url: str) -> Generator[Process, None, None]:
    process = Process(tmp_path, nats_url)
    yield process
    process.end(signal.SIGKILL)


@pytest.fixture
def url(process: Process) -> str:
    return process.url()


async def test_submit_read_list_cancel_over_a_real_log(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        job = await submit(client, labels={"k": "v"}, source={"files": {"Snakefile": "rule all:\n"}})
        assert (await client.get(f"/jobs/{job['id']}")).json() == job
        assert (await client.get("/jobs?label=k:v")).json() == {"jobs": [job], "total": 1, "next_cursor": None}
        cancelled = (await client.post(f"/jobs/{job['id']}/cancel")).json()
        assert cancelled["status"] == "cancelled"
        assert (await client.get("/jobs?status=cancelled")).json()["jobs"] == [cancelled]
        events = (await client.get(f"/jobs/{job['id']}/events")).json()
        assert [event["type"] for event in events["events"]] == ["JobSubmitted", "JobCancelled"]
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"ready": True, "reasons": []})


async def test_a_repeated_submission_after_a_restart_finds_the_first_job(
    process: Process, url: str, tmp_path: Path, nats_url: str
) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        job = await submit(client, idempotency_key="k")
    assert process.end() == 0

    again = Process(tmp_path, nats_url, PENSTOCK_STATE_DIR=str(tmp_path / "other"))
    try:
        async with httpx.AsyncClient(base_url=again_url(again)) as client:
            response = await client.post("/jobs", json=submission(idempotency_key="k"))
            assert (response.status_code, response.json()["id"]) == (200, job["id"])
            assert (await client.get(f"/jobs/{job['id']}")).json()["id"] == job["id"]
    finally:
        assert again.end(signal.SIGINT) == 0


def again_url(process: Process) -> str:
    """Return where the last start in a shared log file serves."""
    process.url()
    deadline = time.monotonic() + DEADLINE_S
    while process.log.count('"event":"ready"') < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    lines = [line for line in process.log.splitlines() if '"event":"ready"' in line]
    url: str = json.loads(lines[-1])["url"]
    return url


async def test_a_long_poll_does_not_keep_it_from_ending(process: Process, url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        job = await submit(client)
        started = time.monotonic()
        poll = client.build_request("GET", f"/jobs/{job['id']}/events?after={job['seq']}&wait=25")
        # The request is sent by its own connection, so that the answer can be read after the signal.
        host, port = poll.url.host, poll.url.port
        with socket.create_connection((host, port or 80), timeout=20) as connection:
            connection.sendall(f"GET {poll.url.raw_path.decode()} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            assert (await client.get("/health")).status_code == 200  # it has read the request by now
            assert process.end() == 0
            answer = connection.makefile("rb").read()
    assert time.monotonic() - started < 10
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"events":[]' in answer


async def test_a_body_without_end_is_refused_while_it_is_read(tmp_path: Path, nats_url: str) -> None:
    process = Process(tmp_path, nats_url, PENSTOCK_MAX_BODY_BYTES="100000")
    try:
        url = httpx.URL(process.url())
        with socket.create_connection((url.host, url.port or 80), timeout=20) as connection:
            head = "POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            connection.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
            piece = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
            for _ in range(30):
                connection.sendall(piece)
            assert connection.recv(4096).startswith(b"HTTP/1.1 413")
        async with httpx.AsyncClient(base_url=process.url()) as client:
            problem(
                await client.post("/jobs", content=b"{" * 200_000, headers={"content-type": "application/json"}), 413
            )
            await submit(client)
    finally:
        assert process.end() == 0


async def test_a_download_of_a_changed_file_breaks_off_and_is_logged(
    process: Process, url: str, tmp_path: Path
) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        job_id = (await submit(client))["id"]
        blobs = open_blobs(tmp_path / "blobs")
        size_bytes, sha256 = 3 * BLOB_PIECE_BYTES, hashlib.sha256(bytes(3 * BLOB_PIECE_BYTES)).hexdigest()
        key = f"jobs/{job_id}/outputs/a"
        file = OutputFile(path="a", size_bytes=size_bytes, sha256=sha256, key=key)
        manifest = OutputManifest(job_id=job_id, attempt=1, files=(file,))
        await blobs.put_bytes(f"jobs/{job_id}/outputs.json", msgspec.json.encode(manifest))
        for changed in (False, True):
            content = bytearray(size_bytes)
            content[-1] = changed
            await blobs.put_bytes(key, bytes(content))
            if changed:
                with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
                    await client.get(f"/jobs/{job_id}/outputs/a")
            else:
                assert len((await client.get(f"/jobs/{job_id}/outputs/a")).content) == size_bytes
    (record,) = [json.loads(line) for line in process.log.splitlines() if '"blob_changed"' in line]
    assert (record["key"], record["stored_sha256"], record["level"]) == (key, sha256, "error")


def test_a_taken_port_is_reported_in_one_line(tmp_path: Path, nats_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = Process(tmp_path, nats_url, PENSTOCK_PORT="", PORT=str(port))
        assert process.popen.wait(DEADLINE_S) == 1
    assert process.end() == 1
    assert process.log.count("\n") == 1
    assert f"port {port}" in process.log
    assert "PENSTOCK_PORT" in process.log


def test_a_second_gateway_on_the_same_state_folder_is_refused_in_one_line(
    process: Process, url: str, tmp_path: Path, nats_url: str
) -> None:
    second = Process(tmp_path, nats_url)
    try:
        assert second.popen.wait(DEADLINE_S) == 1
    finally:
        second.end()
    refusal = second.log.splitlines()[-1]
    assert refusal.startswith("penstock gateway: another gateway uses the state folder")
    assert "PENSTOCK_STATE_DIR" in refusal
    assert httpx.get(f"{url}/readyz").status_code == 200


def test_all_wrong_settings_are_reported_together(tmp_path: Path, nats_url: str) -> None:
    process = Process(tmp_path, nats_url, PENSTOCK_PORT="http", LOG_LEVEL="LOUD", PENSTOCK_MAX_BODY_BYTES="1")

    assert process.popen.wait(DEADLINE_S) == 2
    assert process.end() == 2
    for name in ("PENSTOCK_PORT", "LOG_LEVEL", "PENSTOCK_MAX_BODY_BYTES"):
        assert name in process.log


async def test_the_log_level_is_honoured(tmp_path: Path, nats_url: str) -> None:
    process = Process(tmp_path, nats_url, LOG_LEVEL="DEBUG")
    try:
        async with httpx.AsyncClient(base_url=process.url()) as client:
            await client.get("/jobs")
    finally:
        process.end()
    assert '"path":"/jobs"' in process.log
