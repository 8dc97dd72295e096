"""Branch coverage of the product, checked at the end of a whole run under `coverage run -m pytest`.

Pure folders need 95 %, everything together 85 %, of lines and branches together. Code that runs only in another process
(an attempt, the zygote) counts as not covered.
"""

import json
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import coverage
import pytest

MIN_PURE_PERCENT: Final = 95.0
MIN_PERCENT: Final = 85.0
PURE: Final = ("/penstock_schemas/", "/penstock_domain/", "/core/")
"""Parts of paths whose modules are pure: the import rules keep clocks and I/O out of them."""
RESULT: Final = pytest.StashKey[str]()


def percent(files: Mapping[str, Mapping[str, int]], parts: tuple[str, ...] = ("",)) -> float:
    """Return how much of the files whose path has one of `parts` was run, of lines and branches together."""
    chosen = [summary for path, summary in files.items() if any(part in f"/{path}" for part in parts)]
    run = sum(summary["covered_lines"] + summary["covered_branches"] for summary in chosen)
    total = sum(summary["num_statements"] + summary["num_branches"] for summary in chosen)
    return 100.0 * run / total if total else 100.0


@contextmanager
def paused() -> Generator[None]:
    """Measure nothing: a simulation takes much longer when each of its lines is counted."""
    measured = coverage.Coverage.current()
    if measured is None:
        yield
        return
    measured.stop()
    try:
        yield
    finally:
        measured.start()


def check(session: pytest.Session) -> None:
    """Fail a run whose coverage is too low. Without Coverage.py, or when tests were selected, do nothing."""
    measured = coverage.Coverage.current()
    if measured is None or session.config.args_source is pytest.Config.ArgsSource.ARGS:
        return
    measured.stop()
    measured.save()
    files = _summaries(measured)
    pure, everything = percent(files, PURE), percent(files)
    session.config.stash[RESULT] = (
        f"branch coverage: pure folders {pure:.1f} % (at least {MIN_PURE_PERCENT:.0f}), "
        f"everything {everything:.1f} % (at least {MIN_PERCENT:.0f})"
    )
    if pure < MIN_PURE_PERCENT or everything < MIN_PERCENT:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _summaries(measured: coverage.Coverage) -> dict[str, dict[str, int]]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        measured.json_report(outfile=str(report))
        files: dict[str, Any] = json.loads(report.read_bytes())["files"]
    return {path: file["summary"] for path, file in files.items()}
