"""What a submission chose of Snakemake's own settings is obeyed."""

import pytest
from tests.runner.snakemake.engine_harness import EngineHarness

from penstock_schemas.commands import OutcomeKind
from penstock_schemas.jobs import FailureCause

pytestmark = pytest.mark.system

CHAIN = """
    rule all:
        input: "b.txt", "bad.txt"
    rule a:
        output: "a.txt"
        threads: 4
        resources: mem_mb=3
        shell: "echo {threads} {resources.mem_mb} > {output}"
    rule b:
        input: "a.txt"
        output: "b.txt"
        shell: "cp {input} {output}"
    rule bad:
        output: "bad.txt"
        shell: "echo try >> tries; false"
"""


async def test_the_targets_the_threads_and_the_resources_are_obeyed(harness: EngineHarness) -> None:
    chosen = {"targets": "b.txt", "set-threads": "a=2", "set-resources": "a:mem_mb=7", "--cores": "2"}
    outcome = await harness.succeed(CHAIN, cores=4, engine_parameters=chosen)
    assert outcome.outputs == ("a.txt", "b.txt")
    assert (harness.work / "a.txt").read_text() == "2 7\n"


async def test_a_run_has_never_more_cores_than_its_slot(harness: EngineHarness) -> None:
    chosen = {"targets": "b", "cores": "64", "default-resources": "disk_mb=5"}
    await harness.succeed(CHAIN, cores=1, engine_parameters=chosen)
    assert (harness.work / "a.txt").read_text() == "1 3\n"
    assert [task.resources["disk_mb"] for task in harness.emitted.tasks.values()] == [5, 5]


async def test_others_go_on_after_a_failure_and_it_is_tried_again(harness: EngineHarness) -> None:
    outcome = await harness.run(CHAIN, engine_parameters={"keep-going": None, "retries": "2", "prioritize": "bad"})
    assert outcome.kind is OutcomeKind.FAILED
    assert (harness.work / "b.txt").exists()
    assert (harness.work / "tries").read_text() == "try\n" * 3


async def test_a_finished_run_is_made_anew_where_it_is_asked_for(harness: EngineHarness) -> None:
    await harness.succeed(CHAIN, engine_parameters={"until": "a"})
    await harness.succeed(CHAIN, engine_parameters={"targets": "b.txt"})
    assert not harness.emitted.of_rule("a")
    await harness.succeed(CHAIN, engine_parameters={"targets": "b.txt", "forcerun": "a", "rerun-triggers": "mtime"})
    assert harness.emitted.of_rule("a")
    assert harness.emitted.of_rule("b")


async def test_what_is_not_listed_never_reaches_snakemake(harness: EngineHarness) -> None:
    failure = await harness.fail(CHAIN, engine_parameters={"profile": "/tmp/evil"})
    assert failure.cause is FailureCause.WORKFLOW
    assert "profile" in failure.message
    assert not (harness.work / ".snakemake").exists()
