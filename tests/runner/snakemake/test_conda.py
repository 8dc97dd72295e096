"""`conda:` where the runner provides it: environments are prepared outside of the sandbox, and activated inside."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from tests.runner.snakemake.conda_provider import FolderProvider
from tests.runner.snakemake.engine_harness import EngineHarness, until

from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_execution.engine import EngineFault
from penstock_execution.provisioning import CondaEnvironment
from penstock_runner.confinement import policy
from penstock_runner.settings import RunnerSettings
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.jobs import FailureCause
from penstock_schemas.software import PlannedItem
from penstock_schemas.views import LogStream, Task, TaskKind, TaskState

pytestmark = pytest.mark.system

ENVIRONMENT = "dependencies: [tool]\n"
BY = 'import os\nopen(snakemake.output[0], "w").write(os.environ["BY"])\n'


@pytest.fixture(scope="module")
async def conda_engine(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[SnakemakeEngine, FolderProvider]]:
    """An engine in its sandbox, with a provider whose folder is hidden but for what the engine grants."""
    root = tmp_path_factory.mktemp("conda")
    settings = RunnerSettings(state_dir=root / "state", blobs=str(root / "blobs"))
    provider = FolderProvider(root / "state" / "environments")
    async with SnakemakeEngine({}, sandbox=policy(settings, {}), providers=[provider]) as engine:
        yield engine, provider


@pytest.fixture
def provider(conda_engine: tuple[SnakemakeEngine, FolderProvider]) -> FolderProvider:
    return conda_engine[1]


@pytest.fixture
def conda(conda_engine: tuple[SnakemakeEngine, FolderProvider], tmp_path: Path) -> EngineHarness:
    harness = EngineHarness(conda_engine[0], tmp_path)
    harness.write({"envs/tool.yaml": f"name: {tmp_path.name}\n{ENVIRONMENT}"})
    return harness


def steps(harness: EngineHarness) -> list[Task]:
    return [task for task in harness.emitted.tasks.values() if task.kind is not TaskKind.RULE]


async def test_rules_get_the_environments_that_they_declare(conda: EngineHarness) -> None:
    """A command, a script in Python and a `run:` block; each has variables of the environment and of its packages."""
    conda.write({"prefix.py": 'import os\nopen(snakemake.output[0], "w").write(os.environ["CONDA_PREFIX"])\n'})
    outcome = await conda.succeed(
        """
        rule all:
            input: "shell.txt", "script.txt", "run.txt"
        rule shell:
            output: "shell.txt"
            conda: "envs/tool.yaml"
            shell: 'tool a > {output}; echo "$CONDA_PREFIX;$ACTIVATED;$OF_FILE" >> {output}'
        rule script:
            output: "script.txt"
            conda: "envs/tool.yaml"
            script: "prefix.py"
        rule run:
            output: "run.txt"
            conda: "envs/tool.yaml"
            run: shell("tool b > {output}")
        """
    )
    path = outcome.provided[0].identity
    prefix = (conda.work / "script.txt").read_text()
    assert prefix.endswith(f"/{path}")
    assert (conda.work / "shell.txt").read_text() == f"{prefix}/bin/tool a\n{prefix};{prefix};it's set\n"
    assert (conda.work / "run.txt").read_text() == f"{prefix}/bin/tool b\n"


async def test_a_script_runs_with_the_python_of_its_environment(conda: EngineHarness) -> None:
    """And gets the object `snakemake` there."""
    conda.write({"py.yaml": "dependencies: [python]\n", "by.py": BY})
    await conda.succeed('rule v:\n    output: "v.txt"\n    conda: "py.yaml"\n    script: "by.py"\n')
    assert (conda.work / "v.txt").read_text().endswith("/bin/python")


async def test_an_attempt_that_is_killed_while_it_waits_ends_its_requests(
    conda: EngineHarness, provider: FolderProvider
) -> None:
    """The step ends as cancelled, and what waited for it with it."""
    conda.write({"slow.yaml": f"# killed {conda.root}\ndependencies: [slow]\n"})
    snakefile = 'rule v:\n    output: "v.txt"\n    conda: "slow.yaml"\n    shell: "slow > {output}"\n'

    async def run() -> None:
        with pytest.raises(EngineFault, match="killed by SIGKILL"):
            await conda.run(snakefile)

    before = provider.cancelled
    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await until(lambda: provider.waiting)
        (attempt,) = conda.processes()
        os.kill(attempt, signal.SIGKILL)
    assert provider.cancelled == before + 1
    (step,) = steps(conda)
    assert step.state is TaskState.CANCELLED


async def test_a_preparation_is_a_visible_step_with_its_log(conda: EngineHarness) -> None:
    """It is not counted as a task of the workflow, and a second run has it at once."""
    snakefile = """
        rule v:
            output: "v.txt"
            conda: "envs/tool.yaml"
            shell: "tool > {output}"
        """
    outcome = await conda.succeed(snakefile)
    (step,) = steps(conda)
    assert (step.name, step.kind, step.state) == ("conda: envs/tool.yaml", TaskKind.ENVIRONMENT, TaskState.COMPLETED)
    assert step.started_at is not None
    assert step.ended_at is not None
    assert step.message == "it was prepared: 1 package"
    assert conda.emitted.log(LogStream.STDOUT, step.name) == "looking for packages\nall packages are there\n"
    (ended,) = [change for change in conda.emitted.changes if change.task.id == step.id and change.stdout]
    assert (conda.logs / str(ended.stdout)).read_text() == "looking for packages\nall packages are there\n"
    assert outcome.tasks.total == 1
    assert [item.name for item in outcome.provided[0].packages] == ["tool"]

    outcome = await conda.succeed(snakefile, engine_parameters={"forceall": None})
    (step,) = steps(conda)
    assert step.message == "it was there already: 1 package"
    assert outcome.provided[0].is_cached


async def test_an_environment_that_cannot_be_solved_fails_the_run_with_the_reason(conda: EngineHarness) -> None:
    """No task starts, and the step has the solver's own text."""
    conda.write({"bad.yaml": "dependencies: [unsolvable]\n"})
    failure = await conda.fail(
        """
        rule v:
            output: "v.txt"
            conda: "bad.yaml"
            shell: "touch started {output}"
        """
    )
    assert failure.cause is FailureCause.WORKFLOW
    assert failure.message == "conda: bad.yaml cannot be provided: no solution was found"
    assert failure.stderr_tail == "nothing provides unsolvable 9.9"
    (step,) = steps(conda)
    assert (step.state, step.message) == (TaskState.FAILED, "no solution was found")
    assert "nothing provides unsolvable 9.9" in conda.emitted.log(LogStream.STDOUT, step.name)
    assert not (conda.work / "started").exists()


