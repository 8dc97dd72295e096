"""Everything that a run writes reaches its user: files by kind, reasons wherever they were printed, limits by name."""

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from tests.runner.snakemake.engine_harness import EngineHarness

from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_execution.engine import Outcome
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.jobs import LogFileTail
from penstock_schemas.outputs import OutputKind
from penstock_schemas.views import TaskState

pytestmark = pytest.mark.system


def kinds(outcome: Outcome) -> dict[str, OutputKind]:
    return {file.path: file.kind for file in outcome.produced.files}


def files_of(harness: EngineHarness, rule: str) -> dict[str, OutputKind]:
    """Return the files that were reported with the end of a rule's only task."""
    [change, *_] = [item for item in reversed(harness.emitted.changes) if item.task.name == rule]
    return {file.path: file.kind for file in change.files}


async def test_log_files_of_a_failed_rule_are_kept_and_quoted(harness: EngineHarness) -> None:
    outcome = await harness.run(
        """
        rule all:
            input: "done.txt"
        rule map_reads:
            output: "mapped/{s}.bam"
            log: "logs/map/{s}.log", other="logs/map/{s}.more"
            shell: "(echo 'FATAL: reference index is corrupt'; exit 3) > {log[0]} 2>&1"
        rule gather:
            input: "mapped/A.bam"
            output: "done.txt"
            log: "logs/gather.log"
            shell: "touch {output}"
        """
    )
    assert outcome.failure is not None
    assert outcome.failure.message == (
        "rule map_reads (s=A) failed with exit code 3; the last line of logs/map/A.log: "
        "FATAL: reference index is corrupt"
    )
    assert outcome.failure.log_tails == (LogFileTail(path="logs/map/A.log", text="FATAL: reference index is corrupt"),)
    assert outcome.failure.stderr_tail is None
    [task] = harness.emitted.of_rule("map_reads")
    assert task.message == "failed with exit code 3: FATAL: reference index is corrupt"
    [task] = harness.emitted.of_rule("gather")
    assert task.message == "it never started: rule map_reads (s=A) failed"
    # Snakemake makes the other log file itself, and leaves it empty.
    assert kinds(outcome) == {"logs/map/A.log": OutputKind.LOG, "logs/map/A.more": OutputKind.LOG}
    assert files_of(harness, "map_reads") == {"logs/map/A.log": OutputKind.LOG, "logs/map/A.more": OutputKind.LOG}
    assert files_of(harness, "gather") == {}


async def test_files_of_a_task_are_reported_when_it_ended(harness: EngineHarness) -> None:
    await harness.succeed(
        """
        rule all:
            input: "a.txt", "b.txt"
        rule a:
            output: "a.txt"
            log: "logs/shared.log", folder=directory("logs/parts")
            benchmark: "bench/a.tsv"
            shell: "mkdir -p {log.folder}; echo 1 > {log.folder}/1; mkfifo {log.folder}/2; ln -s 1 {log.folder}/3; "
                "ln -s /etc/passwd {log.folder}/4; echo a >> {log[0]}; touch {output}"
        rule b:
            input: "a.txt"
            output: "b.txt"
            log: "logs/shared.log"
            shell: "echo b >> {log}; touch {output}"
        """
    )
    assert files_of(harness, "a") == {
        "bench/a.tsv": OutputKind.BENCHMARK,
        "logs/parts/1": OutputKind.LOG,
        "logs/parts/3": OutputKind.LOG,
        "logs/shared.log": OutputKind.LOG,
    }
    assert files_of(harness, "b") == {"logs/shared.log": OutputKind.LOG}
    assert files_of(harness, "all") == {}


