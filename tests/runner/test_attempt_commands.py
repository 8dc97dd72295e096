"""The commands by which a runner records its attempt."""

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from penstock_execution.engine import Outcome
from penstock_ports import MAX_EVENT_BYTES
from penstock_runner.attempts.commands import delay_intent, end_intent, return_intent, start_intent
from penstock_runner.attempts.failures import MAX_MESSAGE_CHARS, MAX_WARNINGS
from penstock_runner.core.attempt import ReportEnd, ReportReturn, StoredSummary
from penstock_runner.core.orders import StartOrder
from penstock_schemas.commands import AbandonAttempt, DelayResults, EndAttempt, OutcomeKind, StartAttempt
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId, RunnerId
from penstock_schemas.jobs import Failure, FailureCause, Finding, FindingKind, RequeueCause, TaskCounts

RUNNER = RunnerId("r")
ORDER = StartOrder(job_id=JobId("j"), tenant=DEFAULT_TENANT, attempt=3, job_version=7, cause=EventId("c"))
NOW = datetime(2030, 1, 1, tzinfo=UTC)
FINDINGS = st.builds(
    Finding, kind=st.sampled_from(FindingKind), message=st.text(max_size=9).map(lambda text: 90 * text)
)


def test_a_command_names_the_attempt_and_the_time_of_the_decision() -> None:
    assert start_intent(ORDER, RUNNER)(NOW) == StartAttempt(now=NOW, attempt=3, runner_id=RUNNER)
    assert delay_intent(ORDER, RUNNER, 2, "no store")(NOW) == DelayResults(
        now=NOW, attempt=3, runner_id=RUNNER, tries=2, reason="no store"
    )
    returned = return_intent(ORDER, RUNNER, ReportReturn(RequeueCause.PREEMPTED, "stopped"))(NOW)
    assert returned == AbandonAttempt(
        now=NOW, attempt=3, runner_id=RUNNER, cause=RequeueCause.PREEMPTED, reason="stopped"
    )


def test_the_end_has_what_was_stored_and_every_warning() -> None:
    outcome = Outcome(
        kind=OutcomeKind.SUCCEEDED,
        tasks=TaskCounts(total=4, done=4),
        findings=(Finding(kind=FindingKind.UNSUPPORTED, directive="conda", message="rule a declares conda"),),
    )
    stored = StoredSummary(output_files=2, output_bytes=30, warnings=("one file was left out",))
    command = end_intent(ORDER, RUNNER, ReportEnd(outcome, stored))(NOW)
    assert isinstance(command, EndAttempt)
    assert (command.outcome, command.output_files, command.output_bytes) == (OutcomeKind.SUCCEEDED, 2, 30)
    assert command.tasks == outcome.tasks
    assert command.failure is None
    assert command.warnings == (
        "rule a declares conda, which this runner does not provide",
        "one file was left out",
    )


@given(message=st.text(max_size=20), findings=st.lists(FINDINGS, max_size=3 * MAX_WARNINGS))
def test_an_event_takes_any_end(message: str, findings: list[Finding]) -> None:
    long_text = message * 20_000
    failure = Failure(cause=FailureCause.WORKFLOW, message=long_text, stderr_tail=long_text, stdout_tail=long_text)
    outcome = Outcome(kind=OutcomeKind.FAILED, failure=failure, findings=tuple(findings))
    command = end_intent(ORDER, RUNNER, ReportEnd(outcome))(NOW)
    assert isinstance(command, EndAttempt)
    assert command.failure is not None
    assert command.failure.message == long_text[:MAX_MESSAGE_CHARS]
    assert len(command.warnings) <= MAX_WARNINGS + 1
    assert len(msgspec.json.encode(command)) < MAX_EVENT_BYTES
