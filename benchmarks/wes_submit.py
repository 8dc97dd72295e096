"""How long a client of WES waits until its run, with a file of 1 MB attached, is taken in durably."""

import itertools
import random
from pathlib import Path
from typing import Final

from urllib3.filepost import encode_multipart_formdata

from benchmarks.http_load import drive
from benchmarks.result import Result, Size, latencies
from benchmarks.system import running_system

REQUESTS: Final = {Size.TINY: 3, Size.QUICK: 50, Size.FULL: 200}
ATTACHMENT_BYTES: Final = 1 << 20
P50_MS: Final = 25.0
"""A job without files has 3 ms; this one also brings 1 MB over HTTP, which is hashed and written to the disk."""
P99_MS: Final = 100.0


async def run(size: Size, root: Path) -> Result:
    """Submit one run after the other; the runner is stopped, so that they stay in the queue."""
    count, request = REQUESTS[size], _request()
    with running_system(root) as system:
        system.services["runner"].stop()
        for requests in (count // 10 + 1, count):  # the first ones warm up
            sent = await drive(system.http_port, itertools.repeat(request, requests), connections=1, expected=200)
    name = "POST /ga4gh/wes/v1/runs with 1 MB, one at a time"
    return Result(name="wes_submit", figures=latencies(name, sent.latencies_s, p50_ms=P50_MS, p99_ms=P99_MS))


def _request() -> bytes:
    """Return the bytes of a request: every run has a separate source, so the same bytes are stored again each time."""
    content, content_type = encode_multipart_formdata(
        [
            ("workflow_type", "SMK"),
            ("workflow_type_version", "1.0"),
            ("workflow_url", "Snakefile"),
            ("workflow_attachment", ("Snakefile", b"rule all:\n    shell: 'true'\n")),
            ("workflow_attachment", ("reads.bin", random.Random(1).randbytes(ATTACHMENT_BYTES))),
        ]
    )
    head = f"POST /ga4gh/wes/v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
