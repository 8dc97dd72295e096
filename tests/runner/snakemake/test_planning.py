"""Plans by the real engine: what would run and why, or why it could not; and nothing stays behind."""

from pathlib import Path
from textwrap import dedent

import pytest

from penstock_core.memory import MemoryBlobs
from penstock_runner.engines.mock import STEPS, MockEngine
from penstock_runner.engines.snakemake import SnakemakeEngine
from penstock_runner.planning import MAX_PLANS, Planner, plan_of
from penstock_runner.sources import Sources
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import Source, SourceKind
from penstock_schemas.plans import MAX_PLANNED_TASKS, PlanReply, PlanRequest
from penstock_schemas.views import Task, TaskState

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
        sources = Sources(MemoryBlobs(), [folder])
        self.planner = Planner({"snakemake": engine, "mock": MockEngine()}, sources, self.plans, cores=1)

    async def plan(self, snakefile: str, **parameters: object) -> PlanReply:
        (self.workflow / "Snakefile").write_text(dedent(snakefile).lstrip("\n"))
        source = Source(kind=SourceKind.PATH, location=str(self.workflow))
        request = PlanRequest(pipeline_name="p", engine="snakemake", source=source, parameters=parameters)
        reply = await self.planner.answer(request)
        assert not list(self.plans.iterdir()), "the plan left its folder behind"
        assert [each.name for each in self.workflow.iterdir()] == ["Snakefile"]
        return reply


@pytest.fixture
def desk(engine: SnakemakeEngine, tmp_path: Path) -> Desk:
    return Desk(engine, tmp_path)


async def test_a_plan_says_what_would_run_and_why(desk: Desk) -> None:
    reply = await desk.plan(WORKFLOW, samples=["a", "b"])
    plan = reply.plan
    assert plan is not None, reply
    assert {each.rule: each.tasks for each in plan.rules} == {"all": 1, "one": 2, "total": 1}
    assert (plan.total, plan.is_cut) == (4, False)
    total = next(each for each in plan.tasks if each.rule == "total")
    ones = {each.id: each for each in plan.tasks if each.rule == "one"}
    assert total.is_checkpoint
    assert set(total.depends_on) == set(ones)
    assert {each.wildcards["sample"] for each in ones.values()} == {"a", "b"}
    assert all("Missing output files" in (each.reason or "") for each in ones.values())


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
async def test_a_workflow_that_would_fail_at_once_says_why(desk: Desk, snakefile: str, why: str) -> None:
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
    assert [each.rule for each in reply.plan.rules] == list(STEPS)


async def test_a_runner_makes_only_so_many_plans_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_runner.planning.MAX_PLANS", 0)
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
