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


async def test_a_finished_run_is_made_again_where_it_is_requested(harness: EngineHarness) -> None:
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


OPTIONS = """
    configfile: "config/own.yaml"
    envvars: "MODE"
    scattergather: split=2
    onsuccess: shell("touch hook")
    rule all:
        input: gather.split("{scatteritem}.txt"), "note.txt"
    rule part:
        output: "{scatteritem}.txt"
        threads: 8
        resources: mem="1MB"
        shell: "echo {threads} {resources.mem_mb} > {output}"
    rule note:
        input: "old.txt"
        output: "note.txt"
        shell: "echo $MODE {config[title]} {config[from]} {config[number]} > {output}"
"""


async def test_configuration_variables_scatter_and_threads_are_obeyed(harness: EngineHarness) -> None:
    harness.write(
        {
            "config/own.yaml": "title: own\nfrom: own\nnumber: 0\n",
            "config/a.yaml": "title: a\nfrom: a\n",
            "config/b.yaml": "from: b\n",
            "old.txt": "",
        }
    )
    chosen = {
        "configfile": "config/a.yaml config/b.yaml",
        "config": "number=07",
        "env": "MODE='very fast'",
        "set-scatter": "split=3",
        "max-threads": "2",
        "set-resources": "part:mem=3MB",
        "set-resource-scopes": "mem_mb=local",
        "no-hooks": None,
        "strict-dag-evaluation": "cyclic-graph functions periodic-wildcards",
        "consider-ancient": "note=0",
        "wait-for-files": "old.txt",
        "scheduler-subsample": "10",
        "trust-io-cache": None,
        "benchmark-extended": None,
    }
    await harness.succeed(OPTIONS, cores=4, engine_parameters=chosen)
    assert (harness.work / "note.txt").read_text() == "very fast a b 7\n"
    assert (harness.work / "2-of-3.txt").read_text() == "2 3\n"
    assert not (harness.work / "hook").exists()


async def test_parameters_go_over_configuration_that_is_given_as_an_option(harness: EngineHarness) -> None:
    harness.write({"config/own.yaml": "title: own\nfrom: own\nnumber: 0\n", "old.txt": ""})
    chosen = {"config": "title=option from=option", "env": "MODE=x", "targets": "note.txt"}
    await harness.succeed(OPTIONS, {"title": "parameter"}, engine_parameters=chosen)
    assert (harness.work / "note.txt").read_text() == "x parameter option 0\n"


async def test_a_part_of_the_inputs_and_the_rules_that_are_allowed(harness: EngineHarness) -> None:
    harness.write({"config/own.yaml": "title: own\nfrom: own\nnumber: 0\n", "old.txt": ""})
    chosen = {"batch": "all=1/3", "allowed-rules": "all part", "env": "MODE=x", "all-temp": "false"}
    await harness.succeed(OPTIONS, engine_parameters=chosen)
    assert (harness.work / "1-of-2.txt").exists()
    assert not (harness.work / "note.txt").exists()


async def test_what_a_failed_job_wrote_is_kept_where_that_is_chosen(harness: EngineHarness) -> None:
    snakefile = """
        rule all:
            output: "a.txt"
            shell: "echo half > {output}; false"
    """
    await harness.fail(snakefile)
    assert not (harness.work / "a.txt").exists()
    await harness.fail(snakefile, engine_parameters={"keep-incomplete": None, "drop-metadata": None})
    assert (harness.work / "a.txt").read_text() == "half\n"
