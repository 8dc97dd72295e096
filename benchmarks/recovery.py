"""How long the system takes to go on after one of its processes was killed."""

import time
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio

from benchmarks.http_load import Client
from benchmarks.result import Figure, Result, Size, percentile, summarize
from benchmarks.system import MOCK_AT_ONCE, Cluster, System, connected, running_system, settle, until
from penstock_ports import EventLog
from penstock_schemas.events import AttemptStarted, EventData, JobRequeued

TRIALS: Final = {Size.TINY: 1, Size.QUICK: 1, Size.FULL: 3}
LONG_RUN: Final = {
    **MOCK_AT_ONCE,
    "parameters": {"mock": {"min_duration": 3600, "max_duration": 3600, "success_rate": 1}},
}
DEADLINE_S: Final = 60.0
RECOVERY_S: Final = 15.0

E = TypeVar("E", bound=EventData)


async def run(size: Size, root: Path) -> Result:
    """Kill -9 a runner for good, a runner that comes back, the leading scheduler, and the server, in turn."""
    lost_requeued, lost_running, back_running = list[float](), list[float](), list[float]()
    takeover, append = list[float](), list[float]()
    with running_system(root) as system:
        system.add("scheduler-2", "penstock_scheduler", PENSTOCK_SCHEDULER_NAME="scheduler-2")
        system.add("runner-2", "penstock_runner", PENSTOCK_RUNNER_NAME="runner-2")
        async with connected(system) as cluster, Client(system.http_port) as client:
            for _ in range(TRIALS[size]):
                requeued_s, running_s = await _kill_runner(system, cluster, client, restart=False)
                lost_requeued.append(requeued_s)
                lost_running.append(running_s)
                back_running.append((await _kill_runner(system, cluster, client, restart=True))[1])
                takeover.append(await _kill_leader(system, cluster, client))
                append.append(await _kill_server(system))
    return Result(
        name="recovery",
        figures=(
            _figure("kill -9 runner: job requeued", lost_requeued),
            _figure("kill -9 runner: job runs on another one", lost_running),
            _figure("kill -9 runner, started again: job runs again", back_running),
            _figure("kill -9 leading scheduler: next job completed", takeover),
            _figure("kill -9 nats-server, started again: next job accepted", append),
        ),
    )


def _figure(name: str, samples: list[float]) -> Figure:
    value = percentile(samples, 50)
    return Figure(name=name, value=value, unit="s", count=len(samples), at_most=RECOVERY_S, samples=summarize(samples))


async def _kill_runner(system: System, cluster: Cluster, client: Client, *, restart: bool) -> tuple[float, float]:
    """Kill the runner of a long job; return when the job was requeued and when it ran again, in seconds after."""
    job = await client.call("POST", "/jobs", LONG_RUN)
    aggregate = f"job.default.{job['id']}"
    after, started, _ = await _await_event(cluster.log, aggregate, 0, AttemptStarted)
    victim = started.runner_id.rpartition("-")[0]
    began = time.perf_counter()
    system.services[victim].kill()
    if restart:
        system.services[victim].start()
    after, _, requeued = await _await_event(cluster.log, aggregate, after, JobRequeued)
    _, _, running = await _await_event(cluster.log, aggregate, after, AttemptStarted)
    if not restart:
        system.services[victim].start()
    await client.call("POST", f"/jobs/{job['id']}/cancel")
    await settle(client, job["id"])
    return requeued - began, running - began


async def _await_event(log: EventLog, aggregate: str, after: int, kind: type[E]) -> tuple[int, E, float]:
    """Return the next event of this kind, with its sequence and when it was seen."""
    with anyio.fail_after(DEADLINE_S):
        async with aclosing(log.read(after=after, aggregates=aggregate)) as batches:
            async for batch in batches:
                for stored in batch:
                    if isinstance(stored.event.data, kind):
                        return stored.seq, stored.event.data, time.perf_counter()
    raise AssertionError("a reader of the log ended by itself")


async def _kill_leader(system: System, cluster: Cluster, client: Client) -> float:
    """Kill the leading scheduler, submit a job at once, and return when it had completed."""
    leader = await _leader(system, cluster)
    began = time.perf_counter()
    system.services[leader].kill()
    job: dict[str, Any] = await client.call("POST", "/jobs", MOCK_AT_ONCE)
    await settle(client, job["id"])
    seconds = time.perf_counter() - began
    system.services[leader].start()
    return seconds


async def _leader(system: System, cluster: Cluster) -> str:
    """Return the name of the service that leads, once one does."""
    holder = ""

    async def is_known() -> bool:
        nonlocal holder
        beat = await cluster.heartbeats.scheduler()
        holder = "" if beat is None else beat.holder.rpartition("-")[0]
        return holder in system.services

    await until(is_known, "a scheduler leads")
    return holder


async def _kill_server(system: System) -> float:
    """Kill the server, start it again, and return when the next job was accepted; there is no waiting between tries."""
    system.services["nats"].kill()
    began = time.perf_counter()
    system.services["nats"].start()
    async with Client(system.http_port) as client:

        async def is_accepted() -> bool:
            return (await client.try_call("POST", "/jobs", MOCK_AT_ONCE))[0] == 201

        await until(is_accepted, "a job is accepted")
    return time.perf_counter() - began
