"""Measure the whole system: a table on the terminal, JSON in `benchmarks/results/`."""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio
import msgspec
from msgspec import Struct

from benchmarks import (
    compression,
    conda_runs,
    footprint,
    machine,
    no_op_jobs,
    queries,
    recovery,
    snakemake_runs,
    starts,
    submit,
    submit_to_running,
    wes_submit,
)
from benchmarks.peers import comparison
from benchmarks.result import Figure, Rating, Result, Size

RESULTS: Final = Path(__file__).parent / "results"
LIMIT_S: Final = {Size.TINY: 120.0, Size.QUICK: 240.0, Size.FULL: 600.0}
"""No measurement takes longer, besides `JOB_S` for each job of a history."""
JOB_S: Final = 0.01
MAX_JOBS: Final = 1_000_000
"""The longest history: about 4 GB on the disk."""

Measure = Callable[[Size, Path], Awaitable[Result]]
WITH_HISTORY: Final[Mapping[str, Callable[[Size, Path, int | None], Awaitable[Result]]]] = {
    "no_op_jobs": no_op_jobs.run,
    "queries": queries.run,
    "starts": starts.run,
}
"""Those that depend on how many jobs there are already."""
MEASURES: Final[Mapping[str, Measure]] = {
    "submit": submit.run,
    "peers": comparison.run,
    "submit_to_running": submit_to_running.run,
    "wes_submit": wes_submit.run,
    "no_op_jobs": no_op_jobs.run,
    "snakemake_runs": snakemake_runs.run,
    "conda_runs": conda_runs.run,
    "queries": queries.run,
    "starts": starts.run,
    "footprint": footprint.run,
    "recovery": recovery.run,
    "compression": compression.run,
}


class Report(Struct, frozen=True, kw_only=True):
    """Everything that one call of this program measured."""

    machine: machine.Machine
    size: Size
    seconds: float
    results: tuple[Result, ...]
    failed: dict[str, str]
    """Measurements that came to no end, and why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was requested; return 1 when a measurement did not finish."""
    options = _parse(arguments)
    size = Size(options.size)
    began = time.perf_counter()
    facts = machine.describe()
    results, failed = list[Result](), dict[str, str]()
    for name in options.only or MEASURES:
        try:
            results.append(_measure(name, size, options.jobs))
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # one that fails must not cost the others
            failed[name] = f"{type(error).__name__}: {error}"
            print(f"{name} FAILED\n{''.join(traceback.format_exception(error))}", file=sys.stderr)
        else:
            print("\n".join(_table(results[-1])), flush=True)
    report = Report(
        machine=facts,
        size=size,
        seconds=time.perf_counter() - began,
        results=tuple(results),
        failed=failed,
    )
    path = options.output or RESULTS / f"{facts.time:%Y-%m-%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    print(_conclusion(report))
    return 1 if failed else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", dest="size", action="store_const", const="quick", help="minutes, smaller histories")
    sizes.add_argument("--tiny", dest="size", action="store_const", const="tiny", help="only see that it works")
    parser.add_argument("--only", metavar="NAME", action="append", choices=MEASURES, help="one of: %(choices)s")
    parser.add_argument(
        "--jobs",
        type=_history,
        metavar="N",
        help=f"jobs of history, up to {MAX_JOBS:,}, for {', '.join(WITH_HISTORY)}; a million takes half an hour each",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the JSON goes")
    parser.set_defaults(size="full")
    return parser.parse_args(arguments)


def _history(text: str) -> int:
    """Return a number of jobs.

    Raises:
        ValueError: it is none, or out of bounds.

    """
    jobs = int(text.replace("_", ""))
    if not 1 <= jobs <= MAX_JOBS:
        raise ValueError
    return jobs


def _measure(name: str, size: Size, jobs: int | None) -> Result:
    async def limited() -> Result:
        with anyio.fail_after(LIMIT_S[size] + JOB_S * (jobs or 0)):
            if jobs is not None and name in WITH_HISTORY:
                return await WITH_HISTORY[name](size, Path(root), jobs)
            return await MEASURES[name](size, Path(root))

    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as root:
        return anyio.run(limited, backend_options={"use_uvloop": True})


def _table(result: Result) -> list[str]:
    width = max(len(figure.name) for figure in result.figures)
    lines = [f"\n{result.name}"]
    for figure in result.figures:
        rating = figure.rating.value
        lines.append(
            f"  {figure.name:<{width}}  {_number(figure.value):>10} {figure.unit:<4} {_budget(figure):<11} {rating}"
        )
    return [*lines, *(f"  {note}" for note in result.notes)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def _budget(figure: Figure) -> str:
    if figure.at_least is not None:
        return f">= {_number(figure.at_least)}"
    return f"<= {_number(figure.at_most)}" if figure.at_most is not None else ""


def _conclusion(report: Report) -> str:
    ratings = [figure.rating for result in report.results for figure in result.figures]
    met, missed = ratings.count(Rating.MET), ratings.count(Rating.MISSED)
    facts = report.machine
    return (
        f"\n{met} budgets met, {missed} missed, {len(report.failed)} measurements failed; {report.seconds:.0f} s on "
        f"{facts.cores} cores ({facts.cpu}), Python {facts.python}, nats-server {facts.nats_server}, "
        f"load {facts.load_before:.1f} before"
    )


if __name__ == "__main__":
    sys.exit(main())
