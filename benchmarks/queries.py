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
from penstock_ports import TaskStore
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import Task, TaskState


class _Plan(Struct, frozen=True):
    jobs: tuple[int, ...]
    """How many jobs there are in each round, ascending."""
    requests: int
    tasks: int
    """Number of tasks of the run whose pages are requested."""


PLANS: Final = {
    Size.TINY: _Plan((20, 200), 10, 100),
    Size.QUICK: _Plan((1_000, 20_000), 300, 2_000),
    Size.FULL: _Plan((1_000, 100_000), 1_000, 10_000),
}
PAGE_MS: Final = 5.0
"""The budget of a list's first page, for any number of jobs."""
JOB_MS: Final = 1.0
WES: Final = "/ga4gh/wes/v1"
RUN_FILTERS: Final = (f"name={PIPELINES[0]}", "state=EXECUTOR_ERROR", "state=COMPLETE&tag=batch:3", "sort=created")
FILTERS: Final = (
    f"owner={OWNERS[3]}",
    "status=failed",
    f"pipeline={PIPELINES[0]}",
    f"status=completed&owner={OWNERS[4]}",
)


async def run(size: Size, root: Path, jobs: int | None = None) -> Result:
    """Send one request at a time: the time that a client waits, without a queue before the server."""
    plan, figures = PLANS[size], list[Figure]()
    histories = plan.jobs if jobs is None else (min(plan.jobs[0], jobs), jobs)
    with running_system(root) as system:
        for name in ("runner", "scheduler"):
            system.services[name].stop()
        ids = list[JobId]()
        async with connected(system) as cluster:
            for history in histories:
                filled = await fill(cluster.log, history - len(ids))
                ids.extend(filled.jobs)
                await await_index(system, cluster, filled.last_seq, history)
                figures.extend(await _measure(system, ids, plan.requests))
            figures.extend(await _measure_tasks(system, cluster.tasks, ids[-1], plan))
    return Result(name="queries", figures=tuple(figures))


async def _measure(system: System, ids: Sequence[JobId], requests: int) -> Iterator[Figure]:
    dice = random.Random(1)
    status = (build_request("GET", f"/jobs/{dice.choice(ids)}") for _ in range(requests))
    first_page = itertools.repeat(build_request("GET", "/jobs?limit=50"), requests)
    filtered = (build_request("GET", f"/jobs?limit=50&{FILTERS[index % len(FILTERS)]}") for index in range(requests))
    at = f"with {len(ids):,} jobs"
    runs = itertools.repeat(build_request("GET", f"{WES}/runs?page_size=50"), requests)
    chosen = (RUN_FILTERS[index % len(RUN_FILTERS)] for index in range(requests))
    runs_filtered = (build_request("GET", f"{WES}/runs?page_size=50&{filters}") for filters in chosen)
    return itertools.chain(
        latencies(f"GET {WES}/runs, first page {at}", await _request(system, runs), p99_ms=PAGE_MS),
        latencies(f"GET {WES}/runs, filtered {at}", await _request(system, runs_filtered), p99_ms=20.0),
        latencies(f"GET /jobs/{{id}} {at}", await _request(system, status), p99_ms=JOB_MS),
        latencies(f"GET /jobs, first page {at}", await _request(system, first_page), p99_ms=PAGE_MS),
        latencies(f"GET /jobs, filtered {at}", await _request(system, filtered), p99_ms=20.0),
    )


async def _measure_tasks(system: System, board: TaskStore, job_id: JobId, plan: _Plan) -> Iterator[Figure]:
    tasks = [
        Task(id=f"task-{number}", job_id=job_id, attempt=1, name="align", state=TaskState.COMPLETED)
        for number in range(plan.tasks)
    ]
    await board.put(DEFAULT_TENANT, job_id, tasks, TaskCounts(total=plan.tasks, done=plan.tasks))
    wes = build_request("GET", f"{WES}/runs/{job_id}/tasks?page_size=100")
    native = build_request("GET", f"/jobs/{job_id}/tasks?limit=100&after={plan.tasks - 100}")
    first = await _request(system, iter([wes]))
    changing = list[float]()
    for _ in range(plan.requests // 10):
        await board.put(DEFAULT_TENANT, job_id, tasks[:20], TaskCounts(total=plan.tasks, running=20))
        changing += await _request(system, iter([wes]))
    of = f"of {plan.tasks:,} tasks"
    return itertools.chain(
        latencies(f"GET {WES}/runs/{{id}}/tasks, first page {of}, not read before", first, p99_ms=20.0),
        latencies(f"GET {WES}/runs/{{id}}/tasks, a page {of} that change", changing, p99_ms=20.0),
        latencies(
            f"GET {WES}/runs/{{id}}/tasks, a page {of}",
            await _request(system, itertools.repeat(wes, plan.requests)),
            p99_ms=20.0,
        ),
        latencies(
            f"GET /jobs/{{id}}/tasks, the last page {of}",
            await _request(system, itertools.repeat(native, plan.requests // 10)),
            p99_ms=20.0,
        ),
    )


async def _request(system: System, requests: Iterator[bytes]) -> list[float]:
    sent = await drive(system.http_port, requests, connections=1, expected=200)
    return sent.latencies_s
