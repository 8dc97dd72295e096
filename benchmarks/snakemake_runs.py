"""Snakemake workflows through Penstock, beside the bare command on the same files in the same run."""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from benchmarks.http_load import Client
from benchmarks.result import Figure, Result, Size, percentile, summarize
from benchmarks.system import running_system, settle

TRIVIAL: Final = """\
rule all:
    output: "hello.txt"
    shell: "echo hello > {output}"
"""
HUNDRED: Final = """\
rule all:
    input: expand("parts/{part}.txt", part=range(99))
    output: "all.txt"
    shell: "cat {input} > {output}"

rule part:
    output: "parts/{part}.txt"
    shell: "echo {wildcards.part} > {output}"
"""
BARE_DEADLINE_S: Final = 120


class _Plan(Struct, frozen=True):
    trivial: int
    hundred: int


PLANS: Final = {Size.TINY: _Plan(1, 0), Size.QUICK: _Plan(5, 1), Size.FULL: _Plan(9, 3)}


async def run(size: Size, root: Path) -> Result:
    """Run each workflow in turn through Penstock and by the command, so that both meet the same machine."""
    plan, figures = PLANS[size], list[Figure]()
    bare = root / "bare"
    bare.mkdir()
    with running_system(root) as system:
        async with Client(system.http_port) as client:
            await _through(client, TRIVIAL)  # warms the engine up, as the bare command's byte code is
            for name, text, count, budget_s in (
                ("one rule", TRIVIAL, plan.trivial, 0.5),
                ("100 jobs", HUNDRED, plan.hundred, None),
            ):
                if count:
                    ours, theirs = list[float](), list[float]()
                    for index in range(count):
                        ours.append(await _through(client, text))
                        theirs.append(_bare(bare / f"{name}-{index}", text))
                    figures.extend(_figures(name, ours, theirs, budget_s))
    return Result(name="snakemake_runs", figures=tuple(figures))


def _figures(name: str, ours: list[float], theirs: list[float], budget_s: float | None) -> tuple[Figure, ...]:
    medians = percentile(ours, 50), percentile(theirs, 50)
    return (
        Figure(
            name=f"Snakemake, {name}: submit to completed",
            value=medians[0],
            unit="s",
            count=len(ours),
            at_most=budget_s,
            samples=summarize(ours),
        ),
        Figure(
            name=f"Snakemake, {name}: bare `snakemake -c1`",
            value=medians[1],
            unit="s",
            count=len(theirs),
            samples=summarize(theirs),
        ),
        Figure(name=f"Snakemake, {name}: ours over bare", value=medians[0] / medians[1], unit="", count=2, at_most=1.0),
    )


async def _through(client: Client, snakefile: str) -> float:
    body: Mapping[str, object] = {"pipeline_name": "bench", "source": {"files": {"Snakefile": snakefile}}}
    began = time.perf_counter()
    job = await client.call("POST", "/jobs", body)
    ended = await settle(client, job["id"])
    seconds = time.perf_counter() - began
    assert ended == "JobCompleted", f"the workflow ended with {ended}"
    return seconds


def _bare(folder: Path, snakefile: str) -> float:
    folder.mkdir()
    (folder / "Snakefile").write_text(snakefile)
    command = [str(Path(sys.executable).parent / "snakemake"), "-c1"]
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=BARE_DEADLINE_S)
    return time.perf_counter() - began
