"""What an attempt does next.

    ACCEPTING -> PREPARING -> STARTING -> RUNNING -> STORING -> ENDED

Pure: `handle(state, step)` returns the new state and the next action. The shell in `attempts/attempt.py` performs it. A
request to stop can arrive in every phase; before RUNNING the attempt is then returned, or ends as cancelled.
"""

from enum import Enum, auto
from typing import Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

from penstock_execution.engine import Outcome
from penstock_runner.core.orders import HaltCause
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.jobs import Failure, FailureCause, JobState, RequeueCause, StoredResults


class Phase(Enum):
    """How far an attempt is."""

    ACCEPTING = auto()
    """It is not known yet whether this runner can make it."""
    PREPARING = auto()
    """Its files are being staged."""
    STARTING = auto()
    """Its start is reported to the log."""
    RUNNING = auto()
    STORING = auto()
    """The engine has ended; results and logs are being uploaded."""
    ENDED = auto()
    """How it ended is decided; nothing changes that."""


class AttemptState(Struct, frozen=True, kw_only=True):
    """The state of one attempt on its runner."""

    phase: Phase = Phase.ACCEPTING
    stop: HaltCause | None = None
    """Why its end was requested; a cancellation is never replaced."""
    has_unstored_results: bool = False
    """Whether there are results that only the disk of this runner has."""


class StoredSummary(Struct, frozen=True, kw_only=True):
    """What was stored of the results."""

    output_files: int = 0
    output_bytes: int = 0
    warnings: tuple[str, ...] = ()
    results: StoredResults | None = None
    """What a retry can begin with."""


# What happens to an attempt.


class StopRequested(Struct, frozen=True):
    """It is to end before its work is done."""

    cause: HaltCause


class EngineMissing(Struct, frozen=True):
    """The runner does not have the engine of the job."""

    name: str


class Startable(Struct, frozen=True):
    """The runner has the engine, and the job can be started."""


class StartRefused(Struct, frozen=True):
    """The job has ended, or is being cancelled."""

    is_cancelling: bool


class Prepared(Struct, frozen=True):
    """The files are staged."""


class Started(Struct, frozen=True):
    """The start is in the log."""


class EngineEnded(Struct, frozen=True):
    """The engine returned."""

    outcome: Outcome
    has_files: bool
    """Whether the engine writes files."""


class ResultsStored(Struct, frozen=True):
    """Results and logs are in the blob store."""

    outcome: Outcome
    stored: StoredSummary


class StoringFailed(Struct, frozen=True):
    """Not all results and logs are in the blob store, and no retry is left."""

    outcome: Outcome
    stored: StoredSummary
    reason: str
    is_upload: bool
    """Whether the blob store did not accept a file; otherwise a file could not be read."""
    kept_in: str
    """The folder on this runner that has the files."""


class Interrupted(Struct, frozen=True):
    """The grace period after a request to stop is over, and the work was killed."""


class Faulted(Struct, frozen=True):
    """The runner or its engine raised an exception."""

    failure: Failure | None
    """The failure that every other attempt would meet as well; `None`: another attempt may succeed."""
    reason: str
    is_upload: bool
    kept_in: str


Step = (
    StopRequested
    | EngineMissing
    | Startable
    | StartRefused
    | Prepared
    | Started
    | EngineEnded
    | ResultsStored
    | StoringFailed
    | Interrupted
    | Faulted
)


# What it does next.


class RequestStop(Struct, frozen=True):
    """Request that the engine stops, and begin the grace period."""


class Prepare(Struct, frozen=True):
    """Stage the files."""


class ReportStart(Struct, frozen=True):
    """Append the start to the log."""


class RunEngine(Struct, frozen=True):
    """Run the engine."""


class StoredKinds(Enum):
    """Which results are stored."""

    ALL = auto()
    LOGS = auto()
    """Logs and benchmarks: what the grace period leaves time for."""
    NONE = auto()
    """Another attempt continues with the files."""


class StoreResults(Struct, frozen=True):
    """Upload results and logs."""

    kinds: StoredKinds


class RaiseFault(Struct, frozen=True):
    """Save the logs that there are, and continue with `Faulted`."""


class ReportEnd(Struct, frozen=True):
    """Append the end of the attempt to the log."""

    outcome: Outcome
    stored: StoredSummary = StoredSummary()


class ReportReturn(Struct, frozen=True):
    """Append to the log that the attempt ended without an outcome."""

    cause: RequeueCause
    reason: str


class Drop(Struct, frozen=True):
    """Do nothing more: the log has an end already."""


Report = ReportEnd | ReportReturn
Action = RequestStop | Prepare | ReportStart | RunEngine | StoreResults | RaiseFault | Report | Drop
RUNNER_STOPPING: Final = "the runner is stopping"
RUNNER_STOPPED: Final = "the runner was stopped"
CANCELLED_BEFORE_START: Final = "cancelled before it started"


def handle(state: AttemptState, step: Step) -> tuple[AttemptState, Action | None]:
    """Return the state after `step`, and what the attempt does next; `None` when the step changes nothing.

    It is total: a step that does not belong to the phase is ignored.
    """
    if state.phase is Phase.ENDED:
        return state, None
    match step:
        case StopRequested():
            return _request_stop(state, step.cause)
        case Faulted():
            return _ended(state, _after_fault(state, step))
        case Interrupted():
            return _ended(state, _end(state, Outcome(kind=OutcomeKind.STOPPED), StoredSummary()))
        case EngineMissing() | Startable() | StartRefused() | Prepared() | Started():
            return _before_run(state, step)
        case EngineEnded() | ResultsStored() | StoringFailed():
            return _after_run(state, step)
        case _:
            assert_never(step)


