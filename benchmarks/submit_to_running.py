"""How long a job waits on an idle system before it runs."""

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import anyio

from benchmarks.http_load import Client
from benchmarks.result import Result, Size, latencies
from benchmarks.system import MOCK_AT_ONCE, running_system

COUNTS: Final = {Size.TINY: 3, Size.QUICK: 100, Size.FULL: 400}
WAIT_S: Final = 30
STEPS: Final = ("JobSubmitted", "JobAssigned", "AttemptStarted", "JobCompleted")


async def run(size: Size, root: Path) -> Result:
    """Submit one job after the other with the mock engine, and follow each by long-polling its events."""
    seen_running, seen_completed = list[float](), list[float]()
    to_assigned, to_running, to_completed = list[float](), list[float](), list[float]()
    with running_system(root) as system:
        async with Client(system.http_port) as client:
            for index in range(COUNTS[size] + 3):
                clock, times = await _follow(client)
                if index < 3:
                    continue  # the first ones warm connections and caches up
                seen_running.append(clock["AttemptStarted"])
                seen_completed.append(clock["JobCompleted"])
                begin = times["JobSubmitted"]
                to_assigned.append((times["JobAssigned"] - begin).total_seconds())
                to_running.append((times["AttemptStarted"] - begin).total_seconds())
                to_completed.append((times["JobCompleted"] - begin).total_seconds())
    return Result(
        name="submit_to_running",
        figures=(
            *latencies("submit to running, by the log's times", to_running, p50_ms=15.0, p99_ms=60.0),
            *latencies("submit to running, seen by a client", seen_running),
            *latencies("submit to assigned, by the log's times", to_assigned),
            *latencies("submit to completed, by the log's times", to_completed),
            *latencies("submit to completed, seen by a client", seen_completed),
        ),
    )


async def _follow(client: Client) -> tuple[dict[str, float], dict[str, datetime]]:
    """Return when each of the job's events was seen, in seconds after the request, and the times that they carry."""
    started = anyio.current_time()
    job: dict[str, Any] = await client.call("POST", "/jobs", MOCK_AT_ONCE)
    seen, times, after, done = dict[str, float](), dict[str, datetime](), 0, False
    while not done:
        page = await client.call("GET", f"/jobs/{job['id']}/events?after={after}&wait={WAIT_S}")
        now = anyio.current_time() - started
        for event in page["events"]:
            seen.setdefault(event["type"], now)
            times.setdefault(event["type"], datetime.fromisoformat(event["time"]))
        after, done = page["next_after"], page["done"]
    assert all(step in seen for step in STEPS), f"job {job['id']} went another way: {sorted(seen)}"
    return seen, times
