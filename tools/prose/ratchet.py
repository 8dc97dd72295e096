"""The number of findings that each file may have: it may become smaller, and never larger.

The numbers are in `budget.json`. A file that is not recorded there was moved, split off or added. Such files together
may have as many findings as the recorded files have become fewer.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from tools.prose.findings import Finding

BUDGET: Final = Path(__file__).with_name("budget.json")


class BudgetGrowsError(Exception):
    """There are more findings than recorded, so the budget is not written."""


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """Return the number of findings of each file that has some."""
    return dict(sorted(Counter(finding.path for finding in findings).items()))


def read(path: Path = BUDGET) -> dict[str, int]:
    """Return the recorded numbers; none where nothing is recorded."""
    return {str(name): int(number) for name, number in json.loads(path.read_text()).items()} if path.exists() else {}


def write(found: Mapping[str, int], path: Path = BUDGET) -> None:
    """Record the numbers of now.

    Raises:
        BudgetGrowsError: There are more than recorded, in total.

    """
    recorded = read(path)
    if path.exists() and sum(found.values()) > sum(recorded.values()):
        raise BudgetGrowsError(
            f"{sum(found.values())} findings, {sum(recorded.values())} are recorded: fix the new ones"
        )
    path.write_text(json.dumps(dict(sorted(found.items())), indent=2) + "\n")


def files_over_budget(found: Mapping[str, int], recorded: Mapping[str, int]) -> tuple[str, ...]:
    """Return the files that have too many findings."""
    over = [name for name, number in found.items() if name in recorded and number > recorded[name]]
    unused = sum(max(0, number - found.get(name, 0)) for name, number in recorded.items())
    unrecorded = [name for name in found if name not in recorded]
    if sum(found[name] for name in unrecorded) > unused:
        over += unrecorded
    return tuple(sorted(over))
