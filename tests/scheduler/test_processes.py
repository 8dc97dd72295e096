"""Real schedulers and projectors on a real server, killed as an operating system kills."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from functools import partial
from pathlib import Path

import anyio
import pytest
from tests.scheduler.clients import Runner, eventually, projected, submit, until

from penstock_domain.chain import Stored, verify
from penstock_domain.job.evolve import fold as fold_job
from penstock_jetstream import Cluster, NatsSettings
from penstock_ports import EventLog
from penstock_scheduler.core.replay import check_decisions
from penstock_scheduler.core.state import fold
from penstock_schemas.events import JobAssigned, LeaseAcquired
from penstock_schemas.jobs import JobState
from penstock_schemas.views import Job

pytestmark = pytest.mark.system

TAKE_OVER_S = 8.0
"""4 s of silence, and what a busy machine adds."""


class Processes:
    """Services on one server, ended after the test."""

    def __init__(self, folder: Path, settings: NatsSettings) -> None:
        self._folder, self._settings = folder, settings
        self._all: list[subprocess.Popen[bytes]] = []

    def start(self, module: str, **environ: str) -> subprocess.Popen[bytes]:
        log = (self._folder / f"{len(self._all)}.log").open("wb")
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                env={**kept, "PENSTOCK_NATS_URL": self._settings.url, **environ},
                stderr=log,
            )
        self._all.append(process)
        return process

    def log(self, process: subprocess.Popen[bytes]) -> str:
        return (self._folder / f"{self._all.index(process)}.log").read_text()

    def is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        return '"ready"' in self.log(process)

    def end(self) -> None:
        for process in self._all:
            if process.poll() is None:
                process.kill()
            process.wait(10)


@pytest.fixture
def processes(tmp_path: Path, nats_settings: NatsSettings) -> Generator[Processes]:
    processes = Processes(tmp_path, nats_settings)
    yield processes
    processes.end()


async def history(log: EventLog) -> list[Stored]:
    """The whole log as it is now."""
    last_seq, stored = await log.last_seq(), list[Stored]()
    with anyio.fail_after(10):
        async for batch in log.read():
            stored += batch
            if stored[-1].seq >= last_seq:
                break
    return stored


async def jobs_of(log: EventLog) -> list[Job]:
    histories: dict[str, list[Stored]] = {}
    for stored in await history(log):
        histories.setdefault(stored.event.aggregate, []).append(stored)
    for entries in histories.values():
        verify(entries)
    return [job for entries in histories.values() if (job := fold_job(entries)) is not None]


async def completed(log: EventLog) -> bool:
    return all(job.state is JobState.COMPLETED for job in await jobs_of(log))


def is_assigned(runner: Runner, count: int) -> bool:
    return len(runner.attempts) >= count


async def leader(log: EventLog) -> str:
    lease = await log.load("scheduler.lease")
    data = lease[-1].event.data if lease else None
    return data.holder if isinstance(data, LeaseAcquired) else ""


async def test_a_standby_takes_over_from_a_killed_leader(cluster: Cluster, processes: Processes) -> None:
    schedulers = [processes.start("penstock_scheduler", PENSTOCK_SCHEDULER_NAME=name) for name in ("one", "two")]
    runner = Runner(cluster, slots=5)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run)
        await until(lambda: all(processes.is_ready(name) for name in schedulers), "ready", deadline_s=20)
        await until(lambda: any('"leading"' in processes.log(name) for name in schedulers), "one leads")
        for assigned in (40, 80):
            first = await leader(cluster.log)
            place = ("one", "two").index(first.partition("-")[0])
            for _ in range(20):
                await submit(cluster)
            schedulers[place].kill()
            killed_at = time.monotonic()
            for _ in range(20):
                await submit(cluster)
            await until(partial(is_assigned, runner, assigned), "all assigned", deadline_s=20)
            assert time.monotonic() - killed_at < TAKE_OVER_S
            assert await leader(cluster.log) != first
            schedulers[place] = processes.start("penstock_scheduler", PENSTOCK_SCHEDULER_NAME=("one", "two")[place])
            await until(partial(processes.is_ready, schedulers[place]), "started again", deadline_s=20)
        await eventually(lambda: completed(cluster.log), "completed")
        tasks.cancel_scope.cancel()
    jobs = await jobs_of(cluster.log)
    assert len(jobs) == len(runner.attempts) == len(set(runner.attempts)) == 80
    stored = await history(cluster.log)
    assert sum(isinstance(entry.event.data, JobAssigned) for entry in stored) == 80
    assert list(check_decisions(stored)) == []
    assert fold(stored).slots_used == 0


async def test_a_clean_stop_hands_over_at_once(cluster: Cluster, processes: Processes) -> None:
    first = processes.start("penstock_scheduler", PENSTOCK_SCHEDULER_NAME="one")
    await until(lambda: '"leading"' in processes.log(first), "one leads", deadline_s=20)
    second = processes.start("penstock_scheduler", PENSTOCK_SCHEDULER_NAME="two")
    await until(lambda: '"ready"' in processes.log(second), "the second is a standby", deadline_s=20)
    assert '"leading"' not in processes.log(second)
    first.terminate()
    stopped_at = time.monotonic()
    await until(lambda: '"leading"' in processes.log(second), "two leads")
    assert time.monotonic() - stopped_at < 3.0
    assert await anyio.to_thread.run_sync(first.wait, 10) == 0
    second.send_signal(signal.SIGINT)
    assert await anyio.to_thread.run_sync(second.wait, 10) == 0


async def test_killed_and_rival_projectors_leave_the_view_right(cluster: Cluster, processes: Processes) -> None:
    projectors = [processes.start("penstock_projector") for _ in range(2)]
    processes.start("penstock_scheduler")
    runner = Runner(cluster, slots=20)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run)
        for number in range(150):
            await submit(cluster)
            if number % 40 == 39:
                place = number % 2
                projectors[place].send_signal(signal.SIGKILL)
                projectors[place].wait(10)
                projectors[place] = processes.start("penstock_projector")
        await until(lambda: len(runner.attempts) == 150, "all assigned", deadline_s=30)
        await eventually(lambda: completed(cluster.log), "completed", deadline_s=30)
        await eventually(lambda: projected(cluster), "projected")
        tasks.cancel_scope.cancel()
    jobs = {job.id: job for job in await jobs_of(cluster.log)}
    assert len(jobs) == 150
    assert await cluster.jobs.get_many(list(jobs)) == jobs


async def test_wrong_settings_are_reported_all_at_once(processes: Processes) -> None:
    process = processes.start("penstock_scheduler", PENSTOCK_MAX_RUNNING_JOBS="many", PENSTOCK_SCHEDULER_NAME="a b")
    assert await anyio.to_thread.run_sync(process.wait, 20) == 2
    assert "PENSTOCK_MAX_RUNNING_JOBS is 'many'" in processes.log(process)
    assert "PENSTOCK_SCHEDULER_NAME is 'a b'" in processes.log(process)