@pytest.mark.parametrize(("package", "reason"), [("unreachable", "the channel does not"), ("broken", "a fault of the")])
async def test_what_may_succeed_later_is_no_fault_of_the_workflow(
    conda: EngineHarness, package: str, reason: str
) -> None:
    """A channel that does not answer, and a provider that crashes."""
    conda.write({"bad.yaml": f"dependencies: [{package}]\n"})
    failure = await conda.fail('rule v:\n    output: "v.txt"\n    conda: "bad.yaml"\n    shell: "touch {output}"\n')
    assert failure.cause is FailureCause.SYSTEM
    assert reason in failure.message


async def test_files_beside_an_environment_are_a_part_of_it(conda: EngineHarness, provider: FolderProvider) -> None:
    """Wildcards select the file, and a function may."""
    files = {"envs/a.yaml": "dependencies: [a]\n", "envs/b.yml": "dependencies: [b]\n"}
    conda.write(files | {"envs/a.linux-64.pin.txt": "@EXPLICIT\n", "envs/a.post-deploy.sh": "#!/bin/sh\n"})
    provider.requirements.clear()
    await conda.succeed(
        """
        rule all:
            input: "a.txt", "b.txt"
        rule a:
            output: "{name}.txt"
            wildcard_constraints: name="a"
            conda: "envs/{name}.yaml"
            shell: "{wildcards.name} > {output}"
        rule b:
            output: "{name}.txt"
            wildcard_constraints: name="b"
            params: file="envs/b.yml"
            conda: lambda wildcards, params: params.file
            shell: "{wildcards.name} > {output}"
        """
    )
    requested = {item.label: item for item in provider.requirements}
    a, b = requested["envs/a.yaml"], requested["envs/b.yml"]
    assert isinstance(a, CondaEnvironment)
    assert isinstance(b, CondaEnvironment)
    assert (a.pins, a.post_deploy) == ("@EXPLICIT\n", "#!/bin/sh\n")
    assert (b.specification, b.pins, b.post_deploy) == ("dependencies: [b]\n", None, None)


async def test_environments_by_name_are_those_that_the_operator_offers(conda: EngineHarness) -> None:
    """Another name fails the run, and the reason names those that there are."""
    snakefile = 'rule v:\n    output: "v.txt"\n    conda: "{name}"\n    shell: "tool > {{output}}"\n'
    await conda.succeed(snakefile.format(name="offered"))
    failure = await conda.fail(snakefile.format(name="other"), engine_parameters={"forceall": None})
    assert "offered are: offered" in failure.message


async def test_a_local_wrapper_brings_its_environment(conda: EngineHarness) -> None:
    """A wrapper of the workflow's own folder needs nothing of the network."""
    wrapper = 'from snakemake.shell import shell\nshell("tool > {snakemake.output}")\n'
    conda.write({"wrap/wrapper.py": wrapper, "wrap/environment.yaml": ENVIRONMENT})
    await conda.succeed('rule v:\n    output: "v.txt"\n    wrapper: "file:wrap"\n')
    assert "/bin/tool" in (conda.work / "v.txt").read_text()