@pytest.mark.parametrize(
    ("trick", "reason"),
    [
        ("mkfifo {log}", "it is a FIFO"),
        ("ln -s {config[secret]} {log}", "it leads outside the run's folder"),
        ("ln -s a.log {log}", "its links lead in a circle"),
        ("mkdir {log}; mkfifo {log}/pipe", "it is a FIFO"),
    ],
    ids=["fifo", "link", "loop", "folder"],
)
async def test_what_is_no_log_file_is_neither_read_nor_stored(harness: EngineHarness, trick: str, reason: str) -> None:
    secret = harness.root / "secret"
    secret.write_text("secret")
    outcome = await harness.run(
        f"""
        rule a:
            output: "a.txt"
            log: "a.log"
            shell: "{trick}; exit 1"
        """,
        parameters={"secret": str(secret)},
    )
    assert outcome.failure is not None
    assert outcome.failure.log_tails == ()
    assert outcome.produced.files == ()
    assert [item.reason for item in outcome.produced.not_stored] == [reason]


async def test_files_of_a_workflow_with_a_folder_of_its_own_are_found_there(harness: EngineHarness) -> None:
    harness.keeps_track = True
    outcome = await harness.run(
        """
        workdir: "sub"
        rule good:
            output: "good.txt"
            log: "good.log"
            benchmark: "good.tsv"
            shell: "echo fine > {log}; touch {output}; touch side.csv"
        rule bad:
            output: "bad.txt"
            input: "good.txt"
            log: "bad.log"
            shell: "echo broken > {log}; exit 1"
        """,
        engine_parameters={"targets": "bad"},
    )
    assert outcome.failure is not None
    assert outcome.failure.log_tails == (LogFileTail(path="sub/bad.log", text="broken"),)
    assert kinds(outcome) == {
        "sub/bad.log": OutputKind.LOG,
        "sub/good.log": OutputKind.LOG,
        "sub/good.tsv": OutputKind.BENCHMARK,
        "sub/good.txt": OutputKind.OUTPUT,
    }
    assert [item.path for item in outcome.produced.undeclared] == ["sub/side.csv"]


async def test_log_files_outlive_the_end_of_the_process(harness: EngineHarness) -> None:
    outcome = await harness.run(
        """
        rule all:
            output: "a.txt"
            log: "a.log"
            run:
                import os, signal
                open(log[0], "w").write("so far")
                os.kill(os.getppid(), signal.SIGABRT)
                signal.pause()
        """
    )
    assert outcome.kind is OutcomeKind.FAILED
    assert kinds(outcome) == {"a.log": OutputKind.LOG}
    assert outcome.produced.undeclared_count == 0


async def test_benchmarks_hooks_and_side_effects(harness: EngineHarness) -> None:
    harness.write({"data/in.txt": "in"})
    harness.keeps_track = True
    snakefile = """
        rule all:
            input: "flag.done"
        rule a:
            output: touch("flag.done")
            log: "logs/a.log"
            benchmark: "bench/a.tsv"
            shell: "mkdir -p results; echo 1 > results/side.csv; echo hi > {log}"
        onsuccess:
            open("SUCCESS.txt", "w").write("from the hook")
        """
    outcome = await harness.succeed(snakefile)
    assert kinds(outcome) == {
        "flag.done": OutputKind.OUTPUT,
        "logs/a.log": OutputKind.LOG,
        "bench/a.tsv": OutputKind.BENCHMARK,
    }
    assert {item.path for item in outcome.produced.undeclared} == {"results/side.csv", "SUCCESS.txt"}


async def test_undeclared_files_are_kept_on_request(harness: EngineHarness) -> None:
    harness.keeps_track = True
    outcome = await harness.succeed(
        """
        rule a:
            output: "a.txt"
            shell: "touch a.txt side.csv"
        onsuccess:
            shell("echo done > hook.txt")
        """,
        engine_parameters={"keep-undeclared": None},
    )
    assert kinds(outcome) == {
        "a.txt": OutputKind.OUTPUT,
        "hook.txt": OutputKind.UNDECLARED,
        "side.csv": OutputKind.UNDECLARED,
    }


async def test_a_requested_temporary_file_is_kept_as_snakemake_leaves_it(harness: EngineHarness) -> None:
    outcome = await harness.succeed(
        """
        rule all:
            input: "x.txt", "z.txt"
            default_target: True
        rule t:
            output: temp("x.txt")
            shell: "echo wanted > {output}"
        rule y:
            output: temp("y.txt")
            shell: "echo passing > {output}"
        rule z:
            input: "y.txt"
            output: "z.txt"
            shell: "cp {input} {output}"
        """
    )
    there = {name for name in ("x.txt", "y.txt", "z.txt") if (harness.work / name).exists()}
    assert set(outcome.outputs) == there
    assert "y.txt" not in there


