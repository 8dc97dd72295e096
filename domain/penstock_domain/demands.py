"""What represents jobs that may start on the same runners: their engine, and what their workflow files declare."""

from collections.abc import Iterable
from typing import Final

SEPARATOR: Final = "+"
"""No name of an engine or directive contains it."""


def demand_of(engine: str, declares: Iterable[str]) -> str:
    """Return the demand of a job: `snakemake`, `snakemake+conda`."""
    return SEPARATOR.join((engine, *sorted(set(declares))))


def engine_of(demand: str) -> str:
    """Return the engine of a demand."""
    return demand.partition(SEPARATOR)[0]
