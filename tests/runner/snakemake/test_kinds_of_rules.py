"""Checkpoints, retries, groups, `run:` and `script:`, parameters: what Snakemake offers works and is reported."""

import signal
from pathlib import Path

import pytest
from tests.runner.snakemake.engine_harness import EngineHarness

from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import LogStream, TaskState

pytestmark = pytest.mark.system

CHECKPOINT = """
    import glob

    rule all:
        input: "sum.txt"

    checkpoint split:
        output: directory("parts")
        shell: "mkdir {output}; for i in 1 2 3; do echo $i > {output}/$i.in; done"

    rule square:
        input: "parts/{i}.in"
        output: "squares/{i}.out"
        shell: "echo $(( $(cat {input}) * $(cat {input}) )) > {output}"

    def squares(wildcards):
        parts = checkpoints.split.get().output[0]
        return expand("squares/{i}.out", i=glob_wildcards(parts + "/{i}.in").i)

    rule sum:
        input: squares
        output: "sum.txt"
        shell: "cat {input} | paste -sd+ > {output}"
"""


async def test_a_checkpoint_extends_the_graph(harness: EngineHarness) -> None:
    outcome = await harness.succeed(CHECKPOINT, cores=2)
    assert outcome.tasks == TaskCounts(total=6, done=6)
    totals = [counts.total for counts in harness.emitted.counts]
    assert totals[0] == 3
    assert totals == sorted(totals)
    assert outcome.outputs == (
        "parts/1.in",
        "parts/2.in",
        "parts/3.in",
        "squares/1.out",
        "squares/2.out",
        "squares/3.out",
        "sum.txt",
    )
    assert [task.is_checkpoint for task in harness.emitted.of_rule("split")] == [True]
    (total,) = harness.emitted.of_rule("sum")
    assert set(total.depends_on) == {task.id for task in harness.emitted.of_rule("square")}
    assert sorted(task.wildcards["i"] for task in harness.emitted.of_rule("square")) == ["1", "2", "3"]


async def test_each_try_is_a_task(harness: EngineHarness) -> None:
    outcome = await harness.succeed(
        """
        rule flaky:
            output: "out.txt"
            retries: 2
            resources: attempt=lambda wildcards, attempt: attempt, is_last=lambda wildcards, attempt: attempt == 3
            shell: "echo try {resources.attempt}; test {resources.attempt} = 3 || exit 7; touch {output}"
        """
    )
    assert outcome.tasks == TaskCounts(total=1, done=1)
    assert max(counts.failed for counts in harness.emitted.counts) == 0
    tries = sorted(harness.emitted.of_rule("flaky"), key=lambda task: task.try_number)
    assert [(task.try_number, task.state, task.exit_code) for task in tries] == [
        (1, TaskState.FAILED, 7),
        (2, TaskState.FAILED, 7),
        (3, TaskState.COMPLETED, 0),
    ]
    assert len({task.id for task in tries}) == 3
    last = next(change for change in harness.emitted.changes if change.task.id == tries[2].id and change.stdout)
    assert last.stdout is not None
    assert (harness.logs / last.stdout).read_text() == "try 3\n"


async def test_members_of_a_group_joined_by_a_pipe_are_tasks(harness: EngineHarness) -> None:
    outcome = await harness.succeed(
        """
        rule all:
            input: "upper.txt"
        rule produce:
            output: pipe("stream")
            shell: "echo producing >&2; printf 'one\\ntwo\\n' > {output}"
        rule consume:
            input: "stream"
            output: "upper.txt"
            shell: "tr a-z A-Z < {input} > {output}"
        """,
        cores=2,
    )
    assert (harness.work / "upper.txt").read_text() == "ONE\nTWO\n"
    assert outcome.outputs == ("upper.txt",)
    assert outcome.tasks == TaskCounts(total=3, done=3)
    assert harness.emitted.log(LogStream.STDERR, "produce") == "producing\n"


async def test_a_failed_member_of_a_group_ends_the_others(harness: EngineHarness) -> None:
    failure = await harness.fail(
        """
        rule all:
            input: "out.txt"
        rule produce:
            output: pipe("stream")
            shell: "exec 3> {output}; sleep 60"
        rule consume:
            input: "stream"
            output: "out.txt"
            shell: "exec 3< {input}; exit 4"
        """,
        cores=2,
    )
    assert (failure.rule, failure.exit_code) == ("consume", 4)
    assert [task.state for task in harness.emitted.of_rule("produce")] == [TaskState.CANCELLED]


async def test_a_service_runs_as_long_as_it_is_used(harness: EngineHarness) -> None:
    await harness.succeed(
        """
        rule all:
            input: "used.txt"
        rule serve:
            output: service("ready")
            shell: "touch {output}; sleep 60"
        rule use:
            input: "ready"
            output: "used.txt"
            shell: "touch {output}"
        """,
        cores=2,
    )
    assert [task.state for task in harness.emitted.of_rule("serve")] == [TaskState.COMPLETED]


async def test_groups_of_the_author_run_as_single_jobs(harness: EngineHarness) -> None:
    outcome = await harness.succeed(
        """
        rule all:
            input: "b"
        rule a:
            output: "a"
            group: "g"
            shell: "touch {output}"
        rule b:
            input: "a"
            output: "b"
            group: "g"
            shell: "touch {output}"
        """
    )
    assert outcome.tasks == TaskCounts(total=3, done=3)


