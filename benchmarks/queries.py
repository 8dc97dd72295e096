"""How fast a job's status and a page of a filtered list are, with few jobs and with many."""

import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from benchmarks.history import OWNERS, PIPELINES, fill
from benchmarks.http_load import build_request, drive
from benchmarks.result import Figure, Result, Size, latencies
from benchmarks.system import System, await_index, connected, running_system
from penstock_schemas.ids import JobId


class _Plan(Struct, frozen=True):
    jobs: tuple[int, ...]
    """How many jobs there are in each round, ascending."""
    requests: int


PLANS: Final = {
    Size.TINY: _Plan((20, 200), 10),
    Size.QUICK: _Plan((1_000, 20_000), 300),
    Size.FULL: _Plan((1_000, 100_000), 1_000),
}
FILTERS: Final = (
    f"owner={OWNERS[3]}",
    "status=failed",
    f"pipeline={PIPELINES[0]}",
    f"status=completed&owner={OWNERS[4]}",
)


async def run(size: Size, root: Path) -> Result:
    """Ask one at a time: what a client waits, without a queue before the server."""
    plan, figures = PLANS[size], list[Figure]()
    with running_system(root) as system:
        for name in ("runner", "scheduler"):
            system.services[name].stop()
        ids = list[JobId]()
        async with connected(system) as cluster:
            for jobs in plan.jobs:
                filled = await fill(cluster.log, jobs - len(ids))
                ids.extend(filled.jobs)
                await await_index(system, cluster, filled.last_seq, jobs)
                figures.extend(await _measure(system, ids, plan.requests))
    return Result(name="queries", figures=tuple(figures))


async def _measure(system: System, ids: Sequence[JobId], requests: int) -> Iterator[Figure]:
    dice = random.Random(1)
    status = (build_request("GET", f"/jobs/{dice.choice(ids)}") for _ in range(requests))
    first_page = itertools.repeat(build_request("GET", "/jobs?limit=50"), requests)
    filtered = (build_request("GET", f"/jobs?limit=50&{FILTERS[index % len(FILTERS)]}") for index in range(requests))
    at = f"with {len(ids):,} jobs"
    return itertools.chain(
        latencies(f"GET /jobs/{{id}} {at}", await _ask(system, status), p99_ms=5.0),
        latencies(f"GET /jobs, first page {at}", await _ask(system, first_page), p99_ms=20.0),
        latencies(f"GET /jobs, filtered {at}", await _ask(system, filtered), p99_ms=20.0),
    )


async def _ask(system: System, requests: Iterator[bytes]) -> list[float]:
    sent = await drive(system.http_port, requests, connections=1, expected=200)
    return sent.latencies_s
