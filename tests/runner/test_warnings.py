"""A run's findings: warnings in the event that ends it, bounded, and none for what was refused."""

from penstock_execution.engine import Outcome
from penstock_runner.attempts.failures import MAX_WARNING_CHARS, MAX_WARNINGS, warnings_of
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.jobs import Finding, FindingKind

MISSING = Finding(kind=FindingKind.UNSUPPORTED, directive="conda", message="rule a declares `conda: e`", rule="a")
NOTICE = Finding(kind=FindingKind.NOTICE, directive="threads", message="rule a requests 9 threads", rule="a")


def test_what_results_depend_on_comes_first() -> None:
    outcome = Outcome(kind=OutcomeKind.SUCCEEDED, findings=(NOTICE, MISSING))
    assert warnings_of(outcome) == (f"{MISSING.message}, which this runner does not provide", NOTICE.message)


def test_a_refused_run_names_its_reason_in_the_failure_alone() -> None:
    outcome = Outcome(kind=OutcomeKind.FAILED, findings=(MISSING, NOTICE), refusal="it was refused")
    assert warnings_of(outcome) == (NOTICE.message,)


def test_an_event_has_room_for_them() -> None:
    long = Finding(kind=FindingKind.NOTICE, directive="threads", message="x" * 2 * MAX_WARNING_CHARS)
    warnings = warnings_of(Outcome(kind=OutcomeKind.SUCCEEDED, findings=(long,) * (MAX_WARNINGS + 7)))
    assert len(warnings) == MAX_WARNINGS + 1
    assert max(map(len, warnings)) == MAX_WARNING_CHARS
    assert warnings[-1] == "7 more warnings are not listed"
