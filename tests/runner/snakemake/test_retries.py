"""A retry on another runner begins with what the first run had made, and runs what bare Snakemake would run."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec import json
from msgspec.structs import replace
from tests.runner.conftest import Stage
from tests.runner.runner_harness import eventually
from tests.runner.snakemake.conftest import SHARED

from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_execution.engine import RemainingLease
from penstock_schemas.jobs import JobState, Lineage, LineageKind, ResultsManifest, Source, SourceKind
from penstock_schemas.views import Job

pytestmark = pytest.mark.system

SNAKEFILE = """
import os

def parts(wildcards):
    folder = checkpoints.split.get().output[0]
    return expand("counted/{name}.txt", name=sorted(set(os.listdir(folder)) & {"a", "b"}))

rule all:
    input: "final.txt"
rule temporary:
    output: temp("t.txt")
    shell: "echo temporary >> {config[ran]}; echo t > {output}"
rule folder:
    output: directory("d")
    shell: "echo folder >> {config[ran]}; mkdir -p d/empty; echo x > d/x"
rule side:
    output: "s.txt"
    shell: "echo side >> {config[ran]}; echo s > {output}; echo idx > s.txt.idx; ln -sf s.txt l1; ln -sf $PWD/s.txt l2"
rule absolute:
    input: "s.txt"
    output: os.path.abspath("abs.txt")
    params: here=os.path.abspath("anywhere")
    shell: "echo absolute >> {config[ran]}; cp {input} {output}"
checkpoint split:
    output: directory("parts")
    shell: "echo split >> {config[ran]}; mkdir parts; touch parts/a parts/b"
rule count:
    input: "parts/{name}"
    output: "counted/{name}.txt"
    shell: "echo count-{wildcards.name} >> {config[ran]}; touch {output}"
rule broken:
    input: "t.txt", "d", "s.txt", os.path.abspath("abs.txt"), parts
    output: "b.txt"
    shell: "echo broken >> {config[ran]}; test -e {config[ok]}; "
        "test -d d/empty; cat s.txt.idx l1 l2 t.txt d/x > {output}"
rule final:
    input: "b.txt", "source.txt"
    output: "final.txt"
    shell: "echo final >> {config[ran]}; cat {input} > {output}"
"""
FINISHED = ["absolute", "count-a", "count-b", "folder", "side", "split", "temporary"]


class WarmEngine:
    """An engine of the session, which a runner neither starts nor stops, and which outlives the runner's lease."""

    name = SnakemakeEngine.name

    def __init__(self, engine: SnakemakeEngine) -> None:
        self.version = engine.version
        self.workspaces = engine.workspaces
        self.run = engine.run

    async def __aenter__(self) -> "WarmEngine":
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    def extend_lease(self, remaining_s: RemainingLease) -> None:
        pass


class Retries:
    """Runs a workflow and its retries, each on a new runner with an empty disk."""

    def __init__(self, stage: Stage, engine: SnakemakeEngine, folder: Path, shared: Path) -> None:
        self.stage = stage
        self.engine = WarmEngine(engine)
        self.folder = folder
        shared.mkdir()
        self.ran = shared / "ran.txt"
        self.ok = shared / "ok"
        self._runners = 0

    async def source(self, **files: str) -> Source:
        named = {"Snakefile": SNAKEFILE, "source.txt": "source", **files}
        raw = json.encode({"files": {path: {"text": text} for path, text in named.items()}})
        key = hashlib.sha256(raw).hexdigest()
        await self.stage.blobs.put_bytes(key, raw)
        return Source(kind=SourceKind.BUNDLE, location=key, sha256=key)

    async def run(self, source: Source, lineage: Lineage | None = None, *, state: JobState) -> Job:
        """Run it on a new runner to its end; the record of what ran begins again."""
        self.ran.write_text("")
        self._runners += 1
        self.stage.folder = self.folder / f"runner-{self._runners}"
        after = await self.stage.log.last_seq()
        async with self.stage.runner(self.engine):
            _, joined = await self.stage.desk.joined(after=after)
            job_id = await self.stage.desk.submit(
                engine="snakemake", source=source, lineage=lineage, ran=str(self.ran), ok=str(self.ok)
            )
            await self.stage.desk.assign(job_id, joined.runner_id)

            async def ended() -> Job | None:
                job = await self.stage.desk.job(job_id)
                return job if job.state.is_terminal else None

            job = await eventually(ended, within_s=120.0)
        assert job.state is state, (job.failure, job.warnings)
        return job

    @property
    def tasks(self) -> Sequence[str]:
        """The tasks that ran."""
        return sorted(self.ran.read_text().split())


