"""Gateways as processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

DEADLINE_S = 20.0


class Process:
    """One gateway process."""

    def __init__(self, folder: Path, nats_url: str, **environ: str) -> None:
        kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        self.log_path = folder / "gateway.log"
        self._log = self.log_path.open("ab")
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "penstock_gateway"],
            env={
                **kept,
                "PENSTOCK_NATS_URL": nats_url,
                "PENSTOCK_BLOBS": str(folder / "blobs"),
                "PENSTOCK_STATE_DIR": str(folder / "state"),
                "PENSTOCK_PORT": "0",
                "PENSTOCK_MOCK_UNKNOWN_PIPELINES": "yes",
                **environ,
            },
            stdout=self._log,
            stderr=self._log,
        )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def url(self) -> str:
        """Wait until it serves, and return where."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline and self.popen.poll() is None:
            for line in self.log.splitlines():
                if '"event":"ready"' in line:
                    url: str = json.loads(line)["url"]
                    return url
            time.sleep(0.02)
        raise AssertionError(f"it does not serve: {self.log}")

    def end(self, signal_number: int = signal.SIGTERM) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(signal_number)
        try:
            return self.popen.wait(DEADLINE_S)
        finally:
            self.popen.kill()
            self._log.close()
