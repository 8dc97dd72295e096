"""However an attempt ends, by an order or because something was killed, nothing of it is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent

import anyio
import pytest
from tests.runner.snakemake.engine_harness import EngineHarness, until

from penstock_domain.lease import KILL_S
from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_execution.engine import EngineFault, Outcome
from penstock_execution.processes.orphan_processes import sweep
from penstock_execution.processes.process_tree import children_of, descendants_of, kill, live_among
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.views import TaskState

pytestmark = pytest.mark.system

STUBBORN = """
    rule all:
        input: "one", "two", "three"
    rule polite:
        output: "one"
        shell: "trap 'touch tidied; exit 1' TERM; touch started.one; sleep 600; touch {output}"
    rule stubborn:
        output: "two"
        shell: "trap '' TERM INT HUP; touch started.two; sleep 600; sleep 600; touch {output}"
    rule daemon:
        output: "three"
        shell: "env -i setsid bash -c 'trap \\"\\" TERM; touch started.three; sleep 600; sleep 600' & sleep 600"
"""
"""Jobs that ignore signals, that leave their session and that hide their environment."""

STOP_DEADLINE_S = 2.0


def has_started(harness: EngineHarness) -> bool:
    return all((harness.work / f"started.{name}").exists() for name in ("one", "two", "three"))


@asynccontextmanager
async def running(harness: EngineHarness, snakefile: str = STUBBORN) -> AsyncGenerator[list[Outcome | Exception]]:
    """Run a workflow beside the test; the list gets how it ended."""
    ended: list[Outcome | Exception] = []
    has_ended = anyio.Event()

    async def run() -> None:
        try:
            ended.append(await harness.run(snakefile, cores=3))
        except EngineFault as error:
            ended.append(error)
        has_ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await until(lambda: has_started(harness))
        assert harness.processes()
        yield ended
        with anyio.fail_after(30):
            await has_ended.wait()


async def test_stop_ends_everything_in_time(harness: EngineHarness) -> None:
    async with running(harness) as ended:
        began = time.monotonic()
        harness.stop.set()
    assert time.monotonic() - began < STOP_DEADLINE_S
    assert not harness.processes()
    assert (harness.work / "tidied").exists()
    (outcome,) = ended
    assert isinstance(outcome, Outcome)
    assert outcome.kind is OutcomeKind.STOPPED
    assert not harness.open_tasks()
    assert harness.emitted.states("polite")[-1] is TaskState.CANCELLED


async def test_stop_while_the_snakefile_hangs(harness: EngineHarness) -> None:
    async with running(
        harness,
        """
        import signal, pathlib, time
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        for name in ("one", "two", "three"): pathlib.Path(f"started.{name}").touch()
        time.sleep(600)
        """,
    ) as ended:
        began = time.monotonic()
        harness.stop.set()
    assert time.monotonic() - began < STOP_DEADLINE_S
    assert not harness.processes()
    assert isinstance(ended[0], Outcome)
    assert ended[0].kind is OutcomeKind.STOPPED


async def test_stop_before_the_start(harness: EngineHarness) -> None:
    harness.write({"Snakefile": STUBBORN})
    outcomes: list[Outcome] = []
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            outcomes.append(await harness.run())

        tasks.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        harness.stop.set()
    assert outcomes[0].kind is OutcomeKind.STOPPED
    assert not harness.processes()


async def test_a_run_that_ended_before_the_stop_arrived_has_succeeded(harness: EngineHarness) -> None:
    outcome = await harness.run('rule r:\n    output: "x"\n    shell: "touch x"\n')
    harness.stop.set()
    assert outcome.kind is OutcomeKind.SUCCEEDED


async def test_cancelling_the_caller_kills_at_once(harness: EngineHarness) -> None:
    harness.write({"Snakefile": STUBBORN})
    began = [0.0]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: harness.run(cores=3))
        await until(lambda: has_started(harness))
        began[0] = time.monotonic()
        tasks.cancel_scope.cancel()
    assert time.monotonic() - began[0] < 1.0
    assert not harness.processes()


async def test_what_a_workflow_leaves_running_is_ended_with_it(harness: EngineHarness) -> None:
    await harness.succeed(
        """
        rule r:
            output: "x"
            shell: "setsid sleep 600 & (env -i setsid bash -c 'trap \\"\\" TERM; sleep 600' &) ; touch {output}"
        """
    )
    assert not harness.processes()


def attempt_of(harness: EngineHarness) -> int:
    """The process that runs Snakemake: the one that keeps the attempt's events open and works in the work directory."""
    assert harness.engine.zygote_pid is not None
    mine = set(harness.processes())
    (attempt,) = (
        pid for supervisor in children_of(harness.engine.zygote_pid) for pid in children_of(supervisor) if pid in mine
    )
    return attempt


