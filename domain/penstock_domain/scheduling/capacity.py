"""What a job requests of one runner, and whether a runner can ever give it."""

from collections.abc import Iterable

from msgspec import Struct

from penstock_domain.quantities import counted


class Request(Struct, frozen=True, kw_only=True):
    """The amounts that a job requests."""

    cores: int = 0
    """0: those of one slot."""
    gpus: int = 0

    def __bool__(self) -> bool:
        return self.cores > 0 or self.gpus > 0

    def __str__(self) -> str:
        amounts = [counted(self.cores, "core")] if self.cores else []
        amounts += [counted(self.gpus, "GPU")] if self.gpus else []
        return " and ".join(amounts)


class Capacity(Struct, frozen=True, kw_only=True):
    """What a runner has in all."""

    slots: int
    cores: int = 0
    """Of each slot; 0: not known."""
    gpus: int = 0

    def slots_for(self, request: Request) -> int | None:
        """Return how many slots a job takes here; `None` when the runner can never give what it requests."""
        needed = -(-request.cores // self.cores) if request.cores and self.cores else 1
        return needed if needed <= self.slots and request.gpus <= self.gpus else None


def why_never(request: Request, capacities: Iterable[Capacity]) -> str | None:
    """Return why no runner can ever give what a job requests; `None` when one can, or there is no runner."""
    known = tuple(capacities)
    if not known or any(capacity.slots_for(request) is not None for capacity in known):
        return None
    cores = max(capacity.slots * capacity.cores for capacity in known)
    largest = Request(cores=cores, gpus=max(capacity.gpus for capacity in known))
    return f"it requests {request} of one runner, and the largest connected runner has {largest}"
