"""The system under measurement: the real processes of the system tests, and a connection to their log."""

import os
import shutil
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import anyio
from tests.system import processes
from tests.system.processes import System

from benchmarks.http_load import Client
from benchmarks.result import Figure
from penstock_jetstream.cluster import Cluster, connect
from penstock_jetstream.settings import NatsSettings

__all__ = ["MOCK_AT_ONCE", "Cluster", "System", "await_index", "connected", "nats_binary", "running_system", "tree"]

MOCK_AT_ONCE: Final = {
    "pipeline_name": "bench",
    "engine": "mock",
    "parameters": {"mock": {"min_duration": 0, "max_duration": 0, "success_rate": 1}},
}
"""A submission that costs the engine nothing."""
DEADLINE_S: Final = 180.0
"""Of every wait for something in the system, besides `EVENT_S` for each event that must be read."""
EVENT_S: Final = 0.5e-3
GENERATOR: Final = "the load generator"
POLL_S: Final = 0.01
WAIT_S: Final = 30
"""Of one long-poll."""


@contextmanager
def running_system(root: Path, **settings: str) -> Generator[System]:
    """Start the whole system below `root` and end it after use; an error is reported with the end of every log."""
    with processes.running_system(root, **settings) as system:
        try:
            yield system
        except BaseException as error:
            for service in system.services.values():
                error.add_note(f"--- {service.name}\n{service.tail(10)}")
            raise


def nats_binary() -> str:
    """Return the path of nats-server."""
    found = shutil.which("nats-server", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    assert found, "nats-server is missing: install the group `local`"
    return found


async def settle(client: Client, job_id: str) -> str:
    """Wait until a job is over; return the type of its last event."""
    after, done, last = 0, False, ""
    while not done:
        page = await client.call("GET", f"/jobs/{job_id}/events?after={after}&wait={WAIT_S}")
        after, done = page["next_after"], page["done"]
        last = page["events"][-1]["type"] if page["events"] else last
    return last


async def await_index(system: System, cluster: Cluster, seq: int, jobs: int) -> None:
    """Wait until the projector folded `seq` in and the gateway lists at least `jobs` jobs."""
    await await_checkpoint(cluster, seq)

    async def lists_all() -> bool:
        return system.is_ready() and system.get("/jobs?limit=1")[1]["total"] >= jobs

    await until(lists_all, f"the gateway lists {jobs} jobs", deadline_s=DEADLINE_S + EVENT_S * seq)


async def await_checkpoint(cluster: Cluster, seq: int) -> None:
    """Wait until the projector folded `seq` in."""

    async def is_there() -> bool:
        return await cluster.jobs.checkpoint() >= seq

    await until(is_there, f"the projector reaches {seq}", deadline_s=DEADLINE_S + EVENT_S * seq)


async def is_listening(port: int) -> bool:
    """Return whether a process accepts connections on a port of this machine."""
    try:
        stream = await anyio.connect_tcp("127.0.0.1", port)
    except OSError:
        return False
    await stream.aclose()
    return True


async def until(condition: Callable[[], Awaitable[bool]], what: str, *, deadline_s: float = DEADLINE_S) -> None:
    """Return when `condition` of another process holds.

    Raises:
        TimeoutError: it did not within the deadline.

    """
    with anyio.move_on_after(deadline_s):
        while not await condition():  # noqa: ASYNC110  # nobody wakes us: it is another process' condition
            await anyio.sleep(POLL_S)
        return
    raise TimeoutError(f"not within {deadline_s:.0f} s: {what}")


@asynccontextmanager
async def connected(system: System) -> AsyncGenerator[Cluster]:
    """Connect to the log of `system`, beside its services."""
    async with connect(NatsSettings(url=system.nats_url, name="bench")) as cluster:
        yield cluster


class Meter:
    """Measures the processor time of every process of a system, and of this one, from now on.

    On a shared machine this is more reliable than rates: it hardly depends on other work.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._before = self._read()

    def figures(self, what: str, count: int) -> tuple[Figure, ...]:
        """Return the milliseconds that each process took for one of `count`."""
        after = self._read()
        spent = {name: (seconds - self._before.get(name, 0.0)) / count * 1e3 for name, seconds in after.items()}
        figures = [
            Figure(name=f"processor time of {name} {what}", value=spent_ms, unit="ms", count=count)
            for name, spent_ms in spent.items()
        ]
        total = sum(spent.values())
        return (*figures, Figure(name=f"processor time in all {what}", value=total, unit="ms", count=count))

    def spent_s(self) -> float:
        """Return the processor time that the system took, without this process."""
        after = self._read()
        return sum(seconds - self._before.get(name, 0.0) for name, seconds in after.items() if name != GENERATOR)

    def _read(self) -> dict[str, float]:
        running = {
            name: service.process.pid
            for name, service in self._system.services.items()
            if service.process is not None and service.process.poll() is None
        }
        return {
            **{name: sum(map(processor_s, tree([pid]))) for name, pid in running.items()},
            GENERATOR: processor_s(os.getpid()),
        }


def processor_s(pid: int) -> float:
    """Return the processor time of a process so far; 0 of one that ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0  # it ended meanwhile
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tree(roots: Sequence[int]) -> list[int]:
    """Return the ids of these processes and of all their descendants that run now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = list[int](), list(roots)
    while waiting:
        found.append(waiting.pop())
        waiting.extend(children.get(found[-1], []))
    return found
