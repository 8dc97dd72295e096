"""What rules request is enforced where that is chosen: with real processes, and hostile ones."""

import os

import pytest
from tests.runner.snakemake.engine_harness import EngineHarness

from penstock_engines.snakemake.parameters import ENFORCEABLE, enforced_resources

pytestmark = pytest.mark.system

QUICK = """
    from penstock_engines.snakemake.attempt_process.tasks import task_limits
    task_limits.SECONDS_PER_MINUTE = 1.0
    task_limits.RUNTIME_GRACE_S = 0.5
    task_limits.DISK_LOOK_S = 0.1
"""
"""The Snakefile's own code shortens a minute, in the attempt's process, so that tests are quick."""
ENFORCED = {"enforce-resources": "all"}


async def test_a_task_that_runs_too_long_is_ended_with_that_reason_though_it_ignores_sigterm(
    harness: EngineHarness,
) -> None:
    snakefile = f"""{QUICK}
    rule slow:
        output: "slow.txt"
        resources: runtime=1
        shell: "trap '' TERM; touch begun; while :; do sleep 60; done"
    """
    failure = await harness.fail(snakefile, engine_parameters=ENFORCED)
    reason = "it ran longer than its rule requests (runtime=1: 1 minute) and was ended"
    assert reason in failure.message
    (task,) = harness.emitted.of_rule("slow")
    assert reason in (task.message or "")
    assert (harness.work / "begun").exists()
    assert not harness.processes()


async def test_nothing_of_a_task_that_was_ended_runs_beside_its_next_try(harness: EngineHarness) -> None:
    snakefile = f"""{QUICK}
    rule scattering:
        output: "left.txt"
        retries: 1
        resources:
            runtime=lambda wildcards, attempt: 1 if attempt == 1 else 1000,
            number=lambda wildcards, attempt: attempt
        shell:
            '''
            if [ {{resources.number}} = 2 ]; then
                for pid in $(cat pids); do kill -0 $pid 2>/dev/null && echo $pid; done > left.txt || true
                exit 0
            fi
            for i in $(seq 40); do (setsid sh -c 'echo $$ >> pids; exec sleep 300' &); done
            trap '' TERM
            while :; do sleep 300; done
            '''
    """
    await harness.succeed(snakefile, engine_parameters=ENFORCED)
    assert len((harness.work / "pids").read_text().split()) == 40
    assert (harness.work / "left.txt").read_text() == ""


async def test_memory_of_children_counts_and_a_retry_with_more_ends_well(harness: EngineHarness) -> None:
    snakefile = f"""{QUICK}
    rule hungry:
        output: "hungry.txt"
        retries: 2
        resources: mem_mb=lambda wildcards, attempt: attempt * 100
        shell:
            '''
            for i in 1 2; do python3 -c 'import time; taken = bytearray(70_000_000); time.sleep(2)' & done
            wait
            echo {{resources.mem_mb}} >> hungry.txt
            '''
    """
    await harness.succeed(snakefile, engine_parameters={"enforce-resources": "mem_mb"})
    assert (harness.work / "hungry.txt").read_text() == "200\n"


async def test_a_task_that_takes_too_much_memory_fails_with_the_amount(harness: EngineHarness) -> None:
    snakefile = f"""{QUICK}
    rule hungry:
        output: "hungry.txt"
        resources: mem_mb=60
        run:
            taken = bytearray(200_000_000)
            import time
            time.sleep(300)
    """
    failure = await harness.fail(snakefile, engine_parameters=ENFORCED)
    assert "its rule requests mem_mb=60" in failure.message


async def test_a_task_that_writes_too_much_is_ended_also_for_a_file_that_no_rule_declares(
    harness: EngineHarness,
) -> None:
    snakefile = f"""{QUICK}
    rule writer:
        output: "writer.txt"
        resources: disk_mb=5
        shell: "exec 3> undeclared; while :; do head -c 1000000 /dev/urandom >&3; sleep 0.05; done"
    """
    failure = await harness.fail(snakefile, engine_parameters={"enforce-resources": "disk_mb"})
    assert "its rule requests disk_mb=5" in failure.message
    assert (harness.work / "undeclared").stat().st_size < 200_000_000


async def test_outputs_beyond_the_request_fail_a_task_that_was_too_quick_to_be_measured(harness: EngineHarness) -> None:
    snakefile = """
    rule writer:
        output: directory("many")
        resources: disk_mb=1
        shell: "mkdir many; head -c 3000000 /dev/urandom > many/a"
    """
    failure = await harness.fail(snakefile, engine_parameters=ENFORCED)
    assert "it wrote 3 MB, its rule requests disk_mb=1" in failure.message


async def test_a_task_runs_on_as_many_processors_as_it_has_threads(harness: EngineHarness) -> None:
    count = "import os; print(len(os.sched_getaffinity(0)))"
    snakefile = f"""
    rule all:
        input: "shell.txt", "run.txt"
    rule shell:
        output: "shell.txt"
        shell: "python3 -c '{count}' > {{output}}"
    rule run:
        output: "run.txt"
        run:
            import os
            with open(output[0], "w") as file:
                print(len(os.sched_getaffinity(0)), file=file)
    """
    await harness.succeed(snakefile, cores=4, engine_parameters={"enforce-resources": "threads"})
    assert (harness.work / "shell.txt").read_text() == (harness.work / "run.txt").read_text() == "1\n"
    await harness.succeed(snakefile, cores=4, engine_parameters={"forceall": None})
    assert (harness.work / "shell.txt").read_text() == f"{len(os.sched_getaffinity(0))}\n"


async def test_without_the_choice_requests_are_plans_only(harness: EngineHarness) -> None:
    snakefile = f"""{QUICK}
    rule slow:
        output: "slow.txt"
        resources: runtime=1, mem_mb=1, disk_mb=1
        shell: "sleep 1.5; head -c 3000000 /dev/zero > {{output}}"
    """
    await harness.succeed(snakefile)


def test_all_represents_every_resource_and_the_operator_goes_first() -> None:
    assert enforced_resources("all") == tuple(sorted(ENFORCEABLE))
    assert enforced_resources("runtime", "threads") == ("runtime", "threads")
    assert enforced_resources() == ()
