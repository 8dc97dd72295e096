"""The runner as a separate process, on a real server: signals, crashes, outages and bad settings."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from tests.runner.runner_harness import Desk, eventually

from penstock_execution.processes.orphan_processes import find
from penstock_jetstream import NatsSettings, connect
from penstock_jetstream.adapters.blobs import open_blobs
from penstock_jetstream.server.embedded import EmbeddedServer
from penstock_runner.state_folder import StateFolder
from penstock_schemas.events import JobRequeued
from penstock_schemas.ids import DEFAULT_TENANT, JobId, RunnerId
from penstock_schemas.jobs import JobState, RequeueCause, Source, SourceKind
from penstock_schemas.views import TaskState

pytestmark = pytest.mark.system

END_S = 20.0


class RunnerProcess:
    """A runner on `url`, with a state folder that outlives it."""

    def __init__(self, url: str, folder: Path, **settings: str) -> None:
        self._environ = os.environ | {
            "PENSTOCK_NATS_URL": url,
            "PENSTOCK_BLOBS": str(folder / "blobs"),
            "PENSTOCK_STATE_DIR": str(folder / "runner"),
            "PENSTOCK_RUNNER_NAME": "test",
            "PENSTOCK_ENGINES": "mock",
            **{f"PENSTOCK_{name.upper()}": value for name, value in settings.items()},
        }
        self.log = folder / "runner.log"
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "penstock_runner"], env=self._environ, stderr=log)
        return self.process

    async def ends(self) -> int:
        """Wait for its end; return the exit code."""

        async def look() -> tuple[int] | None:
            code = self.process.poll()
            return None if code is None else (code,)

        return (await eventually(look, within_s=END_S))[0]


@asynccontextmanager
async def running(url: str, folder: Path, **settings: str) -> AsyncGenerator[RunnerProcess]:
    runner = RunnerProcess(url, folder, **settings)
    try:
        yield runner
    except BaseException:
        sys.stderr.write(runner.log.read_text())
        raise
    finally:
        if runner.process.poll() is None:
            runner.process.kill()
        runner.process.wait()


async def joined(desk: Desk, *, after: int = 0) -> tuple[int, RunnerId]:
    with anyio.fail_after(END_S):
        seq, event = await desk.joined(after=after)
        return seq, event.runner_id


async def start_job(desk: Desk, runner_id: RunnerId, duration_s: float) -> JobId:
    behaviour = {"success_rate": 1, "min_duration": duration_s, "max_duration": duration_s}
    job_id = await desk.submit(engine="mock", mock=behaviour)
    await desk.assign(job_id, runner_id)
    await desk.reaches(job_id, JobState.RUNNING, JobState.COMPLETED)
    return job_id


SLOW = """
rule all:
    input: "second.txt"

rule first:
    output: "first.txt"
    shell: "echo 1 >> {output}"

# The first attempt never gets through the gate, the second finds it open.
rule second:
    input: "first.txt"
    output: "second.txt"
    shell: "if [ -e gate ]; then cp {input} {output}; else touch gate; sleep 600; fi"
