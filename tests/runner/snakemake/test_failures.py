"""Every fault of a workflow is reported precisely: what, where, and the last output of what failed."""

from textwrap import dedent

import pytest
from tests.runner.snakemake.engine_harness import EngineHarness

from penstock_schemas.jobs import Failure, FailureCause
from penstock_schemas.views import TaskState

pytestmark = pytest.mark.system

BROKEN = {
    "syntax error": (
        """
        rule all:
            input: "a.txt"
        x = = 1
        """,
        "syntax error in Snakefile, line 3: invalid syntax: x = = 1",
    ),
    "open bracket": (
        """
        rule all:
            input: ["a.txt"
        """,
        "syntax error in Snakefile, line 2: EOF in multi-line statement",
    ),
    "unknown name": (
        """
        rule all:
            input: "a.txt"

        print(undefined)
        """,
        "NameError in Snakefile, line 4: name 'undefined' is not defined",
    ),
    "missing input": (
        """
        rule all:
            input: "b.txt"
        rule make:
            input: "nowhere.txt"
            output: "b.txt"
            shell: "cp {input} {output}"
        """,
        "rule make needs input that does not exist and that no rule makes: nowhere.txt",
    ),
    "missing target": (
        """
        rule all:
            input: "nobody-makes-me.txt", "nor-me.txt"
        """,
        "rule all needs input that does not exist and that no rule makes: nobody-makes-me.txt, nor-me.txt",
    ),
    "cycle": (
        """
        rule all:
            input: "a.txt"
        rule one:
            input: "b.txt"
            output: "a.txt"
            shell: "cp {input} {output}"
        rule two:
            input: "a.txt"
            output: "b.txt"
            shell: "cp {input} {output}"
        """,
        "the rules form a cycle: one needs its own output a.txt",
    ),
    "ambiguous rules": (
        """
        rule all:
            input: "a.txt"
        rule one:
            output: "{y}.txt"
            shell: "touch {output}"
        rule two:
            output: "{x}.txt"
            shell: "touch {output}"
        """,
        "AmbiguousRuleException: Rules ",
    ),
    "exit with success": ("import sys\nsys.exit(0)\n", "the Snakefile ended the run itself: sys.exit(0)"),
    "exit with failure": ("import sys\nsys.exit(3)\n", "the Snakefile ended the run itself: sys.exit(3)"),
    "hard exit with success": (
        "import os\nos._exit(0)\n",
        "the workflow's process ended itself with exit code 0 before the workflow had run",
    ),
    "hard exit with failure": (
        "import os\nos._exit(9)\n",
        "the workflow's process ended itself with exit code 9 before the workflow had run",
    ),
    "crash": (
        "import os\nos.abort()\n",
        "Snakemake's process crashed: SIGABRT (signal 6)",
    ),
    "input function": (
        """
        def bad(wildcards):
            return 1 / 0
        rule all:
            input: bad
        """,
        "InputFunctionException in Snakefile, line 3: Error: ZeroDivisionError: division by zero",
    ),
    "unknown directive": (
        """
        rule all:
            inputt: "a.txt"
        """,
        "syntax error in Snakefile, line 2: Unexpected keyword inputt in rule definition",
    ),
    "missing config key": (
        """
        rule all:
            input: config["sample"]
        """,
        "KeyError in Snakefile, line 2: 'sample'",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_workflow_reports_what_is_wrong(harness: EngineHarness, name: str) -> None:
    snakefile, message = BROKEN[name]
    failure = await harness.fail(snakefile)
    assert failure.message.startswith(message)
    assert failure.cause is FailureCause.WORKFLOW
    assert not harness.emitted.tasks or {task.state for task in harness.emitted.tasks.values()} == {TaskState.CANCELLED}
    displayed = f"{failure.message}\n{failure.stderr_tail}"
    assert str(harness.work) not in displayed, "files are named as their author knows them"
    for banner in ("Host:", "User:", "Building DAG", "Config"):
        assert banner not in displayed


async def test_what_is_missing_names_its_rule_and_shows_the_engine_s_words(harness: EngineHarness) -> None:
    failure = await harness.fail(BROKEN["missing input"][0])
    assert failure.rule == "make"
    assert failure.stderr_tail is not None
    assert "nowhere.txt" in failure.stderr_tail
    assert failure.stderr_tail.startswith('MissingInputException in rule make in file "Snakefile", line 3:')


async def test_an_error_in_an_included_file_names_that_file(harness: EngineHarness) -> None:
    harness.write({"rules/more.smk": "x = 1\ny = 2 +\n"})
    failure = await harness.fail('include: "rules/more.smk"\n')
    assert failure.message.startswith("syntax error in rules/more.smk, line 2: invalid syntax")


async def test_no_snakefile(harness: EngineHarness) -> None:
    failure = await harness.fail()
    assert failure.message == (
        "no Snakefile was found; looked for Snakefile, snakefile, workflow/Snakefile, workflow/snakefile"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other.smk", "there is no Snakefile 'other.smk' in the workflow's folder"),
        ("../above.smk", "the Snakefile must be within the workflow's folder: '../above.smk' does not"),
        ("/etc/passwd", "the Snakefile must be within the workflow's folder: '/etc/passwd' does not"),
    ],
)
async def test_a_snakefile_that_cannot_be_used(harness: EngineHarness, name: str, message: str) -> None:
    failure = await harness.fail(main=name)
    assert failure.message == message


async def test_a_failed_rule(harness: EngineHarness) -> None:
    failure = await harness.fail(
        """
        rule all:
            input: "out/a.txt"
        rule break_it:
            output: "out/{sample}.txt"
            shell: "echo first; for i in $(seq 30); do echo line $i >&2; done; exit 3"
        """
    )
    assert failure == Failure(
        cause=FailureCause.WORKFLOW,
        message="rule break_it (sample=a) failed with exit code 3",
        rule="break_it",
        wildcards={"sample": "a"},
        exit_code=3,
        stderr_tail="\n".join(f"line {i}" for i in range(11, 31)),
        stdout_tail="first",
    )
    [task] = harness.emitted.of_rule("break_it")
    assert (task.state, task.message) == (TaskState.FAILED, "failed with exit code 3: line 30")
    assert [task.state for task in harness.emitted.of_rule("all")] == [TaskState.CANCELLED]
    assert harness.emitted.counts[-1].failed == 1


async def test_outputs_of_what_succeeded_survive_a_failure(harness: EngineHarness) -> None:
    outcome = await harness.run(
        """
        rule all:
            input: "good.txt", "bad.txt"
        rule good:
            output: "good.txt"
            shell: "touch {output}"
        rule bad:
            input: "good.txt"
            output: "bad.txt"
            shell: "touch {output}; exit 1"
        """
    )
    assert outcome.outputs == ("good.txt",)


CAUSES = {
    "missing output": (
        'rule r:\n    output: "x.txt", "y.txt"\n    shell: "touch x.txt"\n',
        "rule r ended well but did not make all of its output: y.txt",
        0,
    ),
    "exception in a run block": (
        'rule r:\n    output: "x.txt"\n    run:\n        raise ValueError("no such luck")\n',
        "rule r failed: ValueError: no such luck",
        1,
    ),
    "exit in a run block": (
        'rule r:\n    output: "x.txt"\n    run:\n        import sys\n        sys.exit(5)\n',
        "rule r failed",
        5,
    ),
    "shell in a run block": (
        'rule r:\n    output: "x.txt"\n    run:\n        shell("echo inner >&2; exit 6")\n',
        "rule r failed with exit code 6",
        6,
    ),
    "command not found": (
        'rule r:\n    output: "x.txt"\n    shell: "no-such-command-anywhere"\n',
        "rule r failed with exit code 127: a command was not found",
        127,
    ),
    "killed command": (
        'rule r:\n    output: "x.txt"\n    shell: "bash -c \'kill -9 $$\'; true"\n',
        "rule r failed with exit code 137: a command in it was killed by SIGKILL (signal 9)",
        137,
    ),
    "killed shell": (
        'rule r:\n    output: "x.txt"\n    shell: "kill -9 $$"\n',
        "rule r was killed by SIGKILL (signal 9)",
        -9,
    ),
    "killed process": (
        'rule r:\n    output: "x.txt"\n    run:\n        import os\n        os.kill(os.getpid(), 9)\n',
        "rule r was killed by SIGKILL (signal 9)",
        -9,
    ),
    "format": (
        'rule r:\n    output: "x.txt"\n    shell: "echo {nothing}"\n',
        "RuleException in Snakefile, line 1: NameError: The name 'nothing' is unknown in this context.",
        None,
    ),
}


@pytest.mark.parametrize("name", CAUSES)
async def test_causes_of_a_failed_rule(harness: EngineHarness, name: str) -> None:
    snakefile, message, exit_code = CAUSES[name]
    failure = await harness.fail(dedent(snakefile))
    assert failure.message.startswith(message), failure
    assert failure.exit_code == exit_code
    assert failure.rule == "r"
    assert failure.stderr_tail is None or len(failure.stderr_tail.splitlines()) <= 20


async def test_a_failure_after_the_last_try_is_a_failure(harness: EngineHarness) -> None:
    failure = await harness.fail(
        """
        rule r:
            output: "x.txt"
            retries: 1
            shell: "exit 2"
        """
    )
    assert failure.exit_code == 2
    assert [task.try_number for task in harness.emitted.of_rule("r")] == [1, 2]
    assert harness.emitted.counts[-1].failed == 1


async def test_what_a_failed_job_left_running_is_gone_before_its_next_try(harness: EngineHarness) -> None:
    await harness.succeed(
        """
        rule r:
            output: "x.txt"
            retries: 1
            resources: attempt=lambda wildcards, attempt: attempt
            shell:
                '''
                if [ {resources.attempt} = 1 ]; then sleep 60 & echo $! > {config[pid]}; exit 1; fi
                kill -0 $(cat {config[pid]}) && exit 2
                touch {output}
                '''
        """,
        parameters={"pid": str(harness.root / "pid")},
    )


async def test_success_needs_an_honest_end(harness: EngineHarness) -> None:
    """A Snakefile that ends the process with 0 in the middle of the run has not succeeded."""
    failure = await harness.fail(
        """
        onstart:
            import os
            os._exit(0)
        rule r:
            output: "x.txt"
            shell: "touch {output}"
        """
    )
    assert "ended itself with exit code 0" in failure.message


async def test_leaving_after_the_work_is_done_is_a_success(harness: EngineHarness) -> None:
    outcome = await harness.succeed(
        """
        onsuccess:
            import sys
            sys.exit(0)
        rule r:
            output: "x.txt"
            shell: "touch {output}"
        """
    )
    assert outcome.outputs == ("x.txt",)


async def test_nothing_to_do_is_a_success(harness: EngineHarness) -> None:
    snakefile = 'rule r:\n    output: "x.txt"\n    shell: "touch {output}"\n'
    await harness.succeed(snakefile)
    outcome = await harness.succeed(snakefile, resume=True)
    assert outcome.outputs == ("x.txt",)
    assert outcome.tasks.total == 0
