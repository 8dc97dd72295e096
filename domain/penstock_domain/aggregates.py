"""The names of aggregates: the part of a subject that follows `penstock.events.`."""

import re
from typing import Final

from penstock_schemas.ids import JobId, RunnerId, TenantId

SCHEDULER_LEASE: Final = "scheduler.lease"
SCHEDULER_CYCLE: Final = "scheduler.cycle"
EVERYTHING: Final = ">"
"""The filter that matches every aggregate."""
_AGGREGATE: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


def check(aggregate: str) -> None:
    """Check that `aggregate` can be the end of a subject, and of one subject only.

    Raises:
        ValueError: it holds a blank, a control character, a wildcard, or an empty part.

    """
    if _AGGREGATE.fullmatch(aggregate) is None:
        raise ValueError(f"{aggregate!r} is not the name of an aggregate")


def job(tenant: TenantId, job_id: JobId) -> str:
    """Name the aggregate that is the life of a job."""
    return f"job.{tenant}.{job_id}"


def assign(runner_id: RunnerId) -> str:
    """Name the aggregate that holds the orders to a runner."""
    return f"assign.{runner_id}"


def runner(runner_id: RunnerId) -> str:
    """Name the aggregate that is the life of a runner."""
    return f"runner.{runner_id}"


def limit(name: str) -> str:
    """Name the aggregate that holds a limit."""
    return f"policy.limit.{name}"


def pipeline(name: str) -> str:
    """Name the aggregate that holds the versions of a catalogue entry."""
    return f"policy.pipeline.{name}"


def token(token_id: str) -> str:
    """Name the aggregate that is the life of an API token."""
    return f"policy.token.{token_id}"


def audit(tenant: TenantId) -> str:
    """Name the aggregate that holds the refusals of a tenant."""
    return f"audit.{tenant}"


def matches(pattern: str, aggregate: str) -> bool:
    """Return whether `pattern`, an aggregate or a filter with `*` and a final `>`, takes in `aggregate`."""
    if pattern in (EVERYTHING, aggregate):
        return True
    wanted, tokens = pattern.split("."), aggregate.split(".")
    if wanted[-1] == ">":
        if len(tokens) < len(wanted):
            return False
        wanted, tokens = wanted[:-1], tokens[: len(wanted) - 1]
    return len(wanted) == len(tokens) and all(w in ("*", t) for w, t in zip(wanted, tokens, strict=True))
