"""Which runners a job may start on: those with its engine, and of them those that provide most of what it declares.

Which directives a workflow declares is known from the text of its files, so a run may turn out to need fewer of them.
So a directive that no runner provides keeps no job waiting: the attempt finds out, and is refused with the reason.
"""

from collections.abc import Iterable, Sequence

from penstock_domain.demands import SEPARATOR
from penstock_scheduler.core.records import RunnerRecord


def fitting(runners: Iterable[RunnerRecord], demand: str) -> Sequence[RunnerRecord]:
    """Return which of the runners that are there a demand may be given to."""
    engine, *declares = demand.split(SEPARATOR)
    offering = [runner for runner in runners if engine in runner.engines]
    if not declares:
        return offering
    wanted = frozenset(declares)
    maximum = max((len(wanted.intersection(runner.provides)) for runner in offering), default=0)
    return [runner for runner in offering if len(wanted.intersection(runner.provides)) == maximum]
