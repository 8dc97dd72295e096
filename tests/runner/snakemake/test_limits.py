"""What a workflow can do to the engine: print without end, write rubbish, request too much."""

import resource
from pathlib import Path

import anyio
import pytest
from tests.runner.snakemake.engine_harness import EngineHarness, until

from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_execution.logs.log_follower import TASK_LIVE_BYTES
from penstock_schemas.jobs import FailureCause
from penstock_schemas.views import LogStream, TaskState

pytestmark = pytest.mark.system


async def test_a_flood_of_output_is_whole_on_disk_and_bounded_live(harness: EngineHarness) -> None:
    size = 40 * 1024 * 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await harness.succeed(
        f"""
        rule flood:
            output: "x"
            shell: "head -c {size} /dev/zero | tr '\\\\0' '\\\\n'; touch {{output}}"
        """
    )
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 16 * 1024
    live = harness.emitted.log(LogStream.STDOUT, "flood")
    assert len(live) < TASK_LIVE_BYTES + 1024
    assert live.splitlines()[-1].startswith("[what this stream has beyond 1,048,576 bytes is left out of the live log")
    (log,) = {change.stdout for change in harness.emitted.changes if change.stdout}
    assert (harness.logs / log).stat().st_size == size


async def test_output_is_shown_while_the_task_runs(harness: EngineHarness) -> None:
    async with anyio.create_task_group() as tasks:
        harness.write(
            {
                "Snakefile": """
                    rule r:
                        output: "x"
                        shell: "echo first; while [ ! -e go ]; do sleep 0.05; done; touch {output}"
                """
            }
        )
        tasks.start_soon(harness.run)
        await until(lambda: "first" in harness.emitted.log(LogStream.STDOUT))
        assert harness.emitted.states("r")[-1] is TaskState.RUNNING
        (harness.work / "go").touch()


async def test_rubbish_on_the_events_descriptor_is_no_success(harness: EngineHarness) -> None:
    failure = await harness.fail(
        """
        import os, stat
        for fd in range(3, 64):
            try:
                if stat.S_ISFIFO(os.fstat(fd).st_mode): os.write(fd, b"rubbish" * 10)
            except OSError:
                pass
        rule r:
            output: "x"
            shell: "touch {output}"
        """
    )
    assert failure.cause is FailureCause.WORKFLOW
    assert failure.message.startswith("the workflow sent an invalid event: ")


async def test_parameters_and_graphs_may_be_large(harness: EngineHarness) -> None:
    names = [f"sample-{number:04d}-{'x' * 100}" for number in range(3000)]
    outcome = await harness.succeed(
        """
        rule all:
            input: "count.txt"
        rule count:
            output: "count.txt"
            run:
                open(output[0], "w").write(str(len(config["names"])))
        """,
        parameters={"names": names},
    )
    assert (harness.work / "count.txt").read_text() == "3000"
    assert outcome.outputs == ("count.txt",)


async def test_resource_limits_hold_for_an_attempt(tmp_path: Path) -> None:
    async with SnakemakeEngine(limits={"RLIMIT_NOFILE": 123}) as engine:
        harness = EngineHarness(engine, tmp_path)
        await harness.succeed('rule r:\n    output: "x"\n    shell: "ulimit -n > {output}"\n')
        assert (harness.work / "x").read_text() == "123\n"


async def test_attempts_run_beside_one_another(engine: SnakemakeEngine, tmp_path: Path) -> None:
    labs: list[EngineHarness] = []
    for number in range(4):
        root = tmp_path / str(number)
        root.mkdir()
        labs.append(EngineHarness(engine, root))
    async with anyio.create_task_group() as tasks:
        for harness in labs:
            harness.write(
                {
                    "Snakefile": """
                        rule all:
                            input: expand("out/{i}", i=range(3))
                        rule r:
                            output: "out/{i}"
                            shell: "pwd > {output}"
                    """
                }
            )
            tasks.start_soon(harness.succeed)
    for harness in labs:
        assert (harness.work / "out/2").read_text().strip() == str(harness.work)


async def test_a_missing_snakemake_is_reported_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "snakemake"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('broken')\n")
    from penstock_execution.engine import EngineFault

    with pytest.raises(EngineFault, match="is the extra `snakemake` installed"):
        async with SnakemakeEngine(extra_environment={"PYTHONPATH": str(tmp_path)}):
            pass
