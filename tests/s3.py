"""A real S3 server over HTTP, on a free loopback port; a test may kill it."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.system.processes import free_port

START_DEADLINE_S = 60.0
BUCKET = "runs"


@dataclass
class S3Server:
    """One server with one bucket."""

    process: subprocess.Popen[bytes]
    url: str
    port: int

    @property
    def environ(self) -> dict[str, str]:
        """Variables with which a service reaches it, known to every S3 client."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def running_s3(folder: Path, *, port: int | None = None) -> Generator[S3Server]:
    """Start a server, on a free port where none is given, make its bucket, and kill it after use."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    with (folder / "s3.log").open("wb") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = S3Server(subprocess.Popen(command, stdout=log, stderr=log), url, port)
    try:
        _make_bucket(server)
        yield server
    finally:
        server.kill()


def _make_bucket(server: S3Server) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    request = urllib.request.Request(f"{server.url}/{BUCKET}", method="PUT")
    while True:
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            assert server.process.poll() is None, "the S3 server ended at once"
            assert time.monotonic() < deadline, "the S3 server does not answer"
            time.sleep(0.05)  # a poll of another process, bounded by the deadline above
        else:
            return