async def test_an_environment_that_a_checkpoint_brings_is_prepared_then(conda: EngineHarness) -> None:
    """The graph grows while the run runs."""
    conda.write({"late.yaml": "dependencies: [late]\n"})
    await conda.succeed(
        """
        rule all:
            input: "sum.txt"
        checkpoint split:
            output: directory("parts")
            shell: "mkdir {output}; touch {output}/a"
        rule late:
            input: "parts/{i}"
            output: "late/{i}"
            conda: "late.yaml"
            shell: "late > {output}"
        def parts(wildcards):
            return expand("late/{i}", i=glob_wildcards(checkpoints.split.get().output[0] + "/{i}").i)
        rule sum:
            input: parts
            output: "sum.txt"
            shell: "cat {input} > {output}"
        """
    )
    (step,) = steps(conda)
    assert step.name == "conda: late.yaml"
    assert "/bin/late" in (conda.work / "sum.txt").read_text()


async def test_only_environments_of_rules_that_run_are_prepared(conda: EngineHarness) -> None:
    """A rule that needs not run would be prepared for nothing."""
    conda.write({"bad.yaml": "dependencies: [unsolvable]\n", "done.txt": ""})
    await conda.succeed(
        """
        rule v:
            input: "done.txt"
            output: "v.txt"
            conda: "envs/tool.yaml"
            shell: "tool > {output}"
        rule done:
            output: "done.txt"
            conda: "bad.yaml"
            shell: "touch {output}"
        """,
        engine_parameters={"rerun-triggers": "mtime"},
    )


async def test_a_changed_environment_makes_outputs_stale(conda: EngineHarness) -> None:
    """As in Snakemake itself: by content, and not by place."""
    snakefile = 'rule v:\n    output: "v.txt"\n    conda: "envs/tool.yaml"\n    shell: "tool > {output}"\n'
    await conda.succeed(snakefile)
    outcome = await conda.succeed(snakefile)
    assert outcome.tasks.total == 0
    conda.write({"envs/tool.yaml": "dependencies: [tool, other]\n"})
    outcome = await conda.succeed(snakefile)
    assert outcome.tasks.done == 1


async def test_a_plan_prepares_nothing_and_lists_what_a_run_would_need(
    conda: EngineHarness, provider: FolderProvider
) -> None:
    """What is there, what is not, and what cannot be."""
    new = f"# {conda.root}\n{ENVIRONMENT}"
    conda.write({"new.yaml": new, "bad.yaml": "dependencies: [unsolvable]\n"})
    rule = 'rule {name}:\n    output: "{name}.txt"\n    conda: "{file}"\n    shell: "tool > {{output}}"\n'
    await conda.succeed(rule.format(name="old", file="envs/tool.yaml"))
    provider.requirements.clear()
    rules = [("old", "envs/tool.yaml"), ("new", "new.yaml"), ("bad", "bad.yaml")]
    snakefile = "rule all:\n    input: 'old.txt', 'new.txt', 'bad.txt'\n"
    snakefile += "".join(rule.format(name=name, file=file) for name, file in rules)
    outcome = await conda.succeed(snakefile, is_dry=True, engine_parameters={"forceall": None})
    assert provider.requirements == []
    assert sorted(outcome.planned, key=lambda item: item.label) == [
        PlannedItem(kind=TaskKind.ENVIRONMENT, label="bad.yaml", problem="no solution was found"),
        PlannedItem(kind=TaskKind.ENVIRONMENT, label="envs/tool.yaml", is_cached=True),
        PlannedItem(kind=TaskKind.ENVIRONMENT, label="new.yaml"),
    ]
    assert steps(conda) == []
    assert outcome.findings == ()


async def test_a_run_can_be_stopped_while_it_waits(conda: EngineHarness, provider: FolderProvider) -> None:
    """The step ends as cancelled, and the request with it."""
    conda.write({"slow.yaml": f"# {conda.root}\ndependencies: [slow]\n"})
    snakefile = 'rule v:\n    output: "v.txt"\n    conda: "slow.yaml"\n    shell: "slow > {output}"\n'
    outcomes: list[OutcomeKind] = []

    async def run() -> None:
        outcomes.append((await conda.run(snakefile)).kind)

    before = provider.cancelled
    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await until(lambda: provider.waiting)
        conda.stop.set()
    assert outcomes == [OutcomeKind.STOPPED]
    assert provider.cancelled == before + 1
    (step,) = steps(conda)
    assert (step.state, step.ended_at is None) == (TaskState.CANCELLED, False)
    assert conda.processes() == []


async def test_what_is_not_provided_is_refused_before_anything_is_prepared(
    conda: EngineHarness, provider: FolderProvider
) -> None:
    """A container is none of the provider's; the environment would be prepared for nothing."""
    provider.requirements.clear()
    failure = await conda.fail(
        """
        rule v:
            output: "v.txt"
            conda: "envs/tool.yaml"
            container: "docker://alpine"
            shell: "tool > {output}"
        """
    )
    assert "`container: docker://alpine`" in failure.message
    assert "conda" not in failure.message
    assert provider.requirements == []


async def test_the_environments_of_a_run_cannot_be_changed_by_it(conda: EngineHarness) -> None:
    """They are shared between all runs of the runner."""
    failure = await conda.fail(
        """
        rule v:
            output: "v.txt"
            conda: "envs/tool.yaml"
            shell: 'echo x > "$CONDA_PREFIX/bin/tool"'
        """
    )
    assert failure.exit_code is not None
