"""Readiness: each check that fails is named, and ends when its cause does."""

import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import anyio
import httpx
import pytest
from tests.conftest import NatsServer
from tests.gateway.gateway_harness import GatewayHarness, submission
from tests.gateway.processes import Process

from penstock_gateway.maintenance import readiness
from penstock_gateway.maintenance.capacity import MIN_FREE_BYTES, REFUSED_S, ObservedLog, fault_of_log, faults_of_disks
from penstock_ports import AppendEntry, ClusterStatus, LogFull, Unavailable
from penstock_schemas.views import EngineQueue, QueueSummary, SchedulerBeat
from penstock_testing.memory import MemoryCluster


def status(stored_bytes: int, max_bytes: int) -> ClusterStatus:
    return ClusterStatus(
        server_version="x", messages=1, stored_bytes=stored_bytes, max_bytes=max_bytes, last_seq=1, replicas=1
    )


@pytest.mark.parametrize(("stored", "limit", "is_full"), [(0, 0, False), (1, -1, False), (9000, 10_000, True)])
def test_a_log_without_capacity_is_full(stored: int, limit: int, is_full: bool) -> None:
    assert (fault_of_log(status(stored, limit), None) is not None) == is_full


def test_disks_are_named_by_their_folders(tmp_path: Path) -> None:
    assert faults_of_disks([tmp_path]) == []
    (full,) = faults_of_disks([tmp_path], lambda _: MIN_FREE_BYTES - 1)
    assert str(tmp_path) in full
    assert "is full" in full
    (missing,) = faults_of_disks([tmp_path / "missing"])
    assert "No such file" in missing


async def test_an_append_that_is_not_answered_counts_until_one_is_taken_or_time_passed(
    harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A nats-server that could not write goes on to answer every question, and takes nothing."""
    now = 0.0
    cluster = MemoryCluster()
    observed = ObservedLog(cluster.log, clock=lambda: now)
    async with harness.serve() as client:
        assert (await client.post("/jobs", json=submission())).status_code == 201
    (stored, *_) = harness.cluster.log.stored
    entry = AppendEntry(stored.event, expected=0)

    async def away(*_: object, **__: object) -> NoReturn:
        raise Unavailable("the log did not answer an append within 10 s")

    with monkeypatch.context() as patch:
        patch.setattr(cluster.log, "append", away)
        with pytest.raises(Unavailable):
            await observed.append([entry])
        refusal = fault_of_log(await cluster.status(), observed.refusal)
        assert "did not answer an append" in (refusal or "")
        now += REFUSED_S + 1
        assert observed.refusal is None
        with pytest.raises(Unavailable):
            await observed.append([entry])
    await observed.append([entry])
    assert observed.refusal is None


async def test_a_list_without_the_own_writes_is_behind_until_the_view_has_them(
    harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "BEHIND_S", 0.0)
    async with harness.serve() as client:
        base = harness.gateway.base
        assert not base.index.is_behind
        assert (await client.post("/jobs", json=submission())).status_code == 201
        await base.readiness.refresh()  # notes the write
        await base.readiness.refresh()
        assert base.index.is_behind
        assert any("behind the log" in reason for reason in base.readiness.reasons())
        await harness.project()
        await base.readiness.refresh()
        assert not base.index.is_behind


async def test_a_refused_append_counts_until_one_is_taken_or_time_passed(harness: GatewayHarness) -> None:
    now = 0.0
    cluster = MemoryCluster()
    observed = ObservedLog(cluster.log, clock=lambda: now)
    async with harness.serve() as client:
        assert (await client.post("/jobs", json=submission())).status_code == 201
    (stored, *_) = harness.cluster.log.stored
    entry = AppendEntry(stored.event, expected=0)
    cluster.log.max_bytes = 1
    with pytest.raises(LogFull):
        await observed.append([entry])
    assert "1 bytes" in (observed.refusal or "")
    now += REFUSED_S + 1
    assert observed.refusal is None
    with pytest.raises(LogFull):
        await observed.append([entry])
    cluster.log.max_bytes = 1 << 20
    assert observed.refusal is not None
    await observed.append([entry])
    assert observed.refusal is None


async def test_a_full_log_is_named_until_there_is_room(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        capacity = harness.cluster.log.max_bytes
        harness.cluster.log.max_bytes = harness.cluster.log.stored_bytes + 100
        await harness.gateway.base.readiness.refresh()
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert "the event log is full" in response.json()["reasons"][0]
        harness.cluster.log.max_bytes = capacity
        await harness.gateway.base.readiness.refresh()
        assert (await client.get("/readyz")).status_code == 200


async def test_a_full_disk_is_named_until_there_is_room(
    harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with harness.serve() as client:
        monkeypatch.setattr("penstock_gateway.maintenance.capacity.MIN_FREE_BYTES", 1 << 62)
        await harness.gateway.base.readiness.refresh()
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert "the disk of" in response.json()["reasons"][0]
        monkeypatch.undo()
        await harness.gateway.base.readiness.refresh()
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize("needs_runner_s", [0, 60])
async def test_waiting_work_without_a_runner_is_reported_on_request(
    harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch, needs_runner_s: int
) -> None:
    async with harness.serve(ready_needs_runner_s=needs_runner_s) as client:
        await _beat(harness, waiting=1)
        assert (await client.get("/readyz")).status_code == 200, "it has not been missing for long"
        monkeypatch.setattr(type(harness.gateway.base.engine_directory), "without_runner_s", 61.0)
        response = await client.get("/readyz")
        assert response.status_code == (503 if needs_runner_s else 200)
        if needs_runner_s:
            assert response.json()["reasons"] == [
                "work waits, and no runner has sent a heartbeat for 61 s: start a runner"
            ]
            await _beat(harness, waiting=0)
            assert (await client.get("/readyz")).status_code == 200, "nothing waits"


async def test_a_heartbeat_of_a_runner_counts(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        assert (await client.get("/readyz")).status_code == 200
        before = harness.gateway.base.engine_directory.without_runner_s
        await harness.connect_runner("mock")
        await anyio.sleep(0.25)  # a fresh result is not read again
        await harness.gateway.base.engine_directory.refresh()
        assert harness.gateway.base.engine_directory.without_runner_s < before + 0.25


async def _beat(harness: GatewayHarness, *, waiting: int) -> None:
    queue = QueueSummary(engines={"mock": EngineQueue(slots=0, free=0, waiting=waiting)})
    beat = SchedulerBeat(holder="s", term=1, count=waiting, time=datetime.now(UTC), queue=queue)
    await harness.cluster.heartbeats.beat_scheduler(beat)
    with anyio.fail_after(10):
        while harness.gateway.base.engine_directory.has_waiting_jobs != bool(waiting):
            await anyio.lowlevel.checkpoint()
            await harness.gateway.base.engine_directory.refresh()


async def test_a_real_log_that_is_full_makes_it_not_ready(tmp_path: Path, nats_server: NatsServer) -> None:
    process = Process(tmp_path, nats_server.new_settings().url, PENSTOCK_LOG_MAX_BYTES="65536")
    try:
        async with httpx.AsyncClient(base_url=process.url()) as client:
            body: dict[str, Any] = submission(parameters={"x": "y" * 6000})
            reasons: list[str] = []
            with anyio.fail_after(60):
                while (await client.post("/jobs", json=body)).status_code != 503:
                    pass
                while not any("the event log" in reason for reason in reasons):
                    response = await client.get("/readyz")
                    reasons = response.json()["reasons"]
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/healthz")).status_code == 200
    finally:
        process.end(signal.SIGTERM)
