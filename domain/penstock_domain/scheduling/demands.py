"""What represents jobs that may start on the same runners: engine, what their files declare, what they request."""

from collections.abc import Iterable
from typing import Final

from penstock_domain.scheduling.capacity import Request

SEPARATOR: Final = "+"
"""No name of an engine or directive contains it."""
NO_REQUEST: Final = Request()
_AND: Final = "@"
"""Nor this."""


def demand_of(engine: str, declares: Iterable[str], request: Request = NO_REQUEST) -> str:
    """Return the demand of a job: `snakemake`, `snakemake+conda`, `mock+8@2` for 8 cores and 2 GPUs."""
    requested = (f"{request.cores}{_AND}{request.gpus}",) if request else ()
    return SEPARATOR.join((engine, *sorted(set(declares)), *requested))


def engine_of(demand: str) -> str:
    """Return the engine of a demand."""
    return demand.partition(SEPARATOR)[0]


def declared_in(demand: str) -> frozenset[str]:
    """Return the directives that jobs of a demand declare."""
    return frozenset(part for part in demand.split(SEPARATOR)[1:] if _AND not in part)


def request_of(demand: str) -> Request:
    """Return what jobs of a demand request of one runner."""
    last = demand.rpartition(SEPARATOR)[2]
    if _AND not in last:
        return NO_REQUEST
    cores, _, gpus = last.partition(_AND)
    return Request(cores=int(cores), gpus=int(gpus))
