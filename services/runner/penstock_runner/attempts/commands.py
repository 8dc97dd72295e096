"""The commands of an attempt to its job."""

from penstock_runner.attempts.failures import bounded, warnings_of
from penstock_runner.attempts.job_log import Intent
from penstock_runner.core.attempt import ReportEnd, ReportReturn
from penstock_runner.core.orders import StartOrder
from penstock_schemas.commands import AbandonAttempt, DelayResults, EndAttempt, StartAttempt
from penstock_schemas.ids import RunnerId


def start_intent(order: StartOrder, runner_id: RunnerId) -> Intent:
    """Return the command to record the start."""
    return lambda now: StartAttempt(now=now, attempt=order.attempt, runner_id=runner_id)


def delay_intent(order: StartOrder, runner_id: RunnerId, tries: int, reason: str) -> Intent:
    """Return the command to record that the upload of the results is delayed."""
    return lambda now: DelayResults(now=now, attempt=order.attempt, runner_id=runner_id, tries=tries, reason=reason)


def return_intent(order: StartOrder, runner_id: RunnerId, action: ReportReturn) -> Intent:
    """Return the command to record that the attempt ended without an outcome."""
    return lambda now: AbandonAttempt(
        now=now, attempt=order.attempt, runner_id=runner_id, cause=action.cause, reason=action.reason
    )


def end_intent(order: StartOrder, runner_id: RunnerId, end: ReportEnd) -> Intent:
    """Return the command to record how the attempt ended, with texts that an event has room for."""
    outcome, stored = end.outcome, end.stored
    return lambda now: EndAttempt(
        now=now,
        attempt=order.attempt,
        runner_id=runner_id,
        outcome=outcome.kind,
        failure=None if outcome.failure is None else bounded(outcome.failure),
        tasks=outcome.tasks,
        output_files=stored.output_files,
        output_bytes=stored.output_bytes,
        measured=outcome.measured,
        warnings=(*warnings_of(outcome), *stored.warnings),
        results=stored.results,
    )
