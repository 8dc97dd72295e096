"""Which runners a job may start on, by what its workflow declares and what they provide."""

from collections.abc import Sequence

import pytest
from tests.scheduler.history import History, started

from penstock_domain.scheduling.demands import demand_of, engine_of
from penstock_scheduler.core.demands import fitting
from penstock_scheduler.core.records import RunnerRecord
from penstock_scheduler.core.replay import check_decisions
from penstock_scheduler.core.summary import summarize
from penstock_schemas.ids import RunnerId


def runner(name: str, *provides: str, engines: tuple[str, ...] = ("snakemake",)) -> RunnerRecord:
    return RunnerRecord(id=RunnerId(name), slots=1, engines=engines, provides=provides)


RUNNERS = [
    runner("plain"),
    runner("conda", "conda"),
    runner("both", "conda", "container"),
    runner("other", "conda", engines=("mock",)),
]


@pytest.mark.parametrize(
    ("declares", "expected"),
    [
        ((), ["plain", "conda", "both"]),
        (("conda",), ["conda", "both"]),
        (("container",), ["both"]),
        (("container", "conda"), ["both"]),
        (("conda", "envmodules"), ["conda", "both"]),
        (("envmodules",), ["plain", "conda", "both"]),
    ],
)
def test_a_job_goes_to_the_runners_that_provide_most_of_what_it_declares(
    declares: Sequence[str], expected: Sequence[str]
) -> None:
    """What nobody provides is left to the attempt, which states the reason."""
    assert [item.id for item in fitting(RUNNERS, demand_of("snakemake", declares))] == expected


def test_a_demand_names_its_engine_and_is_the_same_in_any_order() -> None:
    """Jobs of one demand are in the same lanes."""
    assert demand_of("snakemake", ["wrapper", "conda", "conda"]) == demand_of("snakemake", ["conda", "wrapper"])
    assert engine_of(demand_of("snakemake", ["conda"])) == engine_of("snakemake") == "snakemake"
    assert fitting(RUNNERS, "absent+conda") == []


def test_a_job_waits_for_a_runner_that_provides_what_it_declares() -> None:
    """Other jobs start meanwhile, and when the last such runner is gone, it may start anywhere."""
    log = History()
    log.join("plain", 4)
    conda = log.join("conda", 1, provides=("conda",))
    for number in (1, 2, 3):
        log.submit(number, declares=("conda",) if number < 3 else ())
    assert started(log.cycle()) == [(1, "conda"), (3, "plain")]
    assert summarize(log.state).engines["mock"].free_for == {"mock+conda": 0}
    log.drain(conda)
    assert not log.cycle(), "a runner that drains may be about to be replaced"
    log.complete(1, conda)
    log.leave(conda)
    assert started(log.cycle()) == [(2, "plain")]
    assert not list(check_decisions(log.stored))
