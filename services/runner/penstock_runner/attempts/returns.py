"""Returning an attempt that this runner does not make."""

import structlog

from penstock_domain.job.errors import Refused
from penstock_runner.attempts.commands import return_intent
from penstock_runner.attempts.dependencies import AttemptDependencies, job_log
from penstock_runner.core.attempt import ReportReturn
from penstock_runner.core.orders import StartOrder
from penstock_schemas.jobs import RequeueCause

_log = structlog.stdlib.get_logger()


async def return_attempt(place: AttemptDependencies, order: StartOrder, cause: RequeueCause, reason: str) -> None:
    """Return an attempt that is not made here; nothing happens when it does not belong to this runner any more.

    Raises:
        TooManyConflicts, Unreadable: it could not be reported.

    """
    jobs = job_log(place, order)
    await jobs.load(min_version=order.job_version)
    try:
        await jobs.perform(return_intent(order, place.runner_id, ReportReturn(cause, reason)))
    except Refused as refusal:
        _log.info("return_dropped", job_id=order.job_id, attempt=order.attempt, reason=str(refusal))
    else:
        _log.info("attempt_returned", job_id=order.job_id, attempt=order.attempt, cause=cause.value, reason=reason)
