"""What tasks use, for every kind of rule, and beside Snakemake's own benchmark."""

import csv

import anyio
import pytest
from tests.runner.snakemake.engine_harness import EngineHarness, until

from penstock_schemas.commands import OutcomeKind
from penstock_schemas.measurements import MeasuredResources
from penstock_schemas.views import Task, TaskState

pytestmark = pytest.mark.system

MIB = 1 << 20
WORK = "import time; x = bytearray(150 << 20); end = time.monotonic() + 1.0\nwhile time.monotonic() < end: pass\n"
"""Holds 150 MiB, and is busy for a second."""


def measured(harness: EngineHarness, rule: str) -> MeasuredResources:
    [task] = harness.emitted.of_rule(rule)
    assert task.measured is not None
    return task.measured


def processor_s(used: MeasuredResources) -> float:
    return (used.user_s or 0.0) + (used.system_s or 0.0)


async def test_tasks_of_every_kind_are_measured(harness: EngineHarness) -> None:
    harness.write({"work.py": WORK, "s.py": WORK + "open(snakemake.output[0], 'w').close()\n"})
    outcome = await harness.succeed(
        """
        rule all:
            input: "command", "script", "run"
        rule command:
            output: "command"
            resources: mem_mb=300
            shell: "python3 work.py; head -c 2000000 /dev/zero > {output}; sync {output}"
        rule script:
            output: "script"
            script: "s.py"
        rule run:
            output: "run"
            run:
                exec(open("work.py").read())
                open(output[0], "w").close()
        """,
        cores=3,
    )
    for rule in ("command", "script", "run"):
        used = measured(harness, rule)
        assert 150 * MIB < (used.peak_memory_bytes or 0) < 1000 * MIB, (rule, used)
        assert 0.05 < processor_s(used) < 30, (rule, used)
    [task] = harness.emitted.of_rule("command")
    assert task.resources["mem_mb"] == 300
    [none] = harness.emitted.of_rule("all")
    assert none.measured is None
    assert outcome.measured is not None
    assert (outcome.measured.peak_memory_bytes or 0) > 300 * MIB, "they ran at the same time"
    assert processor_s(outcome.measured) > sum(processor_s(measured(harness, rule)) for rule in ("command", "run"))


async def test_the_figures_agree_with_the_benchmark_of_snakemake(harness: EngineHarness) -> None:
    harness.write({"work.py": WORK})
    await harness.succeed(
        """
        rule a:
            output: "a.txt"
            benchmark: "a.tsv"
            shell: "python3 work.py; touch {output}"
        """
    )
    [row] = csv.DictReader((harness.work / "a.tsv").read_text().splitlines(), delimiter="\t")
    used = measured(harness, "a")
    assert used.peak_memory_bytes is not None
    assert 0.5 < used.peak_memory_bytes / (float(row["max_rss"]) * MIB) < 2, (used, row)
    assert 0.3 < (processor_s(used) + 0.2) / (float(row["cpu_time"]) + 0.2) < 3, (used, row)


async def test_what_was_killed_or_failed_is_measured(harness: EngineHarness) -> None:
    harness.write(
        {"work.py": WORK + "open('ready', 'w').close()\ntime.sleep(60)\n", "bad.py": WORK + "raise SystemExit(3)"}
    )
    await harness.fail('rule bad:\n    output: "o"\n    shell: "python3 bad.py"\n')
    assert (measured(harness, "bad").peak_memory_bytes or 0) > 150 * MIB

    async with anyio.create_task_group() as group:

        async def run() -> None:
            outcome = await harness.run('rule long:\n    output: "o"\n    shell: "python3 work.py"\n')
            assert outcome.kind is OutcomeKind.STOPPED
            assert outcome.measured is not None

        group.start_soon(run)
        await until(lambda: (harness.work / "ready").exists())
        harness.stop.set()
    [task] = harness.emitted.of_rule("long")
    assert task.state is TaskState.CANCELLED
    assert task.measured is not None
    assert (task.measured.peak_memory_bytes or 0) > 150 * MIB
    assert processor_s(task.measured) > 0.05


async def test_each_try_is_measured_alone(harness: EngineHarness) -> None:
    harness.write({"work.py": WORK})
    await harness.succeed(
        """
        rule a:
            output: "a.txt"
            retries: 1
            shell: "test -e again && touch {output} || {{ touch again; python3 work.py; exit 1; }}"
        """
    )
    tasks: dict[int, Task] = {task.try_number: task for task in harness.emitted.of_rule("a")}
    assert tasks[1].measured is not None
    assert (tasks[1].measured.peak_memory_bytes or 0) > 150 * MIB
    assert tasks[2].measured is not None
    assert processor_s(tasks[2].measured) < processor_s(tasks[1].measured)
