"""How fast jobs are taken in durably, and how fast the log beneath is in the same run."""

import itertools
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import anyio
from msgspec import Struct

from benchmarks.http_load import build_request, drive
from benchmarks.result import Figure, Result, Size, latencies, percentile
from benchmarks.system import Meter, connected, running_system
from penstock_domain import aggregates
from penstock_domain.chain import link
from penstock_ports import AppendEntry, EventLog
from penstock_schemas.events import JobSubmitted
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.views import EMPTY_HEAD

CONNECTIONS: Final = 64


class _Plan(Struct, frozen=True):
    sequential: int
    concurrent: int
    rounds: int


PLANS: Final = {
    Size.TINY: _Plan(5, 64, 1),
    Size.QUICK: _Plan(300, 3_000, 3),
    Size.FULL: _Plan(1_000, 8_000, 5),
}


async def run(size: Size, root: Path) -> Result:
    """Measure `POST /jobs` one at a time and at 64 connections, then the log's own appends likewise.

    The runner is stopped, so that the jobs stay in the queue: gateway, log, scheduler and projector work.
    """
    plan = PLANS[size]
    with running_system(root) as system:
        system.services["runner"].stop()
        await post(system.http_port, plan.sequential // 10 + 1, 1)
        one_at_a_time, _ = await post(system.http_port, plan.sequential, 1)
        rates, spread, meter = list[float](), list[float](), Meter(system)
        for _ in range(plan.rounds):
            latencies_s, rate = await post(system.http_port, plan.concurrent, CONNECTIONS)
            rates.append(rate)
            spread.extend(latencies_s)
        processor = meter.figures("a submit", plan.concurrent * plan.rounds)
        for name in ("scheduler", "projector"):
            system.services[name].stop()
        alone = [(await post(system.http_port, plan.concurrent, CONNECTIONS))[1] for _ in range(plan.rounds)]
        async with connected(system) as cluster:
            log_latencies, log_rate = await _append(cluster.log, plan.sequential, 1)
            log_rates = [(await _append(cluster.log, plan.concurrent, CONNECTIONS))[1] for _ in range(plan.rounds)]
    count = plan.concurrent * plan.rounds
    return Result(
        name="submit",
        figures=(
            Figure(
                name="POST /jobs, 64 connections", value=percentile(rates, 50), unit="1/s", count=count, at_least=2_000
            ),
            *latencies("POST /jobs, 64 connections", spread),
            *latencies("POST /jobs, one at a time", one_at_a_time, p50_ms=3.0),
            Figure(
                name="POST /jobs, 64 connections, gateway alone", value=percentile(alone, 50), unit="1/s", count=count
            ),
            Figure(name="log append, one at a time", value=log_rate, unit="1/s", count=plan.sequential),
            *latencies("log append, one at a time", log_latencies),
            Figure(name="log append, 64 in flight", value=percentile(log_rates, 50), unit="1/s", count=count),
            *processor,
        ),
    )


async def post(port: int, count: int, connections: int) -> tuple[list[float], float]:
    """Submit `count` jobs over `connections`; return the latencies in seconds and the rate."""
    sent = await drive(port, _submissions(count), connections=connections)
    return sent.latencies_s, count / sent.seconds


def _submissions(count: int) -> Iterator[bytes]:
    body = {"pipeline_name": "bench", "engine": "mock", "parameters": {"sample": "S1", "reads": 1_000_000}}
    return itertools.repeat(build_request("POST", "/jobs", body), count)


async def _append(log: EventLog, count: int, lanes: int) -> tuple[list[float], float]:
    numbers, latencies_s = iter(range(count)), list[float]()

    async def lane() -> None:
        for _ in numbers:
            entry = _submitted()
            started = time.perf_counter()
            await log.append([entry])
            latencies_s.append(time.perf_counter() - started)

    begin = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(lanes):
            group.start_soon(lane)
    return latencies_s, count / (time.perf_counter() - begin)


def _submitted() -> AppendEntry:
    job_id = JobId(str(uuid.uuid4()))
    data = JobSubmitted(
        job_id=job_id, spec=JobSpec(pipeline_name="bench", engine="mock", parameters={"reads": 1_000_000})
    )
    name, event_id = aggregates.job(DEFAULT_TENANT, job_id), EventId(uuid.uuid4().hex)
    return AppendEntry(link(EMPTY_HEAD, name, data, event_id=event_id, time=datetime.now(UTC), actor="bench"), 0)
