"""Every state of WES that a run can be in, on real processes: brought about, and seen wherever a client looks."""

import json
import signal
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.wes.specification import PREFIX, Json, check
from tests.system.processes import System, running_system, wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 60.0
OVER = {"COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED", "PREEMPTED"}
LONG = {"min_duration": 600, "max_duration": 600, "success_rate": 1}
QUICK = {"min_duration": 0, "max_duration": 0, "success_rate": 1}
FAILING = {"min_duration": 0, "max_duration": 0, "success_rate": 0}
GATED = b"""
rule all:
    output: "done.txt"
    shell: "until [ -e {config[gate]} ]; do sleep 0.1; done; echo done > {output}"
"""
"""It ends when somebody opens the gate."""


class Client:
    """A client of WES that checks every response against the official document."""

    def __init__(self, system: System) -> None:
        self.system = system

    def get(self, path: str, schema: str) -> Json:
        status, body = self.system.get(PREFIX + path)
        assert status == 200, body
        check(body, schema)
        found: Json = body
        return found

    def submit(self, mock: Mapping[str, float]) -> str:
        """Queue a run of the mock engine."""
        return self._submit(b"", workflow_type="MOCK", workflow_params=json.dumps({"mock": mock}))

    def submit_gated(self, gate: Path, *, is_once: bool) -> str:
        """Queue a Snakemake run that ends when `gate` is there, perhaps one that must not be begun twice."""
        chosen: dict[str, str | None] = {"cores": "1", **({"no-requeue": None} if is_once else {})}
        return self._submit(
            GATED,
            workflow_type="SMK",
            workflow_params=json.dumps({"gate": str(gate)}),
            workflow_engine_parameters=json.dumps(chosen),
        )

    def _submit(self, snakefile: bytes, **fields: str) -> str:
        parts: list[tuple[str, Any]] = [
            ("workflow_type_version", "1"),
            *fields.items(),
            ("workflow_attachment", ("Snakefile", snakefile)),
        ]
        response = self.system.http.request("POST", f"{self.system.url}{PREFIX}/runs", fields=parts, timeout=30.0)
        assert response.status == 200, response.data
        body: Json = json.loads(response.data)
        check(body, "RunId")
        run_id: str = body["run_id"]
        return run_id

    def state(self, run_id: str) -> str:
        state: str = self.get(f"/runs/{run_id}/status", "RunStatus")["state"]
        return state

    def await_state(self, run_id: str, *states: str) -> str:
        wait_until(lambda: self.state(run_id) in states, deadline_s=DEADLINE_S, what=f"{run_id} is {states}")
        return run_id

    def cancel(self, run_id: str) -> str:
        status, body = self.system.post(f"{PREFIX}/runs/{run_id}/cancel")
        assert (status, body) == (200, {"run_id": run_id})
        return run_id

    def act(self, run_id: str, command: str) -> str:
        """Use the native API for an action that WES has no operation for."""
        status, body = self.system.post(f"/jobs/{run_id}/{command}")
        assert status == 200, body
        return run_id

    def listed(self, **filters: str) -> dict[str, str]:
        query = "&".join(f"{name}={value}" for name, value in {"page_size": "1000", **filters}.items())
        return {run["run_id"]: run["state"] for run in self.get(f"/runs?{query}", "RunListResponse")["runs"]}

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = self.get("/service-info", "ServiceInfo")["system_state_counts"]
        return found


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Generator[Client]:
    root = tmp_path_factory.mktemp("system")
    with running_system(root, PENSTOCK_SLOTS="2", PENSTOCK_DRAIN_TIMEOUT_S="0.2") as system:
        client = Client(system)
        offered = ("SMK", "MOCK")
        wait_until(
            lambda: set(offered) <= set(client.get("/service-info", "ServiceInfo")["workflow_type_versions"]),
            deadline_s=DEADLINE_S,
            what="the runner offers both engines",
        )
        yield client


@pytest.fixture(autouse=True)
def calm(client: Client) -> Generator[None]:
    """Leave nothing that goes on, and a runner that works."""
    yield
    for run_id, state in client.listed().items():
        if state not in OVER:
            client.await_state(client.cancel(run_id), *OVER)


@contextmanager
def frozen(client: Client) -> Generator[None]:
    """Stop the runner's process where it is."""
    runner = client.system.services["runner"].process
    assert runner is not None
    runner.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        runner.send_signal(signal.SIGCONT)


def in_the_queue(client: Client) -> Generator[str]:
    for _ in range(2):
        running = client.submit(LONG)
        client.await_state(running, "RUNNING")
    yield client.submit(LONG)