async def test_a_temporary_target_that_was_requested_by_name_is_kept(harness: EngineHarness) -> None:
    outcome = await harness.succeed(
        'rule t:\n    output: temp("x.txt")\n    shell: "echo wanted > {output}"\n',
        engine_parameters={"targets": "x.txt"},
    )
    assert (harness.work / "x.txt").exists()
    assert outcome.outputs == ("x.txt",)


async def test_links_in_folders_of_outputs_are_followed(harness: EngineHarness) -> None:
    outcome = await harness.succeed(
        """
        rule all:
            input: "byclass", "alias"
        rule mk:
            output: directory("sample")
            shell: "mkdir sample; echo r > sample/reads.txt"
        rule classes:
            input: "sample"
            output: directory("byclass")
            shell: "mkdir byclass; ln -s ../sample byclass/x; ln -s / byclass/out"
        rule alias:
            input: "sample"
            output: directory("alias")
            shell: "ln -s sample alias"
        """
    )
    assert outcome.outputs == ("alias/reads.txt", "byclass/x/reads.txt", "sample/reads.txt")
    assert [(item.path, item.reason) for item in outcome.produced.not_stored] == [
        ("byclass/out", "it leads outside the run's folder")
    ]


async def test_a_reason_on_standard_output_is_shown(harness: EngineHarness) -> None:
    failure = await harness.fail('rule t:\n    output: "o.txt"\n    shell: "echo \'ERROR: licence expired\'; exit 1"\n')
    assert failure.stdout_tail == "ERROR: licence expired"
    assert failure.stderr_tail is None
    [task] = harness.emitted.of_rule("t")
    assert task.message == "failed with exit code 1: ERROR: licence expired"


@pytest.mark.parametrize(
    ("snakefile", "expected"),
    [
        (
            'import sys\nprint("ERROR: give a sample sheet", file=sys.stderr)\nsys.exit(1)\n',
            "the Snakefile ended the run itself: sys.exit(1); the last it printed: ERROR: give a sample sheet",
        ),
        (
            'import sys\nprint("ERROR: give a sample sheet")\nsys.exit(2)\n',
            "the Snakefile ended the run itself: sys.exit(2); the last it printed: ERROR: give a sample sheet",
        ),
        (
            'import sys\nsys.exit("ERROR: give a sample sheet")\n',
            "the Snakefile ended the run itself: ERROR: give a sample sheet",
        ),
        (
            'import os\nprint("ERROR: give a sample sheet", flush=True)\nos._exit(3)\n',
            "exit code 3 before the workflow had run; the last it printed: ERROR: give a sample sheet",
        ),
        (
            'onstart:\n    print("ERROR: give a sample sheet")\n    import sys\n    sys.exit(1)\n'
            'rule x:\n    output: "x"\n    shell: "touch x"\n',
            "the Snakefile ended the run itself: sys.exit(1); the last it printed: ERROR: give a sample sheet",
        ),
        (
            'onstart:\n    raise ValueError("ERROR: give a sample sheet")\n'
            'rule x:\n    output: "x"\n    shell: "touch x"\n',
            "ERROR: give a sample sheet",
        ),
    ],
    ids=["stderr", "stdout", "text", "hard", "onstart", "raised"],
)
async def test_a_reason_before_an_exit_is_shown(harness: EngineHarness, snakefile: str, expected: str) -> None:
    failure = await harness.fail(snakefile)
    assert expected in failure.message
    assert "ERROR: give a sample sheet" in f"{failure.message} {failure.stderr_tail}"


