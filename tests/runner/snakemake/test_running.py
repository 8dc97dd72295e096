"""What a workflow that runs to its end reports, and what it leaves."""

import pytest
from tests.runner.snakemake.engine_harness import EngineHarness

from penstock_execution.engine import LogWritten
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import LogStream, TaskState

pytestmark = pytest.mark.system

SCATTER = """
    rule all:
        input: "out/sum.txt"
    rule count:
        output: "out/{sample}.txt"
        resources: mem_mb=10
        shell: "echo counting {wildcards.sample}; echo careful >&2; printf {wildcards.sample} > {output}"
    rule sum:
        input: "out/a.txt", "out/b.txt"
        output: "out/sum.txt"
        shell: "cat {input} > {output}"
"""


async def test_outcome_outputs_and_counts(harness: EngineHarness) -> None:
    outcome = await harness.succeed(SCATTER)
    assert outcome.outputs == ("out/a.txt", "out/b.txt", "out/sum.txt")
    assert outcome.tasks == TaskCounts(total=4, done=4)
    assert harness.emitted.counts[-1] == outcome.tasks
    assert (harness.work / "out/sum.txt").read_text() == "ab"


async def test_each_task_is_reported_with_its_details(harness: EngineHarness) -> None:
    await harness.succeed(SCATTER)
    assert len(harness.emitted.tasks) == 4
    assert harness.emitted.states("sum") == [TaskState.WAITING, TaskState.RUNNING, TaskState.COMPLETED]
    (task,) = (task for task in harness.emitted.of_rule("count") if task.wildcards == {"sample": "a"})
    assert task.exit_code == 0
    assert task.command is not None
    assert "printf a > out/a.txt" in task.command
    assert task.reason == "Missing output files: out/a.txt"
    assert task.resources["mem_mb"] == 10
    assert task.resources["threads"] == 1
    assert task.started_at is not None
    assert task.ended_at is not None
    (total,) = harness.emitted.of_rule("sum")
    assert set(total.depends_on) == {item.id for item in harness.emitted.of_rule("count")}


async def test_output_is_kept_per_task_and_shown_live(harness: EngineHarness) -> None:
    await harness.succeed(SCATTER)
    ended = {change.task.wildcards.get("sample"): change for change in harness.emitted.changes if change.stdout}
    stdout, stderr = ended["a"].stdout, ended["a"].stderr
    assert stdout is not None
    assert stderr is not None
    assert (harness.logs / stdout).read_text() == "counting a\n"
    assert (harness.logs / stderr).read_text() == "careful\n"
    assert stdout.startswith("tasks/")
    assert sorted(harness.emitted.log(LogStream.STDOUT, "count").splitlines()) == ["counting a", "counting b"]
    assert harness.emitted.log(LogStream.STDERR, "count") == "careful\n" * 2


async def test_the_engine_s_own_log_is_whole_and_live(harness: EngineHarness) -> None:
    await harness.succeed("print('parsing')\n" + "rule all:\n    output: 'x'\n    shell: 'touch {output}'\n")
    text = (harness.logs / "engine.log").read_text()
    assert "parsing\n" in text
    assert "1 of 1 steps (100%) done" in text
    own = [event for event in harness.emitted.events if isinstance(event, LogWritten) and event.task_id is None]
    assert "".join(item.text for item in own) == text