def retry_of(job: Job) -> Lineage:
    return Lineage(kind=LineageKind.RETRY, parent=job.id, results=job.results, files_time=job.created_at)


@pytest.fixture
def retries(stage: Stage, engine: SnakemakeEngine, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Retries:
    shared = tmp_path_factory.getbasetemp() / SHARED / tmp_path.name
    return Retries(stage, engine, tmp_path, shared)


async def manifest_of(retries: Retries, job: Job) -> ResultsManifest:
    assert job.results is not None
    return json.decode(await retries.stage.blobs.get_bytes(job.results.location), type=ResultsManifest)


async def test_finished_tasks_do_not_run_again_on_another_runner(retries: Retries) -> None:
    source = await retries.source()
    first = await retries.run(source, state=JobState.FAILED)
    assert retries.tasks == sorted([*FINISHED, "broken"])
    again = await retries.run(source, retry_of(first), state=JobState.FAILED)
    assert retries.tasks == ["broken"]

    retries.ok.touch()
    last = await retries.run(source, retry_of(again), state=JobState.COMPLETED)
    assert retries.tasks == ["broken", "final"]
    assert not any("every task runs again" in warning for warning in last.warnings)
    final = await retries.stage.blobs.get_bytes(f"jobs/{last.id}/outputs/final.txt")
    assert final == b"idx\ns\ns\nt\nx\nsource"


async def test_a_changed_input_runs_what_depends_on_it(retries: Retries) -> None:
    source = await retries.source()
    first = await retries.run(source, state=JobState.FAILED)
    retries.ok.touch()
    changed = await retries.source(Snakefile=SNAKEFILE.replace("echo s > {output}", "echo S > {output}"))
    await retries.run(changed, retry_of(first), state=JobState.COMPLETED)
    assert retries.tasks == ["absolute", "broken", "final", "side"]


@pytest.mark.parametrize("damage", ["missing", "changed", "manifest"])
async def test_damaged_results_make_every_task_run_again(retries: Retries, damage: str) -> None:
    source = await retries.source()
    first = await retries.run(source, state=JobState.FAILED)
    assert first.results is not None
    key = next(file.key for file in (await manifest_of(retries, first)).files if file.path == "s.txt")
    blobs = retries.stage.blobs
    if damage == "missing":
        await blobs.delete(key)
    else:
        await blobs.put_bytes(first.results.location if damage == "manifest" else key, b"x\n")
    retries.ok.touch()
    last = await retries.run(source, retry_of(first), state=JobState.COMPLETED)
    assert retries.tasks == sorted([*FINISHED, "broken", "final"])
    assert "every task runs again" in last.warnings[0]


async def test_results_are_stored_once_and_within_the_job(retries: Retries) -> None:
    first = await retries.run(await retries.source(), state=JobState.FAILED)
    manifest = await manifest_of(retries, first)
    keys = {file.path: file.key for file in manifest.files}
    assert keys["s.txt"] == f"jobs/{first.id}/outputs/s.txt"
    assert keys["s.txt.idx"] == f"jobs/{first.id}/1/work/s.txt.idx"
    assert "source.txt" not in keys
    assert "b.txt" not in keys
    assert {path.rpartition("/")[0] for path in keys if path.startswith(".snakemake")} == {".snakemake/metadata"}
    assert all(key.startswith(f"jobs/{first.id}/") for key in keys.values() if key)


async def test_hostile_results_reach_nothing_outside(retries: Retries) -> None:
    source = await retries.source()
    first = await retries.run(source, state=JobState.FAILED)
    manifest = await manifest_of(retries, first)
    outside = retries.folder / "outside"
    outside.mkdir()
    file = next(file for file in manifest.files if file.path == "s.txt")
    link = replace(file, path="way", key="", size_bytes=0, sha256="", link=str(outside))
    for files in (
        (link, replace(file, path="way/in.txt")),
        (replace(file, path="../in.txt"),),
        (replace(file, path=str(outside / "in.txt")),),
        (replace(file, path=".snakemake/locks/in.txt"),),
        (file, file),
    ):
        raw = json.encode(replace(manifest, files=files))
        await retries.stage.blobs.put_bytes("forged", raw)
        assert first.results is not None
        forged = replace(first.results, location="forged", sha256=hashlib.sha256(raw).hexdigest())
        job = await retries.run(source, replace(retry_of(first), results=forged), state=JobState.FAILED)
        assert "every task runs again" in job.warnings[0]
        assert list(outside.iterdir()) == []
