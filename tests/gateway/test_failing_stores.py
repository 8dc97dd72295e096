"""A blob store that fails within an upload: nothing is queued, the client gets an error."""

import json
import signal
from collections.abc import AsyncGenerator, Callable, Generator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from tests.disks import full_after
from tests.gateway.gateway_harness import GatewayHarness, now, problem
from tests.s3 import BUCKET, S3Server, running_s3

from penstock_jetstream.adapters.blobs import ObjectBlobs, open_blobs
from penstock_ports import BLOB_PIECE_BYTES

pytestmark = pytest.mark.system

BOUNDARY = "penstock"
PIECES = 24
"""More than the parts that are on their way at a time."""


async def form(at_half: Callable[[], None]) -> AsyncGenerator[bytes, None]:
    """A submission with a small file and a large one; `at_half` is called within the large one."""

    def part(name: str, filename: str = "") -> bytes:
        quoted = f'; filename="{filename}"' if filename else ""
        return f'\r\n--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"{quoted}\r\n\r\n'.encode()

    yield part("job") + json.dumps({"pipeline_name": "large"}).encode()
    yield part("files", "Snakefile") + b"rule all:\n"
    yield part("files", "large.bin")
    for number in range(PIECES):
        if number == PIECES // 2:
            at_half()
        yield bytes(BLOB_PIECE_BYTES)
    yield f"\r\n--{BOUNDARY}--\r\n".encode()


async def submit_large(client: httpx.AsyncClient, at_half: Callable[[], None]) -> httpx.Response:
    return await client.post(
        "/jobs",
        content=form(at_half),
        headers={"content-type": f"multipart/form-data; boundary={BOUNDARY}"},
        timeout=60,
    )


async def refused(client: httpx.AsyncClient, at_half: Callable[[], None]) -> str:
    """Submit, be refused, and find nothing queued; return the detail that the client received."""
    refusal = problem(await submit_large(client, at_half), 503)
    assert refusal["type"].endswith("#blob-store-unavailable")
    assert "Nothing of this request was queued" in refusal["detail"]
    assert "Try again" in refusal["detail"]
    assert (await client.get("/jobs")).json()["total"] == 0
    return str(refusal["detail"])


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[S3Server]:
    monkeypatch.setattr("penstock_jetstream.names.BLOB_S", 3.0)
    with running_s3(tmp_path) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        yield server


async def test_a_store_that_stops_within_an_upload(harness: GatewayHarness, s3: S3Server) -> None:
    blobs = serve_from(harness, open_blobs(f"s3://{BUCKET}/penstock"))
    async with harness.serve() as client:
        await refused(client, lambda: s3.process.send_signal(signal.SIGSTOP))
    s3.process.send_signal(signal.SIGCONT)
    # Whether the store received the request to discard the parts is unknown; the sweeper removes what is left.
    late = now() + timedelta(days=3)
    harness.clock = lambda: late
    async with harness.serve() as client:
        await harness.gateway.maintenance.sweeper.sweep()
        assert await blobs.list("") == ()
        assert (await submit_large(client, lambda: None)).status_code == 201  # and it is as if nothing had been


async def test_a_store_that_goes_away_within_an_upload(harness: GatewayHarness, s3: S3Server) -> None:
    serve_from(harness, open_blobs(f"s3://{BUCKET}/penstock"))
    async with harness.serve() as client:
        assert "large.bin" in await refused(client, s3.kill)


async def test_a_disk_that_is_full_within_an_upload(harness: GatewayHarness, tmp_path: Path) -> None:
    serve_from(harness, open_blobs(tmp_path / "blobs"))
    async with harness.serve() as client:
        with full_after(8 * BLOB_PIECE_BYTES):
            assert "os error" in await refused(client, lambda: None)
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


def serve_from(harness: GatewayHarness, blobs: ObjectBlobs) -> ObjectBlobs:
    """Have the harness's gateways keep their blobs there."""
    harness.blobs = blobs
    return blobs