def held(client: Client) -> Generator[str]:
    for run_id in in_the_queue(client):
        yield client.act(run_id, "hold")


def assigned(client: Client) -> Generator[str]:
    with frozen(client):
        yield client.submit(LONG)


def running(client: Client) -> Generator[str]:
    yield client.submit(LONG)


def being_cancelled(client: Client) -> Generator[str]:
    run_id = client.await_state(client.submit(LONG), "RUNNING")
    with frozen(client):
        yield client.cancel(run_id)


def cancelled(client: Client) -> Generator[str]:
    yield client.cancel(client.await_state(client.submit(LONG), "RUNNING"))


def completed(client: Client) -> Generator[str]:
    yield client.submit(QUICK)


def failed(client: Client) -> Generator[str]:
    yield client.submit(FAILING)


WAYS: dict[str, Callable[[Client], Generator[str]]] = {
    "QUEUED": in_the_queue,
    "PAUSED": held,
    "INITIALIZING": assigned,
    "RUNNING": running,
    "CANCELING": being_cancelled,
    "CANCELED": cancelled,
    "COMPLETE": completed,
    "EXECUTOR_ERROR": failed,
}
"""How a run comes to be in each state; the other two have separate tests below."""


def assert_seen(client: Client, run_id: str, state: str) -> None:
    """Check that a client sees the state wherever it looks."""
    client.await_state(run_id, state)
    assert client.get(f"/runs/{run_id}", "RunLog")["state"] == state

    def is_seen() -> bool:
        everything = client.listed()
        is_counted = {state: count for state, count in client.counts().items() if count} == Counter(everything.values())
        return is_counted and everything[run_id] == state and client.listed(state=state).get(run_id) == state

    wait_until(is_seen, deadline_s=DEADLINE_S, what=f"{run_id} is listed and counted as {state}")


@pytest.mark.parametrize(("state", "way"), WAYS.items(), ids=WAYS)
def test_a_state_is_seen_everywhere(client: Client, state: str, way: Callable[[Client], Generator[str]]) -> None:
    for run_id in way(client):
        assert_seen(client, run_id, state)


def test_a_released_run_is_queued_again_and_a_held_one_is_cancelled_at_once(client: Client) -> None:
    for run_id in held(client):
        client.await_state(run_id, "PAUSED")
        assert_seen(client, client.act(run_id, "release"), "QUEUED")
        client.await_state(client.act(run_id, "hold"), "PAUSED")
        assert client.state(client.cancel(run_id)) == "CANCELED"


def two_at_work(client: Client, gate: Path) -> tuple[str, str]:
    """Return two runs that are at work: one that must not be begun twice, and one like any other."""
    once, again = (client.submit_gated(gate, is_once=is_once) for is_once in (True, False))
    return client.await_state(once, "RUNNING"), client.await_state(again, "RUNNING")


def assert_goes_on(client: Client, run_id: str, gate: Path) -> None:
    """Check that a run whose runner is gone waits, and completes on the next one."""
    assert_seen(client, run_id, "QUEUED")
    client.system.services["runner"].start()
    gate.touch()
    assert_seen(client, run_id, "COMPLETE")
    types = [event["type"] for event in client.system.get(f"/jobs/{run_id}/events")[1]["events"]]
    assert (types.count("AttemptStarted"), types.count("JobRequeued")) == (2, 1)


def assert_ended_for_good(client: Client, run_id: str, state: str, reason: str) -> None:
    assert_seen(client, run_id, state)
    log = client.get(f"/runs/{run_id}", "RunLog")
    assert log["request"]["workflow_engine_parameters"] == {"cores": "1", "no-requeue": ""}
    assert "exit_code" not in log["run_log"]
    reason_line = log["run_log"]["system_logs"][0]
    assert reason_line.startswith("the attempt ended without an outcome: ")
    assert reason in reason_line
    assert reason_line.endswith("; the job was submitted with requeue off")


def test_a_stopped_runner_preempts_what_must_not_be_begun_twice(client: Client, tmp_path: Path) -> None:
    once, again = two_at_work(client, tmp_path / "gate")
    assert client.system.services["runner"].stop() == 0
    assert_ended_for_good(client, once, "PREEMPTED", "the runner was stopped")
    assert_goes_on(client, again, tmp_path / "gate")


def test_a_lost_runner_is_a_system_error_for_what_must_not_be_begun_twice(client: Client, tmp_path: Path) -> None:
    once, again = two_at_work(client, tmp_path / "gate")
    client.system.services["runner"].kill()
    assert_ended_for_good(client, once, "SYSTEM_ERROR", "fell silent")
    assert_goes_on(client, again, tmp_path / "gate")
