"""What an attempt does next: given a state, when a step happens, then this action follows."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock_execution.engine import Outcome
from penstock_runner.core.attempt import (
    CANCELLED_BEFORE_START,
    RUNNER_STOPPED,
    RUNNER_STOPPING,
    Action,
    AttemptState,
    Drop,
    EngineEnded,
    EngineMissing,
    Faulted,
    Interrupted,
    Phase,
    Prepare,
    Prepared,
    RaiseFault,
    ReportEnd,
    ReportReturn,
    ReportStart,
    RequestStop,
    ResultsStored,
    RunEngine,
    Startable,
    Started,
    StartRefused,
    Step,
    StopRequested,
    StoredKinds,
    StoredSummary,
    StoreResults,
    StoringFailed,
    handle,
    keeps_files,
    report_too_large,
)
from penstock_runner.core.orders import HaltCause
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.jobs import Failure, FailureCause, JobState, RequeueCause

CANCEL: Final = StopRequested(HaltCause.CANCELLED)
PREEMPT: Final = StopRequested(HaltCause.PREEMPTED)
SUCCEEDED: Final = Outcome(kind=OutcomeKind.SUCCEEDED)
STOPPED: Final = Outcome(kind=OutcomeKind.STOPPED)
FAILED: Final = Outcome(
    kind=OutcomeKind.FAILED, failure=Failure(cause=FailureCause.WORKFLOW, message="the rule a failed")
)
STORED: Final = StoredSummary(output_files=2, output_bytes=10, warnings=("one file was not stored",))
NOTHING_STORED: Final = StoredSummary()
DISK_FULL: Final = Failure(cause=FailureCause.SYSTEM, message="the runner's disk is full")
UNSTORED: Final = Failure(cause=FailureCause.SYSTEM, message="the blob store did not take a.txt")
TO_RUN: Final = (Startable(), Prepared(), Started())
FOLDER: Final = "/srv/r/1"


def fault(failure: Failure | None = None, *, is_upload: bool = False) -> Faulted:
    return Faulted(failure, "broken", is_upload, FOLDER)


def storing_failed(outcome: Outcome, *, is_upload: bool = True) -> StoringFailed:
    return StoringFailed(outcome, NOTHING_STORED, reason="no answer", is_upload=is_upload, kept_in=FOLDER)


def after(*steps: Step) -> tuple[AttemptState, Action | None]:
    state, action = AttemptState(), None
    for step in steps:
        state, action = handle(state, step)
    return state, action


def action_after(*steps: Step) -> Action | None:
    return after(*steps)[1]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((Startable(),), Prepare()),
        ((Startable(), Prepared()), ReportStart()),
        (TO_RUN, RunEngine()),
        ((*TO_RUN, EngineEnded(SUCCEEDED, has_files=True)), StoreResults(StoredKinds.ALL)),
        (
            (*TO_RUN, EngineEnded(SUCCEEDED, has_files=True), ResultsStored(SUCCEEDED, STORED)),
            ReportEnd(SUCCEEDED, STORED),
        ),
        ((*TO_RUN, EngineEnded(FAILED, has_files=True), ResultsStored(FAILED, STORED)), ReportEnd(FAILED, STORED)),
    ],
)
def test_an_attempt_without_trouble(steps: tuple[Step, ...], expected: Action) -> None:
    assert action_after(*steps) == expected


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((EngineMissing("mock"),), ReportReturn(RequeueCause.REFUSED, "the runner has no engine 'mock'")),
        ((StartRefused(is_cancelling=False),), Drop()),
        ((StartRefused(is_cancelling=True),), ReportReturn(RequeueCause.REFUSED, CANCELLED_BEFORE_START)),
        (
            (Startable(), Prepared(), StartRefused(is_cancelling=True)),
            ReportReturn(RequeueCause.REFUSED, CANCELLED_BEFORE_START),
        ),
        ((PREEMPT, Startable()), ReportReturn(RequeueCause.PREEMPTED, RUNNER_STOPPING)),
        ((Startable(), PREEMPT, Prepared()), ReportReturn(RequeueCause.PREEMPTED, RUNNER_STOPPING)),
        ((Startable(), fault(DISK_FULL)), ReportEnd(Outcome(kind=OutcomeKind.FAILED, failure=DISK_FULL))),
        ((Startable(), CANCEL, Interrupted()), ReportEnd(STOPPED)),
        ((Startable(), PREEMPT, Interrupted()), ReportReturn(RequeueCause.PREEMPTED, RUNNER_STOPPED)),
    ],
)
def test_an_attempt_that_does_not_start(steps: tuple[Step, ...], expected: Action) -> None:
    assert action_after(*steps) == expected


@pytest.mark.parametrize("cause", HaltCause)
def test_the_first_request_to_stop_begins_the_grace_period(cause: HaltCause) -> None:
    assert action_after(*TO_RUN, StopRequested(cause)) == RequestStop()
    assert action_after(*TO_RUN, StopRequested(cause), CANCEL) is None


@pytest.mark.parametrize(
    ("stops", "kinds", "expected"),
    [
        ((CANCEL,), StoredKinds.LOGS, ReportEnd(STOPPED, STORED)),
        ((PREEMPT,), StoredKinds.NONE, ReportReturn(RequeueCause.PREEMPTED, RUNNER_STOPPED)),
        ((PREEMPT, CANCEL), StoredKinds.LOGS, ReportEnd(STOPPED, STORED)),
        ((CANCEL, PREEMPT), StoredKinds.LOGS, ReportEnd(STOPPED, STORED)),
    ],
)
def test_an_engine_that_stopped(stops: tuple[Step, ...], kinds: StoredKinds, expected: Action) -> None:
    stopped = EngineEnded(STOPPED, has_files=True)
    assert action_after(*TO_RUN, *stops, stopped) == StoreResults(kinds)
    assert action_after(*TO_RUN, *stops, stopped, ResultsStored(STOPPED, STORED)) == expected


def test_an_engine_that_ended_before_it_stopped_is_reported_as_it_ended() -> None:
    steps = (*TO_RUN, CANCEL, EngineEnded(SUCCEEDED, has_files=True), ResultsStored(SUCCEEDED, STORED))
    assert action_after(*steps) == ReportEnd(SUCCEEDED, STORED)


def test_an_engine_that_stops_without_a_request_is_a_fault() -> None:
    steps = (*TO_RUN, EngineEnded(STOPPED, has_files=True))
    assert action_after(*steps) == RaiseFault()
    assert action_after(*steps, fault()) == ReportReturn(RequeueCause.LOST, "broken")


def test_a_fault_that_another_attempt_may_not_meet_returns_the_attempt() -> None:
    assert action_after(*TO_RUN, fault()) == ReportReturn(RequeueCause.LOST, "broken")


def test_results_of_a_success_that_cannot_be_stored_make_it_fail() -> None:
    steps = (*TO_RUN, EngineEnded(SUCCEEDED, has_files=True), storing_failed(SUCCEEDED))
    assert action_after(*steps) == RaiseFault()
    end = action_after(*steps, fault(UNSTORED, is_upload=True))
    message = f"{UNSTORED.message}; what the run made is kept in {FOLDER} on this runner"
    assert end == ReportEnd(Outcome(kind=OutcomeKind.FAILED, failure=replace(UNSTORED, message=message)))


def test_a_failure_is_reported_also_when_its_files_cannot_be_stored() -> None:
    end = action_after(*TO_RUN, EngineEnded(FAILED, has_files=True), storing_failed(FAILED))
    assert isinstance(end, ReportEnd)
    assert end.outcome.failure is not None
    assert end.outcome.failure.message == (
        "the rule a failed; its files are not stored: no answer; what the run made is kept in /srv/r/1 on this runner"
    )


def test_a_file_that_cannot_be_read_is_not_kept() -> None:
    state, end = after(*TO_RUN, EngineEnded(FAILED, has_files=True), storing_failed(FAILED, is_upload=False))
    assert end == ReportEnd(FAILED)
    assert not state.has_unstored_results


def test_an_end_that_does_not_fit_is_a_failure() -> None:
    failure = report_too_large("900,000 bytes").outcome.failure
    assert failure == Failure(cause=FailureCause.SYSTEM, message="the end of the attempt does not fit: 900,000 bytes")


@pytest.mark.parametrize(
    ("job_state", "is_unstored", "keep_work", "expected"),
    [
        (JobState.COMPLETED, False, False, False),
        (JobState.COMPLETED, False, True, True),
        (JobState.FAILED, True, False, True),
        (JobState.CANCELLED, True, False, False),
        (JobState.CANCELLED, True, True, True),
        (JobState.QUEUED, False, False, True),
    ],
)
def test_which_files_stay(job_state: JobState, is_unstored: bool, keep_work: bool, expected: bool) -> None:
    state = AttemptState(has_unstored_results=is_unstored)
    assert keeps_files(state, job_state, keep_work=keep_work) is expected


OUTCOMES: Final = st.sampled_from([SUCCEEDED, FAILED, STOPPED])
STEPS: Final = st.one_of(
    st.sampled_from(
        [
            CANCEL,
            PREEMPT,
            EngineMissing("mock"),
            StartRefused(is_cancelling=True),
            StartRefused(is_cancelling=False),
            Interrupted(),
            fault(),
            fault(UNSTORED, is_upload=True),
        ]
    ),
    st.sampled_from([*TO_RUN, *TO_RUN]),
    st.builds(EngineEnded, OUTCOMES, has_files=st.booleans()),
    st.builds(ResultsStored, OUTCOMES, st.just(STORED)),
    OUTCOMES.map(storing_failed),
)


@given(st.lists(STEPS, max_size=15), st.integers(0, 3))
def test_invariants_of_any_order_of_steps(steps: list[Step], begun: int) -> None:
    state = AttemptState()
    actions: list[Action] = []
    for step in (*TO_RUN[:begun], *steps):
        before = state
        state, action = handle(state, step)
        if action is not None:
            actions.append(action)
        assert before.phase.value <= state.phase.value, "phases only advance"
        if before.phase is Phase.ENDED:
            assert (state, action) == (before, None), "nothing follows the end"
        if before.stop is HaltCause.CANCELLED:
            assert state.stop is HaltCause.CANCELLED, "a cancellation is not replaced"
        if state.has_unstored_results:
            assert state.phase in (Phase.STORING, Phase.ENDED), "there are results only after the engine ended"
    kinds = [type(action) for action in actions]
    assert kinds.count(RequestStop) <= 1, "the stop is requested at most once"
    assert kinds.count(RunEngine) <= 1, "the engine runs at most once"
    ends = [action for action in actions if isinstance(action, ReportEnd | ReportReturn | Drop)]
    assert len(ends) <= 1, "the end is reported at most once"
    assert bool(ends) == (state.phase is Phase.ENDED), "it has ended if and only if the end is reported"
    if RunEngine in kinds:
        assert ReportStart in kinds[: kinds.index(RunEngine)], "the engine runs only after the start is in the log"
    for end in ends:
        if isinstance(end, ReportEnd) and end.outcome.kind is OutcomeKind.STOPPED:
            assert state.stop is not HaltCause.PREEMPTED, "a preempted attempt is returned, not ended"
