"""A page of a list as it was at a moment of the log. Pure: what it needs of the index and the log comes with the call.

The index knows every job as it is now. One whose last event is not later than the moment was the same then; one that
changed since is folded from its events up to the moment, which only the log has.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from penstock_gateway.index.job_status import detailed_status
from penstock_gateway.index.plan import spans
from penstock_gateway.index.queries import JobQuery, microseconds
from penstock_gateway.index.reading import Page
from penstock_schemas.ids import JobId
from penstock_schemas.views import Job

MAX_CHANGED: Final = 500
"""So many jobs that changed since are looked at for one page; where there are more, it ends before its size."""


class Candidates(Struct, frozen=True):
    """What may be on a page."""

    settled: Page
    """Jobs that have not changed since the moment; the total is of the jobs as they are now."""
    changed: tuple[Job, ...]
    """Those that changed, as they are now, in the order of the list: they may have been in it or not."""
    is_cut: bool
    """Whether there are more that changed."""


def doubtful(found: Candidates, query: JobQuery) -> tuple[Job, ...]:
    """Return the jobs that have to be known as they were at the moment."""
    if query.is_counted or found.settled.next_below is None:
        return found.changed
    end = _order(found.settled.jobs[-1], query)
    return tuple(job for job in found.changed if _order(job, query) < end)


def page_of(found: Candidates, then: Mapping[JobId, Job], query: JobQuery) -> Page:
    """Return the page, and the list's total at the moment.

    Args:
        found: what may be on it.
        then: the doubtful ones, as they were.
        query: the list; `up_to_seq` is the moment.

    """
    past = [job for job in then.values() if is_in(job, query)]
    ends = [_order(found.settled.jobs[-1], query)] if found.settled.next_below is not None else []
    if found.is_cut:
        ends.append(_order(found.changed[-1], query))
    rows = [job for job in (*found.settled.jobs, *past) if not ends or _order(job, query) <= min(ends)]
    rows.sort(key=lambda job: _order(job, query))
    total = found.settled.total - sum(is_in(job, query) for job in found.changed) + len(past)
    if len(rows) > query.limit:
        return Page(tuple(rows[: query.limit]), total, rows[query.limit - 1].created_seq)
    return Page(tuple(rows), total, abs(min(ends)) if ends else None)


def is_in(job: Job, query: JobQuery) -> bool:
    """Return whether a job passes those filters of a list that depend on what changes."""
    if query.wanted and detailed_status(job) not in query.wanted:
        return False
    times = {"started_us": job.started_at, "ended_us": job.completed_at}
    for span in spans(query):
        if span.column in times:
            time = times[span.column]
            if time is None or not span.after_us < microseconds(time) < span.before_us:
                return False
    return True


def _order(job: Job, query: JobQuery) -> int:
    """Return what the list is sorted by, ascending."""
    return job.created_seq if query.is_oldest_first else -job.created_seq
