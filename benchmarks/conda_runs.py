"""What a cached environment costs a run, and many tasks in one environment beside the bare command."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct
from tests.conda.channel import make_channel

from benchmarks.conda_command import install_command
from benchmarks.http_load import Client
from benchmarks.result import Figure, Result, Size, percentile, summarize
from benchmarks.system import running_system, settle

ONE: Final = """\
rule all:
    output: "hello.txt"
    {conda}
    shell: "echo hello > {{output}}"
"""
MANY: Final = """\
rule all:
    input: expand("parts/{{part}}.txt", part=range({tasks}))

rule part:
    output: "parts/{{part}}.txt"
    conda: "greet.yaml"
    shell: "greet {{wildcards.part}} > {{output}}"
"""
DIRECTIVE: Final = 'conda: "greet.yaml"'
CORES: Final = 2
BARE_DEADLINE_S: Final = 900
OVERHEAD_S: Final = 0.05
RATIO: Final = 1.0


class _Plan(Struct, frozen=True):
    runs: int
    tasks: int


PLANS: Final = {Size.TINY: _Plan(1, 3), Size.QUICK: _Plan(9, 100), Size.FULL: _Plan(25, 1_000)}


async def run(size: Size, root: Path) -> Result:
    """Alternate runs with and without an environment, then run many tasks through Penstock and by the command."""
    plan = PLANS[size]
    channel = f"file://{await asyncio.to_thread(make_channel, root / 'channel')}"
    settings = {"PENSTOCK_CONDA_CHANNELS": f"lab={channel}", "PENSTOCK_CORES": str(CORES)}
    plain, with_environment = list[float](), list[float]()
    with running_system(root, PENSTOCK_CONDA_DIR=str(root / "conda"), **settings) as system:
        async with Client(system.http_port) as client:
            built = await _through(client, ONE.format(conda=DIRECTIVE), "lab")
            for _ in range(plan.runs):
                plain.append(await _through(client, ONE.format(conda=""), "lab"))
                with_environment.append(await _through(client, ONE.format(conda=DIRECTIVE), "lab"))
            many = await _through(client, MANY.format(tasks=plan.tasks), "lab")
    bare = _bare(root, MANY.format(tasks=plan.tasks), channel)
    overhead = percentile(with_environment, 50) - percentile(plain, 50)
    return Result(
        name="conda_runs",
        figures=(
            Figure(name="conda: first run, environment built", value=built, unit="s"),
            Figure(
                name="conda: overhead of a cached environment",
                value=overhead,
                unit="s",
                count=plan.runs,
                at_most=OVERHEAD_S,
                samples=summarize(with_environment),
            ),
            Figure(name=f"conda: {plan.tasks} tasks in one environment", value=many, unit="s"),
            Figure(name=f"conda: {plan.tasks} tasks, bare `snakemake --sdm conda`", value=bare, unit="s"),
            Figure(name=f"conda: {plan.tasks} tasks, ours over bare", value=many / bare, unit="", at_most=RATIO),
        ),
    )


def _files(snakefile: str, channel: str) -> Mapping[str, str]:
    return {"Snakefile": snakefile, "greet.yaml": f"channels: [{channel}]\ndependencies: [greet]\n"}


async def _through(client: Client, snakefile: str, channel: str) -> float:
    body: Mapping[str, object] = {"pipeline_name": "bench", "source": {"files": _files(snakefile, channel)}}
    began = time.perf_counter()
    job = await client.call("POST", "/jobs", body)
    ended = await settle(client, job["id"])
    seconds = time.perf_counter() - began
    assert ended == "JobCompleted", f"the workflow ended with {ended}"
    return seconds


def _bare(root: Path, snakefile: str, channel: str) -> float:
    """Run the command once for the environment, then once for the measurement, with the environment there."""
    folder = root / "bare"
    folder.mkdir()
    for name, text in _files(snakefile, channel).items():
        (folder / name).write_text(text)
    environ = os.environ | install_command(root / "conda-command")
    command = [str(Path(sys.executable).parent / "snakemake"), f"-c{CORES}", "--sdm", "conda"]
    _call([*command, "--conda-create-envs-only"], folder, environ)
    began = time.perf_counter()
    _call(command, folder, environ)
    return time.perf_counter() - began


def _call(command: list[str], folder: Path, environ: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environ, check=False, capture_output=True, text=True, timeout=BARE_DEADLINE_S
    )
    assert done.returncode == 0, done.stderr