async def test_a_killed_attempt_is_a_fault_of_the_system(harness: EngineHarness) -> None:
    async with running(harness) as ended:
        os.kill(attempt_of(harness), signal.SIGKILL)
    assert isinstance(ended[0], EngineFault)
    assert "SIGKILL" in str(ended[0])
    assert not harness.processes()


async def test_a_killed_supervisor_takes_everything_along(harness: EngineHarness) -> None:
    async with running(harness) as ended:
        assert harness.engine.zygote_pid is not None
        attempt = attempt_of(harness)
        (supervisor,) = (pid for pid in children_of(harness.engine.zygote_pid) if attempt in children_of(pid))
        os.kill(supervisor, signal.SIGKILL)
    assert isinstance(ended[0], EngineFault)
    await until(lambda: not harness.processes(), 3)
    assert not harness.open_tasks()


async def test_a_killed_zygote_costs_no_run_and_is_replaced(tmp_path: Path) -> None:
    async with SnakemakeEngine() as engine:
        harness = EngineHarness(engine, tmp_path)
        first = engine.zygote_pid
        assert first is not None
        async with running(harness) as ended:
            os.kill(first, signal.SIGKILL)
            await until(lambda: engine.zygote_pid is None)
            assert not ended
            harness.stop.set()
        assert isinstance(ended[0], Outcome)
        assert ended[0].kind is OutcomeKind.STOPPED
        assert not harness.processes()
        await harness.succeed('rule r:\n    output: "x"\n    shell: "touch x"\n')
        assert engine.zygote_pid not in (None, first)


async def test_leaving_the_engine_ends_what_runs(tmp_path: Path) -> None:
    harness: EngineHarness | None = None
    zygote = 0
    with pytest.raises(ExceptionGroup) as raised:  # noqa: PT012 - what is left at the end of the engine is the point
        async with SnakemakeEngine() as engine:
            harness = EngineHarness(engine, tmp_path)
            zygote = engine.zygote_pid or 0
            async with running(harness):
                raise RuntimeError("the runner fails")
    assert raised.group_contains(RuntimeError)
    assert harness is not None
    assert not harness.processes()
    assert not is_alive(zygote)


RUNNER = """
    import anyio, os, sys, time
    from pathlib import Path
    from penstock_execution.engine import Attempt
    from penstock_execution.local_workspace import LocalWorkspace
    from penstock_engines.snakemake.engine import SnakemakeEngine

    async def main():
        root = Path(sys.argv[1])
        async with SnakemakeEngine() as engine:
            print(engine.zygote_pid, flush=True)
            engine.extend_lease(lambda: float(sys.argv[2]))
            attempt = Attempt(job_id="j", tenant="t", attempt=1, pipeline_name="p", parameters={}, cores=3,
                              workspace=LocalWorkspace(root / "work", root))
            await engine.run(attempt, lambda event: None, anyio.Event())

    anyio.run(main)
"""
"""A separate runner, to be killed."""


def start_runner(harness: EngineHarness, lease_s: float) -> subprocess.Popen[str]:
    environment = os.environ | {"PENSTOCK_RUNNER_ID": harness.root.name}
    command = [sys.executable, "-c", dedent(RUNNER), str(harness.root), str(lease_s)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd="/")


@asynccontextmanager
async def runner(
    harness: EngineHarness, *, lease_s: float = 600.0
) -> AsyncGenerator[tuple[subprocess.Popen[str], int]]:
    """Yield a runner's process in the middle of a run, and the id of its zygote."""
    process = start_runner(harness, lease_s)
    assert process.stdout is not None
    try:
        zygote = int(process.stdout.readline())
        await until(lambda: has_started(harness))
        yield process, zygote
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_a_killed_runner_leaves_nothing(harness: EngineHarness) -> None:
    harness.write({"Snakefile": STUBBORN})
    async with runner(harness) as (process, zygote):
        family = descendants_of({process.pid})
        assert len(family) > 8
        process.kill()
        await until(lambda: not harness.processes() and not is_alive(zygote), 5)
        await until(lambda: not any(is_alive(pid) for pid in family), 5)


async def test_a_runner_killed_with_its_zygote_leaves_nothing(harness: EngineHarness) -> None:
    harness.write({"Snakefile": STUBBORN})
    async with runner(harness) as (process, zygote):
        os.kill(zygote, signal.SIGKILL)
        process.kill()
        await until(lambda: not harness.processes(), 5)


