"""Which runners a job may start on: those that can hold it, and of them those that provide most of what it declares.

Which directives a workflow declares is known from the text of its files, so a run may turn out to need fewer of them.
So a directive that no runner provides keeps no job waiting: the attempt finds out, and is refused with the reason.
"""

from collections.abc import Iterable, Sequence

from penstock_domain.scheduling.demands import declared_in, engine_of, request_of
from penstock_scheduler.core.records import RunnerRecord


def fitting(runners: Iterable[RunnerRecord], demand: str) -> Sequence[RunnerRecord]:
    """Return which of the runners that are there a demand may be given to."""
    engine, wanted, request = engine_of(demand), declared_in(demand), request_of(demand)
    offering = [
        runner
        for runner in runners
        if engine in runner.engines and (not request or runner.capacity.slots_for(request) is not None)
    ]
    if not wanted:
        return offering
    maximum = max((len(wanted.intersection(runner.provides)) for runner in offering), default=0)
    return [runner for runner in offering if len(wanted.intersection(runner.provides)) == maximum]
