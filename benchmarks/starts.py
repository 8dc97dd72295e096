"""How long each service takes to start after a long past."""

import shutil
import time
from pathlib import Path
from typing import Final

import anyio

from benchmarks.history import fill
from benchmarks.http_load import Client
from benchmarks.result import Figure, Result, Size
from benchmarks.system import (
    MOCK_AT_ONCE,
    Meter,
    System,
    await_checkpoint,
    await_index,
    connected,
    running_system,
    settle,
)

JOBS: Final = {Size.TINY: 200, Size.QUICK: 20_000, Size.FULL: 100_000}
READY_S: Final = 5.0
"""The budget where an index and a snapshot are kept, for up to a million jobs."""
REBUILD_S: Final = 60.0
"""The budget from nothing, for up to a million jobs."""
IDLE_S: Final = 20.0
IDLE_PERCENT: Final = 2.0
"""The budget of the whole system's processor time while it is idle, in percent of a core."""


async def run(size: Size, root: Path, jobs: int | None = None) -> Result:
    """Stop everything, write a past, then start one service after the other."""
    jobs, figures = JOBS[size] if jobs is None else jobs, list[Figure]()
    with running_system(root) as system:
        for name in ("runner", "scheduler", "projector", "gateway"):
            system.services[name].stop()
        async with connected(system) as cluster:
            began = time.perf_counter()
            filled = await fill(cluster.log, jobs)
            figures.append(_figure("write the past", jobs, began))
            events = filled.last_seq

            began = time.perf_counter()
            system.services["projector"].start()
            await await_checkpoint(cluster, filled.last_seq)
            figures.append(_figure("projector, from nothing to the end", jobs, began))
            figures.append(_rate("projector", events, began))

            for how in ("index from nothing", "index kept"):
                if how == "index from nothing":
                    _forget(system)
                began = time.perf_counter()
                system.services["gateway"].start()
                await await_index(system, cluster, filled.last_seq, jobs)
                figures.append(
                    _figure(
                        f"gateway, {how}, to ready", jobs, began, budget_s=REBUILD_S if "nothing" in how else READY_S
                    )
                )
                if how == "index from nothing":
                    system.services["gateway"].stop()

            for how in ("without a snapshot", "with a snapshot"):
                if how == "with a snapshot":
                    system.services["scheduler"].stop()
                    system.services["runner"].stop()
                began = time.perf_counter()
                system.services["scheduler"].start()
                system.services["runner"].start()
                await _await_a_run(system)
                name = f"scheduler and runner, {how}, to the first job completed"
                figures.append(_figure(name, jobs, began, budget_s=REBUILD_S if "without" in how else READY_S))

            for service in ("runner", "scheduler", "projector", "gateway", "nats"):
                system.services[service].stop()
            began = time.perf_counter()
            for service in ("nats", "gateway", "scheduler", "projector", "runner"):
                system.services[service].start()
            system.await_ready()
            figures.append(_figure("everything at once, to ready", jobs, began, budget_s=READY_S))
            await _await_a_run(system)
            figures.append(_figure("everything at once, to the first job completed", jobs, began, budget_s=READY_S))
            figures.append(await _idle(system))
    return Result(name="starts", figures=tuple(figures), notes=(f"{jobs:,} jobs, {events:,} events of history",))


def _figure(name: str, jobs: int, began: float, *, budget_s: float | None = None) -> Figure:
    return Figure(name=name, value=time.perf_counter() - began, unit="s", count=jobs, at_most=budget_s)


def _rate(name: str, events: int, began: float) -> Figure:
    return Figure(name=f"{name}, events", value=events / (time.perf_counter() - began), unit="1/s", count=events)


async def _idle(system: System) -> Figure:
    """Return the processor time that the idle system takes."""
    meter, began = Meter(system), time.perf_counter()
    await anyio.sleep(IDLE_S)
    percent = meter.spent_s() / (time.perf_counter() - began) * 100
    return Figure(name="processor time while idle", value=percent, unit="%", at_most=IDLE_PERCENT)


def _forget(system: System) -> None:
    """Remove the gateway's index: it can be built again from the log at any time."""
    state = Path(system.services["gateway"].environ["PENSTOCK_STATE_DIR"])
    shutil.rmtree(state)
    state.mkdir()


async def _await_a_run(system: System) -> None:
    async with Client(system.http_port) as client:
        job = await client.call("POST", "/jobs", MOCK_AT_ONCE)
        await settle(client, job["id"])
