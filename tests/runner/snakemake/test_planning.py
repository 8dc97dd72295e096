"""Plans by the real engine: what would run and why, or why it could not; and nothing stays behind."""

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from tests.engine_folders import SNAKEMAKE_FOLDERS

from penstock_engines.mock.engine import STEPS, MockEngine
from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_execution.local_workspace import LocalWorkspaces
from penstock_runner.attempts.planning import MAX_PLANS, Planner, plan_of
from penstock_runner.ready_engines import ReadyEngine
from penstock_runner.remote_sources.runner_sources import RunnerSources
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import Source, SourceKind
from penstock_schemas.plans import MAX_PLANNED_TASKS, PlanReply, PlanRequest
from penstock_schemas.views import Task, TaskState
from penstock_sources.egress.addresses import SourceHosts
from penstock_sources.workspace.sources import Sources
from penstock_testing.memory import MemoryBlobs

WORKFLOW = """
    import pathlib
    rule all:
        input: "total.txt"
    rule one:
        output: "out/{sample}.txt"
        shell: "touch ran; echo {wildcards.sample} > {output}"
    checkpoint total:
        input: expand("out/{sample}.txt", sample=config["samples"])
        output: "total.txt"
        shell: "cat {input} > {output}"
"""


class Desk:
    def __init__(self, engine: SnakemakeEngine, folder: Path) -> None:
        self.workflow = folder / "workflow"
        self.workflow.mkdir()
        self.plans = folder / "plans"
        workspaces = LocalWorkspaces(folder, Sources(MemoryBlobs(), [folder], reserved=SNAKEMAKE_FOLDERS))
        engines = {"snakemake": ReadyEngine(engine, workspaces), "mock": ReadyEngine(MockEngine())}
        self.planner = Planner(engines, RunnerSources(SourceHosts(), (), MemoryBlobs(), folder), cores=1)

    async def plan(self, snakefile: str, **parameters: object) -> PlanReply:
        (self.workflow / "Snakefile").write_text(dedent(snakefile).lstrip("\n"))
        source = Source(kind=SourceKind.PATH, location=str(self.workflow))
        request = PlanRequest(pipeline_name="p", engine="snakemake", source=source, parameters=parameters)
        reply = await self.planner.answer(request)
        assert not list(self.plans.iterdir()), "the plan left its folder behind"
        assert [path.name for path in self.workflow.iterdir()] == ["Snakefile"]
        return reply


@pytest.fixture
def desk(engine: SnakemakeEngine, tmp_path: Path) -> Desk:
    return Desk(engine, tmp_path)


async def test_a_plan_states_what_would_run_and_why(desk: Desk) -> None:
    reply = await desk.plan(WORKFLOW, samples=["a", "b"])
    plan = reply.plan
    assert plan is not None, reply
    assert {rule.rule: rule.tasks for rule in plan.rules} == {"all": 1, "one": 2, "total": 1}
    assert (plan.total, plan.is_cut) == (4, False)
    total = next(task for task in plan.tasks if task.rule == "total")
    ones = {task.id: task for task in plan.tasks if task.rule == "one"}
    assert total.is_checkpoint
    assert set(total.depends_on) == set(ones)
    assert {one.wildcards["sample"] for one in ones.values()} == {"a", "b"}
    assert all("Missing output files" in (one.reason or "") for one in ones.values())


ORDERED = """
    rule all:
        input: "d.txt"
    rule d:
        input: "b.txt", "c.txt"
        output: "d.txt"
        shell: "cat {input} > {output}"
    rule b:
        input: "a.txt"
        output: "b.txt"
        shell: "cat {input} > {output}"
    rule c:
        input: "a.txt"
        output: "c.txt"
        shell: "cat {input} > {output}"
    rule a:
        output: "a.txt"
        shell: "echo a > {output}"
"""


def reasons_of_snakemake(folder: Path) -> dict[str, str]:
    """Return the reasons that the bare command names, by rule."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1"]
    text = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    reason: (.*)\n", text, re.MULTILINE)
    return {rule: _sorted_files(reason) for rule, reason in found}


def _sorted_files(reason: str) -> str:
    """Put the files of each part in order: Snakemake has them in a set."""
    parts = [part.partition(": ") for part in reason.split("; ")]
    return "; ".join(f"{what}: {', '.join(sorted(files.split(', ')))}" for what, _, files in parts)


@pytest.mark.system
async def test_a_plan_has_the_reasons_of_the_bare_command_in_the_order_of_the_graph(desk: Desk, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "Snakefile").write_text(dedent(ORDERED))
    reply = await desk.plan(ORDERED)
    assert reply.plan is not None, reply
    assert {task.rule: _sorted_files(task.reason or "") for task in reply.plan.tasks} == reasons_of_snakemake(bare)
    assert [task.rule for task in reply.plan.tasks] == ["a", "b", "c", "d", "all"]


async def test_a_plan_reports_what_its_run_would_be_refused_for(desk: Desk) -> None:
    reply = await desk.plan('rule v:\n    output: "v"\n    container: "docker://alpine"\n    shell: "touch v"\n')
    assert reply.plan is not None, reply
    (finding,) = reply.plan.findings
    assert (finding.rule, finding.directive) == ("v", "container")
    assert reply.plan.refusal is not None
    assert [rule.rule for rule in reply.plan.rules] == ["v"]


@pytest.mark.parametrize(
    ("snakefile", "why"),
    [
        ("rule all:\n    output 'a'\n", "syntax error"),
        ("rule all:\n    input: 'nothing.txt'\n", "nothing.txt"),
        ("print(config['absent'])\n", "absent"),
        ("import sys\nsys.exit(0)\n", "ended the run itself"),
        ("rule a:\n    input: 'x'\n    output: 'x'\n    shell: 'true'\n", "cycle"),
    ],
)
async def test_a_workflow_that_would_fail_at_once_reports_why(desk: Desk, snakefile: str, why: str) -> None:
    reply = await desk.plan(snakefile)
    assert reply.failure is not None, reply
    assert why in reply.failure.message


async def test_what_cannot_be_fetched_is_refused(desk: Desk) -> None:
    source = Source(kind=SourceKind.PATH, location="/nowhere")
    reply = await desk.planner.answer(PlanRequest(pipeline_name="p", engine="snakemake", source=source))
    assert reply.failure is not None
    assert "/nowhere" in reply.failure.message


async def test_the_mock_engine_makes_a_plan_up(desk: Desk) -> None:
    reply = await desk.planner.answer(PlanRequest(pipeline_name="p", engine="mock"))
    assert reply.plan is not None
    assert [rule.rule for rule in reply.plan.rules] == list(STEPS)


async def test_a_runner_makes_only_so_many_plans_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_runner.attempts.planning.MAX_PLANS", 0)
    assert MAX_PLANS > 0
    assert (await desk.planner.answer(PlanRequest(pipeline_name="p", engine="mock"))).is_busy


def test_a_large_plan_is_cut_and_counts_everything() -> None:
    tasks = [
        Task(id=f"t{n}", job_id=JobId("j"), attempt=1, name="one", state=TaskState.WAITING)
        for n in range(MAX_PLANNED_TASKS + 5)
    ]
    plan = plan_of(tasks)
    assert (plan.total, len(plan.tasks), plan.is_cut) == (MAX_PLANNED_TASKS + 5, MAX_PLANNED_TASKS, True)
    assert plan.rules[0].tasks == plan.total
    wide = plan_of(
        [Task(id=f"t{n}", job_id=JobId("j"), attempt=1, name="x" * 9000, state=TaskState.WAITING) for n in range(100)]
    )
    assert wide.is_cut
    assert wide.total == 100
