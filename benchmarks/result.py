"""Results of a measurement: figures, each with its budget."""

from collections.abc import Sequence
from enum import Enum

from msgspec import Struct


class Size(Enum):
    """How much is measured."""

    TINY = "tiny"
    """Only enough to see that the harness works; its figures mean nothing."""
    QUICK = "quick"
    FULL = "full"


class Rating(Enum):
    """How a figure compares with its budget."""

    MET = "met"
    MISSED = "MISSED"
    NO_BUDGET = ""


class Summary(Struct, frozen=True, kw_only=True):
    """Samples of one quantity, in the unit of the figure that they belong to."""

    count: int
    low: float
    p50: float
    p90: float
    p99: float
    high: float


class Figure(Struct, frozen=True, kw_only=True):
    """One measured number."""

    name: str
    value: float
    unit: str
    count: int = 1
    """How many observations it rests on."""
    at_least: float | None = None
    """The budget, for a figure that should be high."""
    at_most: float | None = None
    """The budget, for a figure that should be low."""
    samples: Summary | None = None

    @property
    def rating(self) -> Rating:
        """Return whether the budget is met."""
        if self.at_least is None and self.at_most is None:
            return Rating.NO_BUDGET
        low_enough = self.at_most is None or self.value <= self.at_most
        high_enough = self.at_least is None or self.value >= self.at_least
        return Rating.MET if low_enough and high_enough else Rating.MISSED


class Result(Struct, frozen=True, kw_only=True):
    """What one measurement found."""

    name: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile.

    Raises:
        ValueError: there is no sample.

    """
    if not samples:
        raise ValueError("no samples")
    ordered = sorted(samples)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def summarize(samples: Sequence[float]) -> Summary:
    """Return the percentiles of `samples`."""
    return Summary(
        count=len(samples),
        low=min(samples),
        p50=percentile(samples, 50),
        p90=percentile(samples, 90),
        p99=percentile(samples, 99),
        high=max(samples),
    )


def latencies(
    name: str, samples_s: Sequence[float], *, p50_ms: float | None = None, p99_ms: float | None = None
) -> tuple[Figure, Figure]:
    """Return the p50 and the p99 of latencies given in seconds, as milliseconds, against their budgets."""
    samples = summarize([sample_s * 1e3 for sample_s in samples_s])
    return (
        Figure(name=f"{name}, p50", value=samples.p50, unit="ms", count=samples.count, at_most=p50_ms, samples=samples),
        Figure(name=f"{name}, p99", value=samples.p99, unit="ms", count=samples.count, at_most=p99_ms),
    )
