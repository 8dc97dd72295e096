"""Outputs of tasks in the cache: taken by later runs of the same user, and left there by good ends alone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.runner.conftest import Stage
from tests.runner.snakemake.test_retries import Retries

from penstock_engines.snakemake.attempt_events.cached_tasks import source_digest, task_cache_of
from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_engines.snakemake.settings import CachedRules, CacheSharing, SnakemakeSettings
from penstock_execution.files.folder_search import stamps_of
from penstock_schemas.jobs import JobState
from penstock_schemas.views import Job, Task

pytestmark = pytest.mark.system

SNAKEFILE = """
rule all:
    input: "a.out", "b.out", "s.out"
rule declared:
    input: "{name}.in"
    output: "{name}.out"
    cache: True
    shell: "echo {wildcards.name} >> {config[ran]}; cat {input} > {output}"
rule fails:
    input: "a.out"
    output: "s.out"
    shell: "echo fails >> {config[ran]}; echo s > {output}; test -e {config[ok]}"
"""


class Cached(Retries):
    async def go(self, state: JobState = JobState.COMPLETED, *, text: str = SNAKEFILE, b: str = "B") -> Job:
        named = {"Snakefile": text, "a.in": "A", "b.in": b}
        return await self.run(await self.source(**named), state=state)

    async def tasks_of(self, job: Job) -> dict[str, Task]:
        page = await self.stage.tasks.tasks(job.tenant, job.id)
        return {f"{task.name}-{task.wildcards.get('name', '')}".rstrip("-"): task for task in page.tasks}


async def cached(stage: Stage, settings: SnakemakeSettings, folder: Path, shared: Path) -> AsyncIterator[Cached]:
    cache = task_cache_of(settings, folder / "cache")
    async with SnakemakeEngine(cache=cache) as engine:
        yield Cached(stage, engine, folder, shared)


@pytest.fixture
async def owners(stage: Stage, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cached]:
    """Runs whose owner shares the cache over all workflows."""
    shared = tmp_path_factory.getbasetemp() / "cached" / tmp_path.name
    shared.parent.mkdir(exist_ok=True)
    settings = SnakemakeSettings(task_cache_shared_by=CacheSharing.OWNER)
    async for made in cached(stage, settings, tmp_path, shared):
        yield made


async def test_a_later_run_takes_outputs_from_the_cache(owners: Cached) -> None:
    first = await owners.go(JobState.FAILED)
    assert {"a", "fails"} <= set(owners.tasks)
    owners.ok.touch()
    second = await owners.go(b="changed")
    assert sorted(owners.tasks) == ["b", "fails"]
    assert second.tasks.done == second.tasks.total == 4
    tasks = await owners.tasks_of(second)
    assert tasks["declared-a"].cached_from == first.id
    assert tasks["declared-b"].cached_from is None
    content = await owners.stage.blobs.get_bytes(f"jobs/{second.id}/outputs/a.out")
    assert content == b"A"


async def test_a_failed_task_leaves_nothing(owners: Cached) -> None:
    every = SNAKEFILE.replace('output: "s.out"', 'output: "s.out"\n    cache: True')
    await owners.go(JobState.FAILED, text=every)
    await owners.go(JobState.FAILED, text=every)
    assert "fails" in owners.tasks
    owners.ok.touch()
    await owners.go(text=every)
    assert "fails" in owners.tasks
    await owners.go(text=every)
    assert owners.tasks == []


async def test_a_damaged_entry_makes_the_task_run_again(owners: Cached) -> None:
    owners.ok.touch()
    await owners.go()
    for kept in (owners.folder / "cache").glob("*/*/0"):
        kept.write_text("forged")
    last = await owners.go()
    assert sorted(owners.tasks) == ["a", "b", "fails"]
    assert await owners.stage.blobs.get_bytes(f"jobs/{last.id}/outputs/a.out") == b"A"


async def test_by_default_only_the_same_workflow_files_share(
    stage: Stage, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shared = tmp_path_factory.getbasetemp() / "cached" / tmp_path.name
    shared.parent.mkdir(exist_ok=True)
    settings = SnakemakeSettings(task_cache_rules=CachedRules.EVERY)
    async for runs in cached(stage, settings, tmp_path, shared):
        runs.ok.touch()
        await runs.go()
        await runs.go()
        assert runs.tasks == []
        await runs.go(text=SNAKEFILE + "# another text")
        assert sorted(runs.tasks) == ["a", "b", "fails"]


def test_the_digest_of_a_source_is_of_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "link").symlink_to("a")
    stamps = stamps_of(tmp_path)
    digest = source_digest(tmp_path, stamps)
    (tmp_path / "result").write_text("no part of the source")
    assert source_digest(tmp_path, stamps) == digest
    (tmp_path / "a").write_text("b")
    assert source_digest(tmp_path, stamps) != digest
    assert source_digest(tmp_path, None) != source_digest(tmp_path, None)