async def test_which_member_of_a_group_failed_is_reported(harness: EngineHarness) -> None:
    failure = await harness.fail(
        """
        rule all:
            input: expand("c{i}.txt", i=range(3))
        rule a:
            output: "a{i}.txt"
            group: "g"
            shell: "echo {wildcards.i} > {output}"
        rule b:
            input: "a{i}.txt"
            output: "c{i}.txt"
            group: "g"
            shell: "if [ {wildcards.i} = 1 ]; then echo 'group member broke' >&2; exit 6; fi; cp {input} {output}"
        """
    )
    assert failure.message == "rule b (i=1) failed with exit code 6"
    assert failure.stderr_tail == "group member broke"
    failed = [task for task in harness.emitted.tasks.values() if task.state is TaskState.FAILED]
    assert [(task.name, task.wildcards, task.message) for task in failed] == [
        ("b", {"i": "1"}, "failed with exit code 6: group member broke")
    ]


async def test_a_member_that_was_ended_for_another_names_it(harness: EngineHarness) -> None:
    await harness.fail(
        """
        rule all:
            input: "end.txt"
        rule source:
            output: pipe("data")
            shell: "echo no more >&2; exit 4"
        rule sink:
            input: "data"
            output: "end.txt"
            shell: "sleep 60; cat {input} > {output}"
        """,
        cores=2,
    )
    [source] = harness.emitted.of_rule("source")
    assert source.message == "failed with exit code 4: no more"
    [sink] = harness.emitted.of_rule("sink")
    assert sink.state is TaskState.CANCELLED
    assert sink.message == "ended because rule source failed"


LIMIT_BYTES = 2_000_000_000


@contextlib.asynccontextmanager
async def limited(root: Path) -> AsyncGenerator[EngineHarness]:
    async with SnakemakeEngine(limits={"RLIMIT_AS": LIMIT_BYTES}) as engine:
        yield EngineHarness(engine, root)


@pytest.mark.parametrize(
    "rule",
    [
        "shell: \"python3 -c 'x = bytearray(3_000_000_000)' && touch {output}\"",
        'shell: "head -c 3G /dev/zero | tail -c 2900000000 > /dev/null; touch {output}"',
        'script: "s.py"',
        "run: bytearray(3_000_000_000)",
    ],
    ids=["python", "tail", "script", "run"],
)
async def test_the_memory_limit_is_named_when_it_was_the_cause(tmp_path: Path, rule: str) -> None:
    async with limited(tmp_path / "harness") as harness:
        harness.write({"s.py": "bytearray(3_000_000_000)\n"})
        failure = await harness.fail(f'rule r:\n    output: "o"\n    resources: mem_mb=4000\n    {rule}\n')
    assert f"PENSTOCK_LIMIT_MEMORY_BYTES={LIMIT_BYTES}" in failure.message, failure
    assert "mem_mb=4000" in failure.message
    assert "the largest process of the run used" in failure.message


async def test_outputs_of_a_checkpoint_are_outputs_when_the_run_is_begun_again(harness: EngineHarness) -> None:
    workflow = """
        rule all:
            input: "sum.txt"
        checkpoint split:
            output: directory("parts")
            shell: "mkdir {output}; echo 1 > {output}/a; echo 2 > {output}/b"
        def parts(wildcards):
            folder = checkpoints.split.get().output[0]
            return sorted(f"{folder}/{name}" for name in glob_wildcards(f"{folder}/{{name,[ab]}}").name)
        rule sum:
            input: parts
            output: "sum.txt"
            shell: "cat {input} > {output}"
        """
    expected = dict.fromkeys(("parts/a", "parts/b", "sum.txt"), OutputKind.OUTPUT)
    assert kinds(await harness.run(workflow)) == expected
    assert kinds(await harness.run(resume=True)) == expected


async def test_an_empty_folder_of_an_output_is_reported_as_not_stored(harness: EngineHarness) -> None:
    outcome = await harness.run(
        """
        rule all:
            input: "nothing", "some"
        rule nothing:
            output: directory("nothing")
            shell: "mkdir {output}"
        rule some:
            output: directory("some")
            shell: "mkdir -p {output}/empty; touch {output}/file"
        """
    )
    assert kinds(outcome) == {"some/file": OutputKind.OUTPUT}
    reason = "it is an empty folder, and only files are stored"
    assert {item.path: item.reason for item in outcome.produced.not_stored} == {
        "nothing": reason,
        "some/empty": reason,
    }
