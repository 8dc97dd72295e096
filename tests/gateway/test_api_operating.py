"""Operations for operators over HTTP: runners, the capacity of the log, the leader."""

from datetime import UTC, datetime

import httpx
import pytest
from tests.gateway.gateway_harness import RUNNER, GatewayHarness, now, problem, submit

from penstock_ports import Unavailable
from penstock_schemas.views import SchedulerBeat


async def test_the_runners_that_are_connected(harness: GatewayHarness, client: httpx.AsyncClient) -> None:
    assert (await client.get("/runners")).json() == {"runners": []}
    await harness.connect_runner("mock", "snakemake", provides=("conda",))
    (runner,) = (await client.get("/runners")).json()["runners"]
    assert runner.pop("seen_at").startswith(f"{datetime.now(UTC).year}-")
    assert runner == {
        "id": RUNNER,
        "name": "node",
        "engines": {"mock": "1", "snakemake": "1"},
        "slots": 1,
        "busy": 0,
        "draining": False,
        "sandbox": None,
        "sandbox_lacks": [],
        "unsupported_directives": None,
        "provides": ["conda"],
        "cores": 0,
        "gpus": 0,
    }


async def test_the_status_has_the_size_of_the_log_and_the_lag_of_the_list(
    harness: GatewayHarness, client: httpx.AsyncClient
) -> None:
    await submit(client)
    status = (await client.get("/status")).json()
    assert status["log"]["last_seq"] == status["log"]["events"] == 1
    assert 0 < status["log"]["bytes"] < status["log"]["max_bytes"]
    assert (status["projected_seq"], status["lag"], status["scheduler"]) == (0, 1, None)

    await harness.project()
    await harness.cluster.heartbeats.beat_scheduler(SchedulerBeat(holder="s", term=3, count=1, time=now()))
    status = (await client.get("/status")).json()
    assert (status["projected_seq"], status["lag"]) == (1, 0)
    assert (status["scheduler"]["holder"], status["scheduler"]["term"]) == ("s", 3)


@pytest.mark.parametrize("address", ["/runners", "/status"])
async def test_unavailable_heartbeats_are_a_503(
    harness: GatewayHarness, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    async def no_answer() -> None:
        raise Unavailable("no server")

    monkeypatch.setattr(harness.cluster.heartbeats, "runners", no_answer)
    monkeypatch.setattr(harness.cluster.heartbeats, "scheduler", no_answer)
    problem(await client.get(address), 503)
    problem(await client.get(f"{address}?color=red"), 422)
