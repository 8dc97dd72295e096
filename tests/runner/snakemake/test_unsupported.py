"""What a workflow declares and the runner does not provide: refused before the first task, or run with a warning."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.runner.snakemake.engine_harness import EngineHarness

from penstock_domain.scheduling.preflight import ALLOW
from penstock_engines.snakemake.attempt_process.software.unsupported import MAX_NAMED, Software
from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_schemas.jobs import Failure, Finding, FindingKind, UnsupportedDirectives
from penstock_schemas.views import LogStream

pytestmark = pytest.mark.system

ACCEPTED: dict[str, str | None] = {ALLOW: None}

WORKFLOW = """
    {top}
    rule all:
        input: "v.txt"

    rule v:
        output: "v.txt"
        {directive}
        shell: "touch started; echo done > {{output}}"
"""

PER_RULE = {
    "conda": 'conda: "env.yaml"',
    "conda by name": 'conda: "an-environment"',
    "conda by function": 'conda: lambda wildcards: "env.yaml"',
    "container": 'container: "docker://alpine:3.19"',
    "singularity": 'singularity: "docker://alpine:3.19"',
    "containerized": 'containerized: "docker://alpine:3.19"',
    "envmodules": 'envmodules: "bio/samtools/1.9", "bio/bwa"',
}
FOR_ALL_RULES = {
    "container": 'container: "docker://alpine:3.19"',
    "containerized": 'containerized: "docker://alpine:3.19"',
    "conda": 'conda: "env.yaml"',
}


def workflow(*, top: str = "", directive: str = "") -> str:
    return WORKFLOW.format(top=top, directive=directive)


@pytest.fixture
def prepared(harness: EngineHarness) -> EngineHarness:
    harness.write({"env.yaml": "channels: [bioconda]\ndependencies: [samtools=1.99]\n"})
    return harness


def has_started(harness: EngineHarness) -> bool:
    return (harness.work / "started").exists()


@pytest.mark.parametrize("directive", PER_RULE.values(), ids=PER_RULE)
async def test_a_rule_that_declares_software_is_refused_before_the_first_task(
    prepared: EngineHarness, directive: str
) -> None:
    failure = await prepared.fail(workflow(directive=directive))
    assert "rule v declares" in failure.message
    assert f"`{directive.split(':')[0].replace('singularity', 'container')}: " in failure.message
    assert f"--{ALLOW}" in failure.message
    assert not has_started(prepared)


@pytest.mark.parametrize("directive", FOR_ALL_RULES.values(), ids=FOR_ALL_RULES)
async def test_software_that_is_declared_for_all_rules_is_refused(prepared: EngineHarness, directive: str) -> None:
    failure = await prepared.fail(workflow(top=directive))
    assert f"declares `{directive.split(':')[0]}: " in failure.message
    assert not has_started(prepared)


async def test_a_wrapper_is_refused(harness: EngineHarness) -> None:
    harness.write({"wrap/wrapper.py": "", "wrap/environment.yaml": "dependencies: [samtools]\n"})
    failure = await harness.fail(
        """
        rule v:
            output: "v.txt"
            wrapper: "file:wrap"
        """
    )
    assert "rule v declares `wrapper: file:wrap" in failure.message


async def test_every_rule_and_directive_is_named_once(prepared: EngineHarness) -> None:
    failure = await prepared.fail(
        """
        rule all:
            input: expand("{n}.txt", n=range(3)), "w.txt"
        rule v:
            output: "{n}.txt"
            conda: "env.yaml"
            container: "docker://alpine"
            shell: "touch {output}"
        rule w:
            output: "w.txt"
            envmodules: "bwa"
            shell: "touch {output}"
        """
    )
    for named in ("rule v declares `conda: env.yaml`", "rule v declares `container: docker", "rule w declares `envm"):
        assert failure.message.count(named) == 1, failure.message


async def test_rules_that_the_run_does_not_need_are_not_refused(prepared: EngineHarness) -> None:
    outcome = await prepared.succeed(
        """
        rule all:
            input: "v.txt"
        rule v:
            output: "v.txt"
            conda: lambda wildcards: None
            shell: "touch {output}"
        rule other:
            output: "other.txt"
            conda: "env.yaml"
            shell: "touch {output}"
        """
    )
    assert outcome.findings == ()


async def test_a_named_environment_that_is_accepted_as_missing_is_not_exported(prepared: EngineHarness) -> None:
    """Snakemake exports it for its records, with a command that is not there."""
    outcome = await prepared.succeed(workflow(directive=PER_RULE["conda by name"]), engine_parameters=ACCEPTED)
    assert [finding.directive for finding in outcome.findings] == ["conda"]


async def test_a_run_that_accepts_it_goes_on_and_carries_a_warning(prepared: EngineHarness) -> None:
    outcome = await prepared.succeed(workflow(directive=PER_RULE["conda"]), engine_parameters=ACCEPTED)
    assert outcome.findings == (
        Finding(kind=FindingKind.UNSUPPORTED, directive="conda", message="rule v declares `conda: env.yaml`", rule="v"),
    )
    assert outcome.refusal is None
    assert "warning: rule v declares `conda: env.yaml`" in prepared.emitted.log(LogStream.ENGINE)


async def test_a_rule_that_a_checkpoint_brings_is_refused_before_it_starts(prepared: EngineHarness) -> None:
    failure = await prepared.fail(
        """
        rule all:
            input: "sum.txt"
        checkpoint split:
            output: directory("parts")
            shell: "mkdir {output}; touch {output}/a"
        rule late:
            input: "parts/{i}"
            output: "late/{i}"
            conda: "env.yaml"
            shell: "touch started {output}"
        def parts(wildcards):
            return expand("late/{i}", i=glob_wildcards(checkpoints.split.get().output[0] + "/{i}").i)
        rule sum:
            input: parts
            output: "sum.txt"
            shell: "cat {input} > {output}"
        """
    )
    assert "rule late declares `conda: env.yaml`" in failure.message
    assert not has_started(prepared)


async def test_a_plan_goes_on_and_reports_it(prepared: EngineHarness) -> None:
    outcome = await prepared.succeed(workflow(directive=PER_RULE["container"]), is_dry=True)
    assert [finding.directive for finding in outcome.findings] == ["container"]
    assert outcome.refusal is not None
    assert "rule v declares" in outcome.refusal
    assert prepared.emitted.of_rule("v")


@pytest.mark.parametrize("threads", ["3", "lambda wildcards, attempt: 2 + attempt"])
async def test_threads_above_the_cores_are_reported_and_not_refused(harness: EngineHarness, threads: str) -> None:
    source = f"""
        rule v:
            output: "v.txt"
            threads: {threads}
            shell: "echo {{threads}} > {{output}}"
        """
    outcome = await harness.succeed(source, cores=2)
    (finding,) = outcome.findings
    assert (finding.kind, finding.rule) == (FindingKind.NOTICE, "v")
    assert "requests 3 threads and the run has 2 cores" in finding.message
    assert "--cores" in finding.message
    assert (harness.work / "v.txt").read_text() == "2\n"


async def test_threads_within_the_cores_are_not_reported(harness: EngineHarness) -> None:
    outcome = await harness.succeed('rule v:\n    output: "v"\n    threads: 2\n    shell: "touch v"\n', cores=2)
    assert outcome.findings == ()


async def test_a_pipe_that_needs_more_cores_names_the_setting(harness: EngineHarness) -> None:
    failure = await harness.fail(
        """
        rule all:
            input: "c.txt"
        rule a:
            output: pipe("a.txt")
            shell: "echo hi > {output}"
        rule b:
            input: "a.txt"
            output: "c.txt"
            shell: "cat {input} > {output}"
        """
    )
    assert "cores: 2/1" in failure.message
    assert "PENSTOCK_CORES" in failure.message
    assert "_cores" not in failure.message


ENVVARS = """
    envvars:
        "NCBI_TOKEN",
        "OTHER"
    rule all:
        output: "o.txt"
        shell: "echo $NCBI_TOKEN > {output}"
