"""Which jobs are listed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict

from penstock.client.transport import ClientError, Query, ResourceNotFound
from penstock_schemas.api import MAX_PAGE, Problem
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import JobStatus


class Ambiguous(ClientError):
    """A short id fits several jobs."""


class JobFilters(TypedDict, total=False):
    """Filters of a list of jobs; an omitted filter matches every job."""

    status: Sequence[JobStatus]
    pipeline: str | None
    owner: str | None
    labels: Mapping[str, str | None] | None
    """A label whose value is `None` matches its key alone."""
    text: str | None
    parent: str | None
    """The job that they retry or repeat."""
    since: datetime | None
    until: datetime | None


def query_of(filters: JobFilters, *, limit: int, cursor: str | None) -> Query:
    """Return the query of one page of the jobs that match every filter."""
    since, until = filters.get("since"), filters.get("until")
    labels = filters.get("labels") or {}
    return {
        "status": [item.value for item in filters.get("status", ())],
        "pipeline": filters.get("pipeline"),
        "owner": filters.get("owner"),
        "label": [f"{key}:{value}" if value is not None else key for key, value in labels.items()],
        "q": filters.get("text"),
        "parent": filters.get("parent"),
        "created_after": since.isoformat() if since else None,
        "created_before": until.isoformat() if until else None,
        "limit": limit,
        "cursor": cursor,
    }


def only(newest: Sequence[JobId], prefix: str, url: str) -> JobId:
    """Return the one of the newest jobs of the server at `url` whose id begins with `prefix`.

    Raises:
        NotFound: none does, or the prefix is empty.
        Ambiguous: several do.

    """
    found = [item for item in newest if prefix and item.startswith(prefix)]
    if not found:
        detail = f"no run found whose id begins with {prefix!r} among the newest {MAX_PAGE:,}"
        raise ResourceNotFound(404, Problem(type="about:blank", title="Not found", status=404, detail=detail), url)
    if len(found) > 1:
        raise Ambiguous(f"{len(found)} jobs have an id that begins with {prefix!r}: give more characters of the id")
    return found[0]