"""


async def put_source(folder: Path, snakefile: str) -> Source:
    """Keep a workflow of one file where the runner on this folder looks for it."""
    raw = json.dumps({"files": {"Snakefile": {"text": snakefile}}}).encode()
    sha256 = hashlib.sha256(raw).hexdigest()
    key = f"sources/{sha256}.json"
    await open_blobs(folder / "blobs").put_bytes(key, raw)
    return Source(kind=SourceKind.BUNDLE, location=key, sha256=sha256)


class TestSignals:
    async def test_the_first_lets_finish_what_runs(self, nats_settings: NatsSettings, tmp_path: Path) -> None:
        async with connect(nats_settings) as cluster, running(nats_settings.url, tmp_path) as runner:
            desk = Desk(cluster.log)
            _, runner_id = await joined(desk)
            job_id = await start_job(desk, runner_id, 1.0)
            runner.process.send_signal(signal.SIGTERM)
            assert await runner.ends() == 0
            assert (await desk.job(job_id)).state is JobState.COMPLETED
            assert await desk.event_types(runner_id) == ["RunnerJoined", "RunnerDraining", "RunnerLeft"]
            tasks = (await cluster.tasks.tasks(DEFAULT_TENANT, job_id)).tasks
            assert {task.state for task in tasks} == {TaskState.COMPLETED}

    @pytest.mark.parametrize(("drain_timeout_s", "signals"), [("0.2", 1), ("3600", 2)])
    async def test_what_takes_too_long_is_given_back(
        self, nats_settings: NatsSettings, tmp_path: Path, drain_timeout_s: str, signals: int
    ) -> None:
        async with (
            connect(nats_settings) as cluster,
            running(nats_settings.url, tmp_path, drain_timeout_s=drain_timeout_s) as runner,
        ):
            desk = Desk(cluster.log)
            _, runner_id = await joined(desk)
            job_id = await start_job(desk, runner_id, 600.0)
            for number in (signal.SIGTERM, signal.SIGINT)[:signals]:
                runner.process.send_signal(number)
            assert await runner.ends() == 0
            requeued = (await desk.history(job_id))[-1].event.data
            assert isinstance(requeued, JobRequeued)
            assert requeued.cause is RequeueCause.PREEMPTED
            assert (await desk.event_types(runner_id))[-1] == "RunnerLeft"
            assert runner_id not in await cluster.heartbeats.runners()


class TestCrash:
    async def test_the_successor_records_that_a_killed_runner_left(
        self, nats_settings: NatsSettings, tmp_path: Path
    ) -> None:
        async with connect(nats_settings) as cluster, running(nats_settings.url, tmp_path) as runner:
            desk = Desk(cluster.log)
            seq, first = await joined(desk)
            job_id = await start_job(desk, first, 600.0)
            runner.process.kill()
            runner.process.wait()
            runner.start()
            _, second = await joined(desk, after=seq)
            assert second != first
            assert await desk.event_types(first) == ["RunnerJoined", "RunnerLeft"]
            assert (await desk.job(job_id)).state is JobState.RUNNING, "the scheduler decides about it"
            other = await start_job(desk, second, 0.0)
            await desk.reaches(other, JobState.COMPLETED)

    async def test_what_it_left_running_is_killed_and_its_work_is_resumed(
        self, nats_settings: NatsSettings, tmp_path: Path
    ) -> None:
        async with (
            connect(nats_settings) as cluster,
            running(nats_settings.url, tmp_path, engines="snakemake") as runner,
        ):
            desk = Desk(cluster.log)
            seq, first = await joined(desk)
            job_id = await desk.submit(engine="snakemake", source=await put_source(tmp_path, SLOW))
            await desk.assign(job_id, first)
            gate = tmp_path / "runner" / "work" / job_id / "gate"

            async def is_at_work() -> bool:
                return await anyio.Path(gate).exists()

            await eventually(is_at_work, within_s=END_S)
            runner.process.kill()
            runner.process.wait()
            runner.start()
            _, second = await joined(desk, after=seq)
            assert list(find(first)) == []
            await desk.abandon(job_id, first)
            await desk.assign(job_id, second)
            job = await desk.reaches(job_id, JobState.COMPLETED, JobState.FAILED)
            assert job.failure is None
            assert (job.attempt, job.output_files) == (2, 2)
            blobs = open_blobs(tmp_path / "blobs")
            assert await blobs.get_bytes(f"jobs/{job_id}/outputs/first.txt") == b"1\n", "it was made once"


class TestOutage:
    async def test_a_server_that_comes_back_in_time_costs_nothing(self, tmp_path: Path) -> None:
        server = EmbeddedServer(tmp_path / "nats")
        await server.start()
        try:
            async with (
                connect(NatsSettings(url=server.url)) as cluster,
                running(server.url, tmp_path) as runner,
            ):
                desk = Desk(cluster.log)
                _, runner_id = await joined(desk)
                job_id = await start_job(desk, runner_id, 2.0)
                server.kill()
                await server.start()
                await desk.reaches(job_id, JobState.COMPLETED)
                assert await desk.event_types(runner_id) == ["RunnerJoined"]
                assert (await desk.types(job_id)).count("JobCompleted") == 1
                assert runner.process.poll() is None
        finally:
            await server.stop()

    async def test_a_server_that_stays_away_ends_the_lease(self, tmp_path: Path) -> None:
        server = EmbeddedServer(tmp_path / "nats")
        await server.start()
        try:
            async with (
                connect(NatsSettings(url=server.url)) as cluster,
                running(server.url, tmp_path, lease_s="2") as runner,
            ):
                desk = Desk(cluster.log)
                seq, first = await joined(desk)
                job_id = await start_job(desk, first, 600.0)
                server.kill()

                async def is_fenced() -> bool:
                    return '"event":"fenced"' in runner.log.read_text()

                await eventually(is_fenced)
                await server.start()
                _, second = await joined(desk, after=seq)
                assert (await desk.event_types(first))[-1] == "RunnerLeft"
                other = await start_job(desk, second, 0.0)
                await desk.reaches(other, JobState.COMPLETED)
                assert (await desk.types(job_id))[-1] == "AttemptStarted"
        finally:
            await server.stop()


class TestRefusals:
    async def test_wrong_settings_are_all_named(self, nats_settings: NatsSettings, tmp_path: Path) -> None:
        async with running(nats_settings.url, tmp_path, slots="none", lease_s="60") as runner:
            assert await runner.ends() == 2
            assert "PENSTOCK_SLOTS" in runner.log.read_text()
            assert "PENSTOCK_LEASE_S" in runner.log.read_text()

    async def test_an_unknown_engine_is_named(self, nats_settings: NatsSettings, tmp_path: Path) -> None:
        async with running(nats_settings.url, tmp_path, engines="mock,nextflow") as runner:
            assert await runner.ends() == 2
            assert "PENSTOCK_ENGINES holds nextflow" in runner.log.read_text()

    async def test_a_taken_folder_is_named(self, nats_settings: NatsSettings, tmp_path: Path) -> None:
        with StateFolder(tmp_path / "runner").hold():
            async with running(nats_settings.url, tmp_path) as runner:
                assert await runner.ends() == 1
                assert "another runner uses the state folder" in runner.log.read_text()
