"""Memory use of the idle system, and the time in which the command line prints its help."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.http_load import Client
from benchmarks.result import Figure, Result, Size, percentile, summarize
from benchmarks.system import MOCK_AT_ONCE, running_system, settle, tree

RUNS: Final = {Size.TINY: 1, Size.QUICK: 5, Size.FULL: 11}
WARM_JOBS: Final = 20
MAX_MIB: Final = 200.0
"""The budget of the whole idle system."""


async def run(size: Size, root: Path) -> Result:
    """Weigh every process of the system after it ran a few jobs; then time `penstock --help`."""
    figures, total_pss, total_rss = list[Figure](), 0.0, 0.0
    with running_system(root) as system:
        async with Client(system.http_port) as client:
            for _ in range(WARM_JOBS):
                await settle(client, (await client.call("POST", "/jobs", MOCK_AT_ONCE))["id"])
        for name, service in system.services.items():
            assert service.process is not None
            weights = [_weigh(pid) for pid in tree([service.process.pid])]
            rss, pss = sum(weight[0] for weight in weights), sum(weight[1] for weight in weights)
            total_rss, total_pss = total_rss + rss, total_pss + pss
            figures.append(_memory(f"{name}, RSS", rss, len(weights)))
            figures.append(_memory(f"{name}, PSS", pss, len(weights)))
    figures.append(_memory("whole tree, RSS", total_rss, len(system.services)))
    figures.append(
        _memory(
            "whole tree, PSS: shared pages divided among their users", total_pss, len(system.services), at_most=MAX_MIB
        )
    )
    help_s = [_time([str(Path(sys.executable).parent / "penstock"), "--help"]) for _ in range(RUNS[size])]
    figures.append(
        Figure(
            name="penstock --help",
            value=percentile(help_s, 50),
            unit="s",
            count=len(help_s),
            at_most=0.3,
            samples=summarize(help_s),
        )
    )
    bare_s = [_time([sys.executable, "-c", "pass"]) for _ in range(RUNS[size])]
    figures.append(Figure(name="python -c pass", value=percentile(bare_s, 50), unit="s", count=len(bare_s)))
    return Result(name="footprint", figures=tuple(figures))


def _memory(name: str, mib: float, processes: int, *, at_most: float | None = None) -> Figure:
    return Figure(name=f"memory idle: {name}", value=mib, unit="MiB", count=processes, at_most=at_most)


def _weigh(pid: int) -> tuple[float, float]:
    """Return the resident and the proportional set size of a process, in MiB."""
    fields = {
        name: float(rest.split()[0]) / 1024
        for name, colon, rest in (
            line.partition(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        )
        if colon
    }
    return fields["Rss"], fields["Pss"]


def _time(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return time.perf_counter() - began