def _request_stop(state: AttemptState, cause: HaltCause) -> tuple[AttemptState, Action | None]:
    first = state.stop is None
    stop = state.stop if state.stop is HaltCause.CANCELLED else cause
    return replace(state, stop=stop), RequestStop() if first else None


def _before_run(
    state: AttemptState, step: EngineMissing | Startable | StartRefused | Prepared | Started
) -> tuple[AttemptState, Action | None]:
    match state.phase, step:
        case Phase.ACCEPTING, EngineMissing():
            return _ended(state, ReportReturn(RequeueCause.REFUSED, f"the runner has no engine {step.name!r}"))
        case ((Phase.ACCEPTING | Phase.STARTING), StartRefused()):
            refused = ReportReturn(RequeueCause.REFUSED, CANCELLED_BEFORE_START) if step.is_cancelling else Drop()
            return _ended(state, refused)
        case Phase.ACCEPTING, Startable():
            return _unless_preempted(state, Phase.PREPARING, Prepare())
        case Phase.PREPARING, Prepared():
            return _unless_preempted(state, Phase.STARTING, ReportStart())
        case Phase.STARTING, Started():
            return replace(state, phase=Phase.RUNNING), RunEngine()
        case _:
            return state, None


def _unless_preempted(state: AttemptState, phase: Phase, action: Action) -> tuple[AttemptState, Action]:
    if state.stop is HaltCause.PREEMPTED:
        return _ended(state, ReportReturn(RequeueCause.PREEMPTED, RUNNER_STOPPING))
    return replace(state, phase=phase), action


def _after_run(
    state: AttemptState, step: EngineEnded | ResultsStored | StoringFailed
) -> tuple[AttemptState, Action | None]:
    match state.phase, step:
        case Phase.RUNNING, EngineEnded():
            is_stopped = step.outcome.kind is OutcomeKind.STOPPED
            if is_stopped and state.stop is None:
                return state, RaiseFault()
            storing = replace(state, phase=Phase.STORING, has_unstored_results=step.has_files and not is_stopped)
            return storing, StoreResults(_kinds(state, is_stopped=is_stopped))
        case Phase.STORING, ResultsStored():
            stored = replace(state, has_unstored_results=False)
            return _ended(stored, _end(stored, step.outcome, step.stored))
        case Phase.STORING, StoringFailed():
            state = replace(state, has_unstored_results=state.has_unstored_results and step.is_upload)
            if step.outcome.kind is OutcomeKind.SUCCEEDED:
                return state, RaiseFault()
            # That the run failed, and why, matters more than that its logs could not be stored.
            return _ended(state, _end(state, _with_kept_files(state, step), step.stored))
        case _:
            return state, None


def _kinds(state: AttemptState, *, is_stopped: bool) -> StoredKinds:
    if not is_stopped:
        return StoredKinds.ALL
    return StoredKinds.LOGS if state.stop is HaltCause.CANCELLED else StoredKinds.NONE


def _end(state: AttemptState, outcome: Outcome, stored: StoredSummary) -> Report:
    if outcome.kind is OutcomeKind.STOPPED and state.stop is HaltCause.PREEMPTED:
        return ReportReturn(RequeueCause.PREEMPTED, RUNNER_STOPPED)
    return ReportEnd(outcome, stored)


def _after_fault(state: AttemptState, fault: Faulted) -> Report:
    failure = fault.failure
    if failure is None:
        return ReportReturn(RequeueCause.LOST, fault.reason)
    if fault.is_upload and state.has_unstored_results:
        failure = replace(failure, message=failure.message + _kept(fault.kept_in))
    return ReportEnd(Outcome(kind=OutcomeKind.FAILED, failure=failure))


def _with_kept_files(state: AttemptState, step: StoringFailed) -> Outcome:
    failure = step.outcome.failure
    if failure is None or not state.has_unstored_results:
        return step.outcome
    message = f"{failure.message}; its files are not stored: {step.reason}{_kept(step.kept_in)}"
    return replace(step.outcome, failure=replace(failure, message=message))


def _kept(folder: str) -> str:
    return f"; what the run made is kept in {folder} on this runner"


def _ended(state: AttemptState, action: Report | Drop) -> tuple[AttemptState, Report | Drop]:
    return replace(state, phase=Phase.ENDED), action


def report_too_large(reason: str) -> ReportEnd:
    """Return the end of an attempt whose own end does not fit into an event."""
    failure = Failure(cause=FailureCause.SYSTEM, message=f"the end of the attempt does not fit: {reason}")
    return ReportEnd(Outcome(kind=OutcomeKind.FAILED, failure=failure))


def keeps_files(state: AttemptState, job_state: JobState, *, keep_work: bool) -> bool:
    """Return whether the files of an attempt that has ended stay on the disk of its runner.

    They stay while the job is not over, because another attempt may continue with them; where the operator keeps them;
    and where they are the only copy of results that are wanted.
    """
    is_only_copy = state.has_unstored_results and job_state is not JobState.CANCELLED
    return keep_work or is_only_copy or not job_state.is_terminal