async def test_a_run_block_sees_the_snakefile_s_names(harness: EngineHarness) -> None:
    await harness.succeed(
        """
        FACTOR = 6
        def product(x): return FACTOR * x
        rule compute:
            output: "out.txt"
            params: x=7
            run:
                import sys
                print("computing")
                print("careful", file=sys.stderr)
                shell("echo from the shell")
                with open(output[0], "w") as f: f.write(str(product(params.x)))
        """
    )
    assert (harness.work / "out.txt").read_text() == "42"
    assert harness.emitted.log(LogStream.STDOUT, "compute") == "computing\nfrom the shell\n"
    assert harness.emitted.log(LogStream.STDERR, "compute") == "careful\n"


async def test_run_blocks_are_sound_beside_threads_of_the_snakefile(harness: EngineHarness) -> None:
    await harness.succeed(
        """
        import threading
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        rule compute:
            output: "out.txt"
            run:
                import os
                print("in a separate process", file=open(output[0], "w"))
        """
    )
    assert (harness.work / "out.txt").read_text() == "in a separate process\n"
    assert [task.state for task in harness.emitted.of_rule("compute")] == [TaskState.COMPLETED]


async def test_a_script_gets_its_job(harness: EngineHarness) -> None:
    harness.write(
        {
            "workflow/Snakefile": """
                rule all:
                    input: "out/x.txt"
                rule scripted:
                    output: "out/{name}.txt"
                    params: greeting="hello"
                    script: "scripts/greet.py"
            """,
            "workflow/scripts/greet.py": """
                print("greeting", snakemake.wildcards.name)
                with open(snakemake.output[0], "w") as f:
                    f.write(snakemake.params.greeting)
            """,
        }
    )
    outcome = await harness.succeed()
    assert outcome.outputs == ("out/x.txt",)
    assert (harness.work / "out/x.txt").read_text() == "hello"
    assert harness.emitted.log(LogStream.STDOUT, "scripted") == "greeting x\n"


async def test_parameters_keep_their_types(harness: EngineHarness) -> None:
    harness.write({"config.yaml": "sample: from file\nnested: {kept: 1, changed: 1}\n"})
    parameters = {
        "code": "007",
        "flag": True,
        "n": 3,
        "x": 1.5,
        "none": None,
        "list": [1, "2"],
        "nested": {"changed": 2},
    }
    await harness.succeed(
        """
        import json
        configfile: "config.yaml"
        rule dump:
            output: "config.json"
            run:
                json.dump(config, open(output[0], "w"))
        """,
        parameters=parameters,
    )
    import json

    assert json.loads((harness.work / "config.json").read_text()) == {
        **parameters,
        "sample": "from file",
        "nested": {"kept": 1, "changed": 2},
    }


async def test_shadow_benchmark_and_log_files(harness: EngineHarness) -> None:
    outcome = await harness.succeed(
        """
        rule shadowed:
            output: "out.txt"
            log: "logs/out.log"
            benchmark: "bench.tsv"
            shadow: "minimal"
            shell: "echo scratch > scratch.txt; echo logged > {log}; touch {output}"
        """
    )
    assert outcome.outputs == ("out.txt",)
    assert not (harness.work / "scratch.txt").exists()
    assert (harness.work / "logs/out.log").read_text() == "logged\n"
    assert (harness.work / "bench.tsv").read_text().startswith("s\t")


async def test_outputs_leave_out_temporary_files_and_what_lies_elsewhere(harness: EngineHarness) -> None:
    harness.shared.mkdir()
    elsewhere = harness.shared / "elsewhere.txt"
    elsewhere.write_text("secret")
    above = Path("../..", harness.shared.relative_to(harness.root.parent), "above.txt")
    outcome = await harness.succeed(
        f"""
        rule all:
            input: "kept.txt", "link.txt", "{elsewhere.parent}/absolute.txt", "{above}"
        rule temporary:
            output: temp("gone.txt")
            shell: "touch {{output}}"
        rule keep:
            input: "gone.txt"
            output: "kept.txt"
            shell: "touch {{output}}"
        rule link:
            output: "link.txt"
            shell: "ln -s {elsewhere} {{output}}"
        rule outside:
            output: "{elsewhere.parent}/absolute.txt", "{above}"
            shell: "touch {{output}}"
        """
    )
    assert outcome.outputs == ("kept.txt",)


async def test_the_environment_is_clean(harness: EngineHarness) -> None:
    await harness.succeed(
        """
        rule look:
            output: "env.txt"
            shell: "env > {output}; echo $$ $PPID"
        """
    )
    lines = (harness.work / "env.txt").read_text().splitlines()
    names = {line.partition("=")[0]: line.partition("=")[2] for line in lines}
    scratch = str(harness.logs / "scratch")
    assert all(names[name].startswith(scratch) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME"))
    assert names["PENSTOCK_ATTEMPT"] == f"{harness.root.name}/1"
    assert {name for name in names if "NATS" in name or "SECRET" in name or "TOKEN" in name} == set()
    assert not (harness.logs / "scratch").exists()


async def test_signals_reach_jobs_as_usual(harness: EngineHarness) -> None:
    await harness.succeed(
        """
        rule look:
            output: "signals.txt"
            shell: "grep -E SigIgn /proc/$$/status > {output}"
        """
    )
    masks = [int(line.split()[1], 16) for line in (harness.work / "signals.txt").read_text().splitlines()]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        assert not any(mask & (1 << (number - 1)) for mask in masks), number
