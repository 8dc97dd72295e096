"""How many jobs a second go all the way, with a short past and with a long one."""

import itertools
import time
from contextlib import aclosing
from pathlib import Path
from typing import Final

import anyio
from msgspec import Struct

from benchmarks.history import fill
from benchmarks.http_load import build_request, drive
from benchmarks.result import Figure, Result, Size
from benchmarks.system import MOCK_AT_ONCE, Cluster, Meter, System, await_checkpoint, connected, running_system
from penstock_schemas.events import JobCancelled, JobCompleted, JobFailed

CONNECTIONS: Final = 64
SLOTS: Final = "128"
FLAT: Final = 0.9
"""The rate after a long past, as a part of the rate without one, from which on it counts as flat."""


class _Plan(Struct, frozen=True):
    jobs: int
    pasts: tuple[int, ...]
    """How many jobs of history each round has, ascending."""


PLANS: Final = {
    Size.TINY: _Plan(20, (0, 200)),
    Size.QUICK: _Plan(2_000, (0, 20_000)),
    Size.FULL: _Plan(10_000, (0, 20_000, 50_000)),
}
ROUND_DEADLINE_S: Final = 180
WARM_UP: Final = 64
"""Jobs that nobody counts: they also wait for the runner to join."""


async def run(size: Size, root: Path, jobs: int | None = None) -> Result:
    """Submit no-op jobs over 64 connections as fast as they are taken, until every one has ended."""
    plan, rates, figures, written = PLANS[size], list[float](), list[Figure](), 0
    pasts = plan.pasts if jobs is None else (0, jobs)
    with running_system(root, PENSTOCK_SLOTS=SLOTS) as system:
        async with connected(system) as cluster:
            await _round(system, cluster, WARM_UP)
            for past in pasts:
                if past > written:
                    await _age(system, cluster, past - written)
                meter = Meter(system)
                submitting_s, seconds = await _round(system, cluster, plan.jobs)
                written = max(past, written) + plan.jobs
                rates.append(plan.jobs / seconds)
                figures.append(
                    Figure(
                        name=f"no-op jobs, submit to end, after {past:,} jobs",
                        value=rates[-1],
                        unit="1/s",
                        count=plan.jobs,
                        at_least=700,
                    )
                )
                figures.append(
                    Figure(
                        name=f"of these the submits alone, after {past:,} jobs",
                        value=plan.jobs / submitting_s,
                        unit="1/s",
                        count=plan.jobs,
                    )
                )
                figures.extend(meter.figures(f"a job, after {past:,} jobs", plan.jobs))
    flat = Figure(name="no-op jobs: last rate over first", value=rates[-1] / rates[0], unit="", count=2, at_least=FLAT)
    return Result(name="no_op_jobs", figures=(*figures, flat))


async def _age(system: System, cluster: Cluster, jobs: int) -> None:
    """Write `jobs` of history while nobody schedules, and wait until everyone has read it."""
    for name in ("runner", "scheduler"):
        system.services[name].stop()
    filled = await fill(cluster.log, jobs)
    await await_checkpoint(cluster, filled.last_seq)
    for name in ("scheduler", "runner"):
        system.services[name].start()
    await _round(system, cluster, WARM_UP)


async def _round(system: System, cluster: Cluster, jobs: int) -> tuple[float, float]:
    """Return how long the submits took, and how long it took until the last job ended."""
    after, ended = await cluster.log.last_seq(), anyio.Event()
    submitting_s = 0.0

    async def submit() -> None:
        nonlocal submitting_s
        requests = itertools.repeat(build_request("POST", "/jobs", MOCK_AT_ONCE), jobs)
        submitting_s = (await drive(system.http_port, requests, connections=CONNECTIONS)).seconds

    async def count() -> None:
        await _await_ends(cluster, after, jobs)
        ended.set()

    begin = time.perf_counter()
    with anyio.fail_after(ROUND_DEADLINE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(submit)
            group.start_soon(count)
            await ended.wait()
    return submitting_s, time.perf_counter() - begin


async def _await_ends(cluster: Cluster, after: int, jobs: int) -> None:
    """Return when `jobs` jobs ended after the sequence `after`."""
    left = jobs
    async with aclosing(cluster.log.read(after=after, aggregates="job.>")) as batches:
        async for batch in batches:
            left -= sum(isinstance(entry.event.data, JobCompleted | JobFailed | JobCancelled) for entry in batch)
            if left <= 0:
                return
