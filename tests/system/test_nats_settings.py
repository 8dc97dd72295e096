"""A server that requires credentials, and a log with little space: the effect of the settings on every service."""

import json
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.jetstream.credentials import new_operator
from tests.system.processes import System, running_system, wait_until
from tools.reference.configuration import SERVICES

from penstock_jetstream.settings import ServiceSettings
from penstock_runtime.settings import read_settings

LOG_BYTES = 2_000_000
PADDING = "x" * 100_000


@pytest.mark.parametrize("shape", [shape for _, _, shape in SERVICES], ids=lambda shape: shape.__name__)
def test_every_service_gets_the_address_of_the_server(shape: type[ServiceSettings]) -> None:
    environ = {
        "PENSTOCK_NATS_URL": "nats://a:4222,nats://b:4222",
        "PENSTOCK_NATS_CREDENTIALS": "/etc/penstock.creds",
        "PENSTOCK_LOG_MAX_BYTES": "1000000",
        "PENSTOCK_REPLICAS": "3",
    }
    nats = read_settings(shape, environ).nats("test")
    assert nats.servers == ["nats://a:4222", "nats://b:4222"]
    assert (nats.credentials, nats.replicas, nats.events_max_bytes) == (Path("/etc/penstock.creds"), 3, 1_000_000)
    assert read_settings(shape, {}).nats("test").events_max_bytes is None


@pytest.fixture
def system(tmp_path: Path) -> Generator[System]:
    operator = new_operator()
    settings = {
        "PENSTOCK_NATS_CREDENTIALS": str(operator.write(tmp_path)),
        "PENSTOCK_LOG_MAX_BYTES": str(LOG_BYTES),
        "PENSTOCK_MOCK_UNKNOWN_PIPELINES": "true",
    }
    with running_system(tmp_path, nats_config=operator.config, **settings) as system:
        yield system


@pytest.mark.system
def test_a_full_log_refuses_what_is_new_and_shows_what_is_there(system: System) -> None:
    first = submit(system, mock={"min_duration": 0, "max_duration": 0, "success_rate": 1})
    wait_until(
        lambda: system.get(f"/jobs/{first}")[1]["status"] == "completed", deadline_s=30, what="the first job's end"
    )

    for _ in range(LOG_BYTES // len(PADDING)):
        if system.post("/jobs", submission(padding=PADDING))[0] != 201:
            break
    answer = system.http.request("POST", system.url + "/jobs", json=submission(padding=PADDING), timeout=30.0)
    assert answer.status == 503, answer.data
    assert answer.headers["retry-after"] == "60"
    problem = json.loads(answer.data)
    assert problem["type"].endswith("#log-full")
    assert "raise the log's limit" in problem["detail"]

    assert system.get(f"/jobs/{first}")[1]["status"] == "completed"
    assert system.get("/jobs")[1]["total"] > 1
    assert system.is_ready()

    began = time.monotonic()
    command = [sys.executable, "-m", "penstock", "submit", "--url", system.url, "--pipeline", "x", "-p", f"a={PADDING}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1, done.stderr
    assert "raise the log's limit" in done.stderr
    assert time.monotonic() - began < 15, "it reports this at once and does not retry until its deadline"


def submission(**parameters: object) -> dict[str, object]:
    return {"pipeline_name": "x", "engine": "mock", "parameters": parameters}


def submit(system: System, **parameters: object) -> str:
    status, job = system.post("/jobs", submission(**parameters))
    assert status == 201, job
    return str(job["id"])