async def test_a_successor_sweeps_up_even_when_runner_zygote_and_supervisor_are_killed(harness: EngineHarness) -> None:
    harness.write({"Snakefile": STUBBORN.replace("env -i ", "")})
    async with runner(harness) as (process, zygote):
        supervisors = children_of(zygote)
        for pid in (zygote, process.pid, *supervisors):
            os.kill(pid, signal.SIGKILL)
        process.wait()
        sweep(harness.root.name)
        await until(lambda: not [pid for pid in harness.processes() if not _is_hidden(pid)], 5)
        for pid in harness.processes():
            os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _is_hidden(pid: int) -> bool:
    """Whether a process has thrown its environment away, and with it the marker."""
    try:
        return b"PENSTOCK" not in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return True


def test_sweep_spares_others_and_itself() -> None:
    marked = subprocess.Popen(["sleep", "600"], env=os.environ | {"PENSTOCK_RUNNER_ID": "sweep-test-1"})
    other = subprocess.Popen(["sleep", "600"], env=os.environ | {"PENSTOCK_RUNNER_ID": "sweep-test-11"})
    try:
        assert sweep("sweep-test-1") == 1
        assert marked.wait(5) == -signal.SIGKILL
        assert other.poll() is None
        assert sweep("sweep-test-1") == 0
    finally:
        for process in (marked, other):
            process.kill()
            process.wait()


CHAIN = """
    rule all:
        input: "c"
    rule a:
        output: "a"
        shell: "echo ran >> a.count; touch {output}"
    rule b:
        input: "a"
        output: "b"
        shell:
            '''
            echo ran >> b.count
            echo half > {output}
            if [ ! -e go ]; then touch started.{{one,two,three}}; sleep 600; fi
            echo whole > {output}
            '''
    rule c:
        input: "b"
        output: "c"
        shell: "cat {input} > {output}"
"""


async def test_a_killed_run_is_resumed_where_it_was(harness: EngineHarness) -> None:
    async with running(harness, CHAIN) as ended:
        os.kill(attempt_of(harness), signal.SIGKILL)
    assert isinstance(ended[0], EngineFault)
    assert (harness.work / "b").read_text() == "half\n"
    (harness.work / "go").touch()
    outcome = await harness.succeed(CHAIN, resume=True)
    assert (harness.work / "a.count").read_text() == "ran\n"
    assert (harness.work / "b.count").read_text() == "ran\n" * 2
    assert (harness.work / "c").read_text() == "whole\n"
    assert outcome.outputs == ("a", "b", "c")
    assert outcome.tasks.total == 3


def watchdogs_of(supervisors: list[int], harness: EngineHarness) -> list[int]:
    return [pid for supervisor in supervisors for pid in children_of(supervisor) if pid not in harness.processes()]


@pytest.mark.parametrize(
    "stopped", ["runner", "runner and zygote", "runner, zygote and supervisors", "all but the supervisors"]
)
async def test_the_lease_ends_all_work_regardless_of_what_is_stopped(harness: EngineHarness, stopped: str) -> None:
    harness.write({"Snakefile": STUBBORN})
    lease_s = 6.0
    async with runner(harness, lease_s=lease_s) as (process, zygote):
        began = time.monotonic()
        supervisors = children_of(zygote)
        frozen = {
            "runner": [process.pid],
            "runner and zygote": [process.pid, zygote],
            "runner, zygote and supervisors": [process.pid, zygote, *supervisors],
            "all but the supervisors": [process.pid, zygote, *watchdogs_of(supervisors, harness)],
        }[stopped]
        try:
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            # Before a scheduler that received nothing since may give the work to another runner.
            await until(lambda: not live_among(set(harness.processes())), began + lease_s + KILL_S - time.monotonic())
            assert process.poll() is None
        finally:
            for pid in frozen[1:]:
                kill(pid, signal.SIGCONT)
    await until(lambda: not any(is_alive(pid) for pid in (zygote, *supervisors)), 10)


async def test_a_killed_watchdog_is_replaced(harness: EngineHarness) -> None:
    harness.write({"Snakefile": STUBBORN})
    async with runner(harness) as (_, zygote):
        supervisors = children_of(zygote)
        [first] = watchdogs_of(supervisors, harness)
        os.kill(first, signal.SIGKILL)
        await until(lambda: (found := watchdogs_of(supervisors, harness)) and found != [first])
