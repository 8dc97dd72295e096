"""Azurite, Microsoft's own server of Azure's blob protocol, from npm: installed apart, started on a free loopback port.

    python -m tests.jetstream.azurite

installs it below `share/azurite/` of the environment that it runs in; it needs npm and node.
"""

import base64
import hashlib
import hmac
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

from tests.system.processes import free_port

VERSION = "3.35.0"
ROOT = Path(sys.prefix) / "share" / "azurite"
PROGRAM = ROOT / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
INSTALL_DEADLINE_S = 600.0
START_DEADLINE_S = 60.0
CONTAINER = "runs"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The key that Azurite's documentation gives to everybody."""


def is_there() -> bool:
    return PROGRAM.exists() and shutil.which("node") is not None


@contextmanager
def running_azurite(folder: Path) -> Generator[dict[str, str]]:
    """Start a server with one container; yield the settings with which a service reaches it."""
    port = free_port()
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
    switches = ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    with (folder / "azurite.log").open("wb") as log:
        server = subprocess.Popen(["node", str(PROGRAM), *options, *switches], stdout=log, stderr=log)
    try:
        _await_port(port, server)
        _make_container(port)
        yield {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": f"http://127.0.0.1:{port}"}
    finally:
        server.kill()
        server.wait()


def _await_port(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            assert server.poll() is None, "Azurite ended at once"
            assert time.monotonic() < deadline, "Azurite does not answer"
            time.sleep(0.05)  # a poll of another process, bounded by the deadline above
        else:
            return


def _make_container(port: int) -> None:
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    signed_headers = "".join(f"{name}:{value}\n" for name, value in headers.items())
    signed = "PUT" + "\n" * 12 + f"{signed_headers}/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
    signature = base64.b64encode(hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/{ACCOUNT}/{CONTAINER}?restype=container",
        method="PUT",
        data=b"",
        headers={**headers, "Authorization": f"SharedKey {ACCOUNT}:{signature}", "Content-Type": ""},
    )
    urllib.request.urlopen(request, timeout=START_DEADLINE_S).close()


def main() -> None:
    """Install it where it is missing."""
    if PROGRAM.exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("this needs npm and node: on Debian, apt-get install npm")
    ROOT.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(ROOT), "--no-audit", "--no-fund", "--silent", f"azurite@{VERSION}"]
    subprocess.run(command, check=True, timeout=INSTALL_DEADLINE_S)


if __name__ == "__main__":
    main()
