"""No call that a service makes again and again costs more with many jobs than with few.

Processor time is counted, not the time that passes, so that a busy machine does not matter.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import Struct
from tests.jetstream.servers import own_server

from penstock_jetstream import Cluster, NatsSettings, connect
from penstock_ports import MAX_APPEND_ENTRIES
from penstock_schemas.views import SchedulerBeat
from penstock_testing.events import NOW, new_job, submission

FEW, MANY = 2_000, 40_000
CALLS = 40
FACTOR = 4
"""Twenty times as many jobs may cost this many times as much; a walk over all jobs would cost twenty times as much."""
SLACK_MS = 0.4
"""Noise of the measurement, for each call. A walk over the subjects of 40,000 jobs costs the server 2 ms or more."""

Call = Callable[[Cluster], Awaitable[object]]
PERIODIC: dict[str, Call] = {
    "readiness: the end of the log": lambda cluster: cluster.log.last_seq(),
    "readiness: the state of the log": lambda cluster: cluster.status(),
    "readiness: the checkpoint of the view": lambda cluster: cluster.jobs.checkpoint(),
    "index: the position of the view": lambda cluster: cluster.jobs.position(),
    "scheduler: the runners' heartbeats": lambda cluster: cluster.heartbeats.runners(),
    "standby: the scheduler's heartbeat": lambda cluster: cluster.heartbeats.scheduler(),
    "leader: its heartbeat": lambda cluster: cluster.heartbeats.beat_scheduler(
        SchedulerBeat(holder="test", term=1, count=1, time=NOW)
    ),
}


class Cost(Struct):
    """Processor time of one call."""

    server_ms: float
    client_ms: float


@pytest.fixture(scope="module")
async def costs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Cost]]:
    """Return what each call costs with each number of jobs."""
    found: dict[int, dict[str, Cost]] = {}
    for jobs in (FEW, MANY):
        async with filled(tmp_path_factory.mktemp("costs"), jobs) as (cluster, pid):
            found[jobs] = {name: await measure(cluster, pid, call) for name, call in PERIODIC.items()}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", PERIODIC)
async def test_a_periodic_call_costs_the_same_with_many_jobs(name: str, costs: dict[int, dict[str, Cost]]) -> None:
    few, many = costs[FEW][name], costs[MANY][name]
    assert many.server_ms <= FACTOR * few.server_ms + SLACK_MS, (few, many)
    assert many.client_ms <= FACTOR * few.client_ms + SLACK_MS, (few, many)


@asynccontextmanager
async def filled(folder: Path, jobs: int) -> AsyncGenerator[tuple[Cluster, int], None]:
    """Run a server whose log and view have so many jobs; give its process id, too."""
    async with own_server(folder) as server, connect(NatsSettings(url=server.url)) as cluster:
        assert server.pid is not None
        for first in range(0, jobs, MAX_APPEND_ENTRIES):
            many = [new_job(first + number + 1) for number in range(MAX_APPEND_ENTRIES)]
            await cluster.log.append([submission(f"job.default.{job.id}") for job in many], deadline_s=60.0)
            await cluster.jobs.write(many, previous=first, checkpoint=first + MAX_APPEND_ENTRIES)
        yield cluster, server.pid


async def measure(cluster: Cluster, pid: int, call: Call) -> Cost:
    """Return the processor time that one call costs the server and this process."""
    await call(cluster)
    server_s, client_s = processor_s(pid), time.process_time()
    for _ in range(CALLS):
        await call(cluster)
    return Cost((processor_s(pid) - server_s) / CALLS * 1e3, (time.process_time() - client_s) / CALLS * 1e3)


def processor_s(pid: int) -> float:
    """Return the processor time of every thread of a process, to the nanosecond."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9
