"""A run sees the GPUs that it was given, and its rules together take no more."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from tests.runner.snakemake.engine_harness import EmittedEvents, EngineHarness

from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_execution.engine import Attempt
from penstock_execution.local_workspace import LocalWorkspace
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.ids import DEFAULT_TENANT, JobId

pytestmark = pytest.mark.system

SNAKEFILE = """
    rule all:
        input: expand("{number}.txt", number=range(3))
    rule work:
        output: "{number}.txt"
        resources: gpu=1
        shell: 'echo "$CUDA_VISIBLE_DEVICES $NVIDIA_VISIBLE_DEVICES {resources.gpu}" > {output}; SHELL'
"""


@pytest.fixture(scope="module")
async def counting(anyio_backend: str) -> AsyncIterator[SnakemakeEngine]:
    async with SnakemakeEngine(shares_gpus=False) as engine:
        yield engine


async def run(engine: SnakemakeEngine, folder: Path, gpus: tuple[str, ...], shell: str) -> Path:
    harness = EngineHarness(engine, folder)
    harness.write({"Snakefile": SNAKEFILE.replace("SHELL", shell)})
    logs = folder / "logs"
    logs.mkdir()
    attempt = Attempt(
        job_id=JobId("gpus"),
        tenant=DEFAULT_TENANT,
        attempt=1,
        pipeline_name="test",
        parameters={},
        workspace=LocalWorkspace(harness.work, logs),
        cores=3,
        gpus=gpus,
        engine_parameters={"resources": "gpu=8"},
    )
    with anyio.fail_after(60):
        outcome = await engine.run(attempt, EmittedEvents(), anyio.Event())
    assert outcome.kind is OutcomeKind.SUCCEEDED, outcome
    return harness.work


async def test_rules_take_together_no_more_gpus_than_the_run_has(counting: SnakemakeEngine, tmp_path: Path) -> None:
    work = await run(counting, tmp_path, ("1",), "mkdir running && sleep 0.1 && rmdir running")
    assert (work / "2.txt").read_text() == "1 1 1\n"


async def test_a_run_without_gpus_sees_none(counting: SnakemakeEngine, tmp_path: Path) -> None:
    work = await run(counting, tmp_path, (), "true")
    assert (work / "2.txt").read_text() == " void 0\n"