"""


async def test_variables_that_are_not_passed_on_are_refused_with_the_setting(harness: EngineHarness) -> None:
    failure = await harness.fail(ENVVARS)
    assert "`envvars:`" in failure.message
    assert "PENSTOCK_WORKFLOW_ENVIRONMENT=NCBI_TOKEN,OTHER" in failure.message
    assert not (harness.work / "o.txt").exists()


async def test_variables_that_the_operator_passes_on_reach_the_workflow(tmp_path: Path) -> None:
    variables = {"NCBI_TOKEN": "a token", "OTHER": ""}
    async with SnakemakeEngine(extra_environment=variables) as engine:
        harness = EngineHarness(engine, tmp_path)
        await harness.succeed(ENVVARS)
        assert (harness.work / "o.txt").read_text() == "a token\n"


@pytest.fixture(params=[UnsupportedDirectives.REFUSE, UnsupportedDirectives.WARN])
async def strict(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[UnsupportedDirectives, EngineHarness]]:
    policy: UnsupportedDirectives = request.param
    async with SnakemakeEngine(unsupported=policy) as engine:
        yield policy, EngineHarness(engine, tmp_path)


async def test_the_operator_decides_for_every_run(strict: tuple[UnsupportedDirectives, EngineHarness]) -> None:
    policy, harness = strict
    source = workflow(directive='container: "docker://alpine"')
    if policy is UnsupportedDirectives.WARN:
        assert (await harness.succeed(source)).findings
    else:
        failure: Failure = await harness.fail(source, engine_parameters=ACCEPTED)
        assert "operator does not allow" in failure.message


def test_a_refusal_names_a_bounded_number_of_rules() -> None:
    findings = [
        Finding(kind=FindingKind.UNSUPPORTED, directive="conda", message=f"rule r{n} declares `conda: e`")
        for n in range(MAX_NAMED + 5)
    ]
    refusal = Software().refusal(findings)
    assert refusal is not None
    assert "and 5 more" in refusal
    assert Software().refusal([]) is None
