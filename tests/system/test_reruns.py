"""Snakemake runs the same jobs again here and at home: for folders with results, records, links and any times.

The folder of an earlier run is changed at random. What the bare command would run in it must be what it would run in
the work directory that a runner stages from it, for every kind of source.
"""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.engine_folders import SNAKEMAKE_FOLDERS
from tests.system import dry_runs
from tests.system.test_fidelity import Way, by_command_line, by_form, by_tar, in_place

from penstock_engines.snakemake.moved_records import move_records
from penstock_execution.files.produced import Produced
from penstock_execution.files.work_entries import work_entries
from penstock_execution.local_workspace import LocalWorkspace
from penstock_runner.attempts.upload_retries import UploadRetries
from penstock_runner.attempts.uploads import Uploads
from penstock_runner.attempts.work_uploads import WorkUploads
from penstock_schemas.ids import JobId
from penstock_sources.workspace.sources import Sources
from penstock_testing.memory import MemoryBlobs

SNAKEFILE = """
configfile: "config.yaml"

rule all:
    input: "out/final.txt", "tree", "out/code.txt"

rule one:
    input: "data/{name}.txt"
    output: "out/{name}.txt"
    params: factor=config["factor"]
    shell: "cat {input} > {output}; echo {params.factor} >> {output}"

rule final:
    input: "out/a.txt", "out/b.txt", "link.txt", "folder"
    output: "out/final.txt"
    shell: "cat out/a.txt out/b.txt link.txt > {output}"

rule tree:
    input: "data/a.txt"
    output: directory("tree")
    shell: "mkdir -p tree; touch tree/x"

rule code:
    input: "data/b.txt"
    output: "out/code.txt"
    run:
        with open(output[0], "w") as file:
            file.write("1")
"""
FILES = ("data/a.txt", "data/b.txt", "data/linked.txt", "out/a.txt", "out/b.txt", "out/final.txt", "out/code.txt")
PLACES = (*FILES, "link.txt", "folder", "tree", "tree/.snakemake_timestamp", "Snakefile")


async def as_results(folder: Path, place: Path) -> Path:
    """Let a folder arrive as the work directory of a failed run arrives at its retry."""
    blobs = MemoryBlobs()
    work = work_entries(folder, source={}, reserved=SNAKEMAKE_FOLDERS)
    produced = Produced(work=work, work_dir=str(folder))
    uploads, retries = WorkUploads(Uploads(blobs)), UploadRetries(0.0)
    results = await uploads.put(JobId("1"), 1, LocalWorkspace(folder, folder), produced, {}, retries)
    staged = await Sources(blobs, (), reserved=SNAKEMAKE_FOLDERS).prepare(None, place / "work", results=results)
    assert staged.lost_results is None
    move_records(place / "work", str(folder))
    return place / "work"


WAYS: Sequence[Way] = (by_command_line, by_form, by_tar, in_place, as_results)

Change = tuple[str, str, int]
changes = st.one_of(
    st.tuples(
        st.just("touch"), st.sampled_from(PLACES), st.sampled_from([-(10**14), -(10**9), -1, 1000, 10**9, 10**11])
    ),
    st.tuples(st.just("write"), st.sampled_from(FILES), st.integers(0, 3)),
    st.tuples(st.just("remove"), st.sampled_from(FILES[3:]), st.just(0)),
    st.tuples(st.just("factor"), st.just("config.yaml"), st.integers(1, 2)),
    st.tuples(st.just("code"), st.just("Snakefile"), st.integers(1, 2)),
    st.tuples(st.just("incomplete"), st.sampled_from(FILES[3:]), st.just(0)),
    st.tuples(st.just("forget"), st.sampled_from(FILES[3:]), st.just(0)),
    st.tuples(st.just("relink"), st.just("link.txt"), st.integers(0, 1)),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the bare command has made everything."""
    folder = tmp_path_factory.mktemp("finished") / "flow"
    for name in ("data", "folder"):
        (folder / name).mkdir(parents=True)
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "config.yaml").write_text("factor: 1\n")
    for name in FILES[:3]:
        (folder / name).write_text(name)
    (folder / "link.txt").symlink_to("data/linked.txt")
    subprocess.run(
        [sys.executable, "-m", "snakemake", "-c1", "-q"], cwd=folder, check=True, capture_output=True, timeout=300
    )
    return folder


def change(folder: Path, kind: str, path: str, amount: int) -> None:
    place = folder / path
    record = base64.urlsafe_b64encode(path.encode()).decode()
    match kind:
        case "touch" if os.path.lexists(place):
            moment = place.lstat().st_mtime_ns + amount
            os.utime(place, ns=(moment, moment), follow_symlinks=False)
        case "write":
            place.write_text(f"{path} {amount}")
        case "remove":
            place.unlink(missing_ok=True)
        case "factor":
            place.write_text(f"factor: {amount}\n")
        case "code":
            place.write_text(SNAKEFILE.replace('write("1")', f'write("{amount}")'))
        case "incomplete":
            (folder / ".snakemake/incomplete").mkdir(exist_ok=True)
            (folder / ".snakemake/incomplete" / record).write_text('{"external_jobid": null}')
        case "forget":
            (folder / ".snakemake/metadata" / record).unlink(missing_ok=True)
        case "relink":
            place.unlink()
            place.symlink_to(("data/a.txt", "./data/../data/linked.txt")[amount])
        case _:
            pass


def would_run(folders: Sequence[Path]) -> list[list[str]]:
    """Return what the bare command would run in each folder, and why."""
    done = subprocess.run(
        [sys.executable, dry_runs.__file__, *map(str, folders)], check=True, capture_output=True, timeout=500
    )
    found: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def compared(finished: Path, top: Path, histories: Sequence[Sequence[Change]]) -> list[list[str]]:
    """Return what would run at home after each history, which is what would run wherever the folder arrives."""
    folders: list[Path] = []
    for number, history in enumerate(histories):
        home = top / str(number) / "flow"
        shutil.copytree(finished, home, symlinks=True)
        for item in history:
            change(home, *item)
        folders.append(home)
        for way in WAYS:
            place = top / str(number) / way.__name__
            place.mkdir()
            folders.append(asyncio.run(way(home, place)))
    found = would_run(folders)
    step = len(WAYS) + 1
    at_home: list[list[str]] = []
    for number, history in enumerate(histories):
        home_lines, *arrived = found[number * step : (number + 1) * step]
        at_home.append(home_lines)
        for way, lines in zip(WAYS, arrived, strict=True):
            assert lines == home_lines, (way.__name__, history)
    return at_home


def test_what_a_change_makes_run_again_is_what_runs(finished: Path, tmp_path: Path) -> None:
    histories: list[list[Change]] = [
        [],
        [("write", "data/a.txt", 3)],
        [("factor", "config.yaml", 2)],
        [("code", "Snakefile", 2)],
        [("remove", "out/final.txt", 0)],
        [("remove", "out/a.txt", 0), ("factor", "config.yaml", 2)],
    ]
    nothing, *something = compared(finished, tmp_path, histories)
    assert nothing == []
    assert all(something)


@settings(max_examples=2, deadline=None, phases=(Phase.generate,), suppress_health_check=(HealthCheck.too_slow,))
@given(histories=st.lists(st.lists(changes, min_size=1, max_size=4), min_size=4, max_size=4))
def test_the_same_jobs_run_again_here_and_at_home(
    finished: Path, tmp_path_factory: pytest.TempPathFactory, histories: list[list[Change]]
) -> None:
    compared(finished, tmp_path_factory.mktemp("histories"), histories)
