"""Durable submissions beside those of a service that only keeps a dictionary, in turns on the same machine."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct
from tests.system.processes import free_port

from benchmarks.result import Figure, Result, Size, percentile
from benchmarks.submit import CONNECTIONS, post
from benchmarks.system import Meter, is_listening, processor_s, running_system, until

RATIO: Final = 0.8
"""The budget: our rate, divided by that of the in-memory service."""
STOP_S: Final = 10.0


class _Plan(Struct, frozen=True):
    submissions: int
    rounds: int


PLANS: Final = {Size.TINY: _Plan(64, 1), Size.QUICK: _Plan(3_000, 5), Size.FULL: _Plan(8_000, 7)}


async def run(size: Size, root: Path) -> Result:
    """Submit to one service and to the other in turns; the runner is stopped, so that jobs stay in the queue."""
    plan = PLANS[size]
    ours, theirs = list[float](), list[float]()
    our_processor_s = their_processor_s = 0.0
    with running_system(root) as system, _in_memory_service(root / "peer.log") as peer:
        await until(lambda: is_listening(peer.port), "the in-memory service listens")
        system.services["runner"].stop()
        for number in range(plan.rounds + 1):
            meter, before_s = Meter(system), processor_s(peer.pid)
            _, our_rate = await post(system.http_port, plan.submissions, CONNECTIONS)
            _, their_rate = await post(peer.port, plan.submissions, CONNECTIONS)
            if number:  # the first round warms up
                ours.append(our_rate)
                theirs.append(their_rate)
                our_processor_s += meter.spent_s()
                their_processor_s += processor_s(peer.pid) - before_s
    ratios = [our_rate / their_rate for our_rate, their_rate in zip(ours, theirs, strict=True)]
    count = plan.submissions * plan.rounds
    return Result(
        name="peers",
        figures=(
            Figure(name="POST /jobs, durable", value=percentile(ours, 50), unit="1/s", count=count),
            Figure(name="POST /jobs, FastAPI and a dictionary", value=percentile(theirs, 50), unit="1/s", count=count),
            Figure(
                name="our rate over theirs", value=percentile(ratios, 50), unit="", count=len(ratios), at_least=RATIO
            ),
            _processor_time("our processes", our_processor_s, count),
            _processor_time("FastAPI and a dictionary", their_processor_s, count),
        ),
        notes=(f"{CONNECTIONS} connections; medians of {plan.rounds} rounds in turns",),
    )


def _processor_time(what: str, seconds: float, count: int) -> Figure:
    return Figure(name=f"processor time of {what} a submit", value=seconds / count * 1e3, unit="ms", count=count)


class _Peer(Struct, frozen=True):
    port: int
    pid: int


@contextmanager
def _in_memory_service(log: Path) -> Generator[_Peer]:
    """Run the service with its output in a file, as our services have it."""
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers.in_memory_service", str(port)], stdout=output, stderr=output
        )
    try:
        yield _Peer(port, process.pid)
    finally:
        process.kill()  # stopped by a signal, it would wait for the pipelines that it simulates
        process.wait(STOP_S)
