"""The whole system as real processes, each of which a test may kill and start again."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], *, deadline_s: float, what: str | Callable[[], str]) -> None:
    """Return when `condition` holds; fail the test when it does not within the deadline.

    A description that needs a query to the system is a function, called only when the deadline has passed.
    """
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what if isinstance(what, str) else what()}"
        time.sleep(0.02)  # a poll of another process, bounded by the deadline above


@dataclass
class Service:
    """One process of the system and how to start it again."""

    name: str
    command: list[str]
    environ: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command, env=dict(self.environ), stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )
        self.starts += 1

    def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(STOP_DEADLINE_S)

    def stop(self) -> int:
        """Stop it as an operator would; return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_DEADLINE_S)
            raise AssertionError(f"{self.name} did not end on SIGTERM:\n{self.tail()}") from None

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""


@dataclass
class System:
    """nats-server, gateway, scheduler, projector and runner on free loopback ports."""

    root: Path
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    services: dict[str, Service] = field(default_factory=dict[str, Service])
    http: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(maxsize=64, retries=False))
    nats_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    nats_config: str = ""
    """Further lines of the server's configuration."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def nats_url(self) -> str:
        return f"nats://127.0.0.1:{self.nats_port}"

    def environ(self, name: str) -> dict[str, str]:
        """Return what a service finds in its environment: nothing of this machine but its PATH and HOME."""
        state = self.root / "state" / name
        state.mkdir(parents=True, exist_ok=True)
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        return {
            **kept,
            "PENSTOCK_NATS_URL": self.nats_url,
            "PENSTOCK_BLOBS": str(self.root / "blobs"),
            "PENSTOCK_STATE_DIR": str(state),
            "PENSTOCK_PORT": str(self.http_port),
            "LOG_LEVEL": "INFO",
            **self.settings,
        }

    def add(self, name: str, module: str, **environ: str) -> Service:
        """Add and start one more service."""
        command = [sys.executable, "-m", "penstock.local.service_launch", module]  # as the local stack starts it
        service = Service(name, command, {**self.environ(name), **environ}, self.root / f"{name}.log")
        self.services[name] = service
        service.start()
        return service

    def start_nats(self) -> Service:
        """Start the server, on the same port and data as before."""
        data = self.root / "nats"
        data.mkdir(exist_ok=True)
        config = data / "server.conf"
        config.write_text(
            f"listen: 127.0.0.1:{self.nats_port}\nmax_payload: 4MB\n"
            f'jetstream {{ store_dir: "{data}", sync_interval: always\n'
            "max_file_store: 1PB, max_memory_store: 1GB }\n"
            f"feature_flags {{ js_ack_fc_v2: false }}\n{self.nats_config}"
        )
        binary = shutil.which("nats-server", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
        assert binary, "nats-server is missing"
        service = Service("nats", [binary, "-c", str(config)], dict(os.environ), self.root / "nats.log")
        self.services["nats"] = service
        service.start()
        return service

    def get(self, path: str) -> tuple[int, Any]:
        """GET a path of the API; return its status and JSON."""
        response = self.http.request("GET", self.url + path, timeout=15.0)
        return response.status, json.loads(response.data)

    def post(self, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """POST JSON to a path of the API; return its status and JSON."""
        response = self.http.request("POST", self.url + path, json=body, timeout=30.0, headers=headers)
        return response.status, json.loads(response.data or b"null")

    def is_ready(self) -> bool:
        try:
            return self.http.request("GET", self.url + "/readyz", timeout=2.0).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def await_ready(self) -> None:
        wait_until(
            self.is_ready, deadline_s=START_DEADLINE_S, what=lambda: f"ready:\n{self.services['gateway'].tail()}"
        )

    def stop(self) -> None:
        """End everything, the server last."""
        for name in sorted(self.services, key=lambda service: service == "nats"):
            self.services[name].stop()


@contextmanager
def running_system(root: Path, *, nats_config: str = "", **settings: str) -> Generator[System]:
    """Start the whole system below `root`, wait until it is ready, and end it after use."""
    system = System(root, settings, nats_config=nats_config)
    try:
        system.start_nats()
        system.add("gateway", "penstock_gateway")
        system.add("scheduler", "penstock_scheduler")
        system.add("projector", "penstock_projector")
        system.add("runner", "penstock_runner", PENSTOCK_RUNNER_NAME="runner")
        system.await_ready()
        yield system
        system.stop()
    finally:
        for service in system.services.values():
            if service.process is not None and service.process.poll() is None:
                service.kill()
