"""Workflows that others wrote run unchanged, and make what the bare `snakemake` command makes of them."""

import sys
from pathlib import Path

import anyio
import pytest
from tests.runner.snakemake.engine_harness import DEADLINE_S, EngineHarness
from tests.runner.snakemake.real_workflows import WORKFLOWS, RealWorkflow, place

pytestmark = pytest.mark.system

DOCUMENT = Path(__file__).parents[3] / "docs/reference/real-workflows.md"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
async def test_a_real_workflow_makes_what_snakemake_makes(harness: EngineHarness, workflow: RealWorkflow) -> None:
    bare = harness.root / "bare"
    await anyio.to_thread.run_sync(place, workflow, bare)
    await anyio.to_thread.run_sync(place, workflow, harness.work)
    command = [sys.executable, "-m", "snakemake", "--cores", str(workflow.cores), "--nocolor"]
    with anyio.fail_after(2 * DEADLINE_S):
        await anyio.run_process(command, cwd=bare)
    outcome = await harness.succeed(cores=workflow.cores)
    assert files_of(harness.work, workflow) == files_of(bare, workflow)
    assert outcome.tasks.total == outcome.tasks.done > 0
    assert outcome.outputs


def files_of(folder: Path, workflow: RealWorkflow) -> dict[str, bytes]:
    """Everything in a folder but Snakemake's own."""
    files: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not {".snakemake", "__pycache__"} & set(name.parts):
            files[str(name)] = b"" if str(name) in workflow.changes else path.read_bytes()
    return files


def test_every_real_workflow_is_documented() -> None:
    text = DOCUMENT.read_text()
    assert [workflow.name for workflow in WORKFLOWS if f"`{workflow.name}`" not in text] == []
