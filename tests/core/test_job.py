"""The life of a job: given these events, when this command, then those events. Three a command, and what evolves."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from msgspec.structs import replace

from penstock_domain import aggregates
from penstock_domain.chain import BrokenChain, Stored, digest, link, verify
from penstock_domain.damage import unreadable
from penstock_domain.job.attempts import MAX_CRASHES_ALONE, MAX_REQUEUES, MAX_SHARED_CRASHES, needs_isolation
from penstock_domain.job.decide import decide
from penstock_domain.job.errors import (
    IdempotencyKeyReused,
    JobEnded,
    JobNotEnded,
    JobQuarantined,
    NotDamaged,
    NotQueued,
    Refused,
    StaleAttempt,
    UnknownJob,
)
from penstock_domain.job.evolve import evolve, fold
from penstock_domain.job.lifecycle import STATES_BEFORE
from penstock_schemas.commands import (
    AbandonAttempt,
    AssignJob,
    CancelJob,
    CloseJob,
    DelayResults,
    DeleteJob,
    EndAttempt,
    HoldJob,
    JobCommand,
    OutcomeKind,
    PinRemoteSources,
    ReleaseJob,
    StartAttempt,
    SubmitJob,
)
from penstock_schemas.events import (
    AttemptStarted,
    JobAssigned,
    JobCancelled,
    JobCancelRequested,
    JobClosed,
    JobCompleted,
    JobDeleted,
    JobEventData,
    JobFailed,
    JobHeld,
    JobReleased,
    JobRequeued,
    JobSubmitted,
    RecordDamaged,
    RemoteSourcesPinned,
    ResultsDelayed,
    RunnerLeft,
)
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId, RunnerId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import Failure, FailureCause, JobState, RequeueCause, TaskCounts
from penstock_schemas.measurements import MeasuredResources
from penstock_schemas.remote_sources import PinnedRef
from penstock_schemas.views import EMPTY_HEAD, Job
from penstock_schemas.wire import encode

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
JOB = JobId("0190f3c4-5b1e-7c3a-9d2e-000000000001")
R1, R2 = RunnerId("one-00000001"), RunnerId("two-00000002")
CYCLE = EventId("c" * 32)
FAILURE = Failure(cause=FailureCause.WORKFLOW, message="rule align failed")

SPEC = JobSpec(pipeline_name="p", engine="mock", owner="ada")
HELD_SPEC = replace(SPEC, hold=True)
SUBMITTED = JobSubmitted(job_id=JOB, request_sha256="same", spec=SPEC)
ASSIGNED = JobAssigned(attempt=1, runner_id=R1, cycle_id=CYCLE)
STARTED = AttemptStarted(attempt=1, runner_id=R1)
COMPLETED = JobCompleted(attempt=1, runner_id=R1)
REQUEUED = JobRequeued(attempt=1, runner_id=R1, cause=RequeueCause.LOST, not_before=NOW)
CANCEL_REQUESTED = JobCancelRequested(reason="wrong")
QUEUED: Sequence[JobEventData] = [SUBMITTED]
RUNNING: Sequence[JobEventData] = [SUBMITTED, ASSIGNED, STARTED]
CANCELLING: Sequence[JobEventData] = [*RUNNING, CANCEL_REQUESTED]
DONE: Sequence[JobEventData] = [*RUNNING, COMPLETED]
HELD: Sequence[JobEventData] = [SUBMITTED, JobHeld(reason="wait for the new reference")]
ONCE: Sequence[JobEventData] = [replace(SUBMITTED, spec=replace(SPEC, requeue=False)), ASSIGNED]
"""Assigned, and not to be begun twice."""

SUBMIT = SubmitJob(
    now=NOW,
    job_id=JOB,
    tenant=DEFAULT_TENANT,
    request_sha256="same",
    spec=SPEC,
)
ASSIGN = AssignJob(now=NOW, runner_id=R1, cycle_id=CYCLE)
START = StartAttempt(now=NOW, attempt=1, runner_id=R1)
DELAY = DelayResults(now=NOW, attempt=1, runner_id=R1, tries=4, reason="the store is full")
DELAYED = ResultsDelayed(attempt=1, runner_id=R1, tries=4, reason="the store is full")
CANCEL = CancelJob(now=NOW, reason="wrong")
HOLD, RELEASE = HoldJob(now=NOW, reason="later"), ReleaseJob(now=NOW)


def end(outcome: OutcomeKind, failure: Failure | None = None, attempt: int = 1, runner_id: RunnerId = R1) -> EndAttempt:
    return EndAttempt(now=NOW, attempt=attempt, runner_id=runner_id, outcome=outcome, failure=failure)


def abandon(cause: RequeueCause = RequeueCause.LOST, attempt: int = 1) -> AbandonAttempt:
    return AbandonAttempt(now=NOW, attempt=attempt, runner_id=R1, cause=cause, reason="silence")


def given_up(cause: FailureCause, reason: str) -> JobFailed:
    message = f"the attempt ended without an outcome: {reason}; the job was submitted with requeue off"
    return JobFailed(attempt=1, runner_id=R1, failure=Failure(cause=cause, message=message))


def stored(datas: Sequence[JobEventData]) -> list[Stored]:
    """The history that `datas` make, one second between any two."""
    history: list[Stored] = []
    head = EMPTY_HEAD
    for number, data in enumerate(datas, 1):
        event = link(
            head,
            aggregates.job(DEFAULT_TENANT, JOB),
            data,
            event_id=EventId(f"{number:032}"),
            time=NOW + timedelta(seconds=number),
            actor="test",
        )
        history.append(Stored(seq=10 * number, event=event, hash=digest(encode(event))))
        head = history[-1].head
    return history


def given(datas: Sequence[JobEventData]) -> Job | None:
    return fold(stored(datas))


def job(datas: Sequence[JobEventData]) -> Job:
    made = given(datas)
    assert made is not None
    return made


ACCEPTED: list[tuple[str, Sequence[JobEventData], JobCommand, tuple[JobEventData, ...]]] = [
    ("submit", [], SUBMIT, (SUBMITTED,)),
    ("submit again", QUEUED, SUBMIT, ()),
    ("submit again when done", DONE, SUBMIT, ()),
    ("assign", QUEUED, ASSIGN, (ASSIGNED,)),
    (
        "assign again after a requeue",
        [*RUNNING, REQUEUED],
        AssignJob(now=NOW, runner_id=R2, cycle_id=CYCLE),
        (JobAssigned(attempt=2, runner_id=R2, cycle_id=CYCLE),),
    ),
    ("start", [SUBMITTED, ASSIGNED], START, (STARTED,)),
    ("start twice", RUNNING, START, ()),
    ("complete", RUNNING, end(OutcomeKind.SUCCEEDED), (COMPLETED,)),
    ("complete while being cancelled", CANCELLING, end(OutcomeKind.SUCCEEDED), (COMPLETED,)),
    (
        "fail",
        RUNNING,
        end(OutcomeKind.FAILED, FAILURE),
        (JobFailed(attempt=1, runner_id=R1, failure=FAILURE),),
    ),
    (
        "fail before the start",
        [SUBMITTED, ASSIGNED],
        end(OutcomeKind.FAILED, FAILURE),
        (JobFailed(attempt=1, runner_id=R1, failure=FAILURE),),
    ),
    (
        "fail without a reason",
        RUNNING,
        end(OutcomeKind.FAILED),
        (
            JobFailed(
                attempt=1,
                runner_id=R1,
                failure=Failure(cause=FailureCause.SYSTEM, message="the runner gave no reason"),
            ),
        ),
    ),
    (
        "fail while being cancelled",
        CANCELLING,
        end(OutcomeKind.FAILED, FAILURE),
        (JobCancelled(attempt=1, runner_id=R1, reason="wrong"),),
    ),
    (
        "stop on request",
        CANCELLING,
        end(OutcomeKind.STOPPED),
        (JobCancelled(attempt=1, runner_id=R1, reason="wrong"),),
    ),
    (
        "stop without a request",
        RUNNING,
        end(OutcomeKind.STOPPED),
        (
            JobRequeued(
                attempt=1,
                runner_id=R1,
                cause=RequeueCause.PREEMPTED,
                not_before=NOW,
                reason="the work was stopped",
            ),
        ),
    ),
    ("delay the results", RUNNING, DELAY, (DELAYED,)),
    ("delay the results again", [*RUNNING, DELAYED], replace(DELAY, tries=8), (replace(DELAYED, tries=8),)),
    ("delay the results of what is being cancelled", CANCELLING, DELAY, ()),
    (
        "abandon",
        RUNNING,
        abandon(),
        (JobRequeued(attempt=1, runner_id=R1, cause=RequeueCause.LOST, not_before=NOW, reason="silence"),),
    ),
    (
        "abandon while being cancelled",
        CANCELLING,
        abandon(),
        (JobCancelled(attempt=1, runner_id=R1, reason="wrong"),),
    ),
    ("cancel in the queue", QUEUED, CANCEL, (JobCancelled(reason="wrong"),)),
    ("cancel once assigned", [SUBMITTED, ASSIGNED], CANCEL, (CANCEL_REQUESTED,)),
    ("cancel when running", RUNNING, CANCEL, (CANCEL_REQUESTED,)),
    ("cancel twice", CANCELLING, CANCEL, ()),
    ("cancel once cancelled", [SUBMITTED, JobCancelled()], CANCEL, ()),
    ("hold", QUEUED, HOLD, (JobHeld(reason="later"),)),
    ("hold what was tried before", [*RUNNING, REQUEUED], HOLD, (JobHeld(reason="later"),)),
    ("hold twice", HELD, HOLD, ()),
    ("release", HELD, RELEASE, (JobReleased(),)),
    ("release what waits", QUEUED, RELEASE, ()),
    ("release twice", [*HELD, JobReleased()], RELEASE, ()),
    ("hold again", [*HELD, JobReleased()], HOLD, (JobHeld(reason="later"),)),
    ("assign once released", [*HELD, JobReleased()], ASSIGN, (ASSIGNED,)),
    ("cancel what is held", HELD, CANCEL, (JobCancelled(reason="wrong"),)),
    ("submit held", [], replace(SUBMIT, spec=HELD_SPEC), (replace(SUBMITTED, spec=HELD_SPEC),)),
    ("release what was submitted held", [replace(SUBMITTED, spec=HELD_SPEC)], RELEASE, (JobReleased(),)),
    (
        "preempt what must not be begun twice",
        [*ONCE, STARTED],
        abandon(RequeueCause.PREEMPTED),
        (given_up(FailureCause.PREEMPTED, "silence"),),
    ),
    (
        "lose what must not be begun twice",
        [*ONCE, STARTED],
        abandon(RequeueCause.LOST),
        (given_up(FailureCause.SYSTEM, "silence"),),
    ),
    (
        "stop what must not be begun twice, without a request",
        [*ONCE, STARTED],
        end(OutcomeKind.STOPPED),
        (given_up(FailureCause.PREEMPTED, "the work was stopped"),),
    ),
    (
        "abandon what must not be begun twice and is being cancelled",
        [*ONCE, STARTED, CANCEL_REQUESTED],
        abandon(RequeueCause.PREEMPTED),
        (JobCancelled(attempt=1, runner_id=R1, reason="wrong"),),
    ),
    *(
        (
            f"give back, {cause.value}, what must not be begun twice and was not begun",
            ONCE,
            abandon(cause),
            (JobRequeued(attempt=1, runner_id=R1, cause=cause, not_before=NOW, reason="silence"),),
        )
        for cause in RequeueCause
    ),
]

REFUSED: list[tuple[str, Sequence[JobEventData], JobCommand, type[Refused]]] = [
    (
        "submit something else",
        QUEUED,
        SubmitJob(
            now=NOW,
            job_id=JOB,
            tenant=DEFAULT_TENANT,
            request_sha256="other",
            spec=JobSpec(owner="a", pipeline_name="p", engine="m"),
        ),
        IdempotencyKeyReused,
    ),
    ("assign nothing", [], ASSIGN, UnknownJob),
    ("assign twice", [SUBMITTED, ASSIGNED], ASSIGN, NotQueued),
    ("assign when done", DONE, ASSIGN, NotQueued),
    ("start nothing", [], START, UnknownJob),
    ("start what waits", QUEUED, START, StaleAttempt),
    ("start another's attempt", [SUBMITTED, ASSIGNED], StartAttempt(now=NOW, attempt=1, runner_id=R2), StaleAttempt),
    ("start a later attempt", [SUBMITTED, ASSIGNED], StartAttempt(now=NOW, attempt=2, runner_id=R1), StaleAttempt),
    ("start what is being cancelled", CANCELLING, START, JobEnded),
    ("start what is done", DONE, START, JobEnded),
    ("end twice", DONE, end(OutcomeKind.SUCCEEDED), JobEnded),
    ("end after a requeue", [*RUNNING, REQUEUED], end(OutcomeKind.SUCCEEDED), StaleAttempt),
    (
        "end an earlier attempt",
        [*RUNNING, REQUEUED, JobAssigned(attempt=2, runner_id=R1, cycle_id=CYCLE)],
        end(OutcomeKind.SUCCEEDED),
        StaleAttempt,
    ),
    ("end another's attempt", RUNNING, end(OutcomeKind.SUCCEEDED, runner_id=R2), StaleAttempt),
    ("delay the results of what waits", QUEUED, DELAY, StaleAttempt),
    ("delay the results of another's attempt", RUNNING, replace(DELAY, runner_id=R2), StaleAttempt),
    ("delay the results of what is done", DONE, DELAY, JobEnded),
    ("abandon what waits", QUEUED, abandon(), StaleAttempt),
    ("abandon what is done", DONE, abandon(), JobEnded),
    ("abandon an earlier attempt", RUNNING, abandon(attempt=2), StaleAttempt),
    ("cancel nothing", [], CANCEL, UnknownJob),
    ("cancel what is done", DONE, CANCEL, JobEnded),
    ("hold nothing", [], HOLD, UnknownJob),
    ("hold what is assigned", [SUBMITTED, ASSIGNED], HOLD, NotQueued),
    ("hold what runs", RUNNING, HOLD, NotQueued),
    ("hold what is being cancelled", CANCELLING, HOLD, NotQueued),
    ("hold what is done", DONE, HOLD, JobEnded),
    ("hold what was cancelled", [SUBMITTED, JobCancelled()], HOLD, JobEnded),
    ("release nothing", [], RELEASE, UnknownJob),
    ("release what runs", RUNNING, RELEASE, NotQueued),
    ("release what is done", DONE, RELEASE, JobEnded),
    ("assign what is held", HELD, ASSIGN, NotQueued),
]


@pytest.mark.parametrize(
    ("history", "command", "expected"), [item[1:] for item in ACCEPTED], ids=[a[0] for a in ACCEPTED]
)
def test_accepts(history: Sequence[JobEventData], command: JobCommand, expected: tuple[JobEventData, ...]) -> None:
    assert decide(given(history), command) == expected


@pytest.mark.parametrize(("history", "command", "refusal"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_refuses(history: Sequence[JobEventData], command: JobCommand, refusal: type[Refused]) -> None:
    with pytest.raises(refusal):
        decide(given(history), command)


def test_back_off_grows_and_then_the_job_is_given_up() -> None:
    history: list[JobEventData] = [SUBMITTED]
    waits: list[float] = []
    for attempt in range(1, MAX_REQUEUES + 1):
        history += [JobAssigned(attempt=attempt, runner_id=R1, cycle_id=CYCLE)]
        (requeued,) = decide(given(history), abandon(attempt=attempt))
        assert isinstance(requeued, JobRequeued)
        waits.append((requeued.not_before - NOW).total_seconds())
        history.append(requeued)
    assert waits == [0, 1, 5, 15, 60]
    history += [JobAssigned(attempt=MAX_REQUEUES + 1, runner_id=R1, cycle_id=CYCLE)]
    (failed,) = decide(given(history), abandon(attempt=MAX_REQUEUES + 1))
    assert isinstance(failed, JobFailed)
    assert failed.failure.cause is FailureCause.SYSTEM
    assert failed.failure.message == "stopped trying after 6 attempts without an outcome; the last one: silence"


def crash(attempt: int) -> AbandonAttempt:
    return replace(abandon(attempt=attempt), is_runner_gone=True)


def test_a_job_whose_runners_crash_alone_is_quarantined() -> None:
    history: list[JobEventData] = [SUBMITTED]
    total = MAX_SHARED_CRASHES + MAX_CRASHES_ALONE
    for attempt in range(1, total):
        made = job(history)
        is_alone = needs_isolation(made.runner_crashes)
        assert is_alone == (attempt > MAX_SHARED_CRASHES)
        history.append(JobAssigned(attempt=attempt, runner_id=R1, cycle_id=CYCLE, is_alone=is_alone))
        (requeued,) = decide(given(history), crash(attempt))
        assert isinstance(requeued, JobRequeued)
        assert requeued.is_runner_gone
        history.append(requeued)
    assert (job(history).requeues, job(history).runner_crashes, job(history).crashes_alone) == (0, 3, 1)
    history.append(JobAssigned(attempt=total, runner_id=R1, cycle_id=CYCLE, is_alone=True))
    (failed,) = decide(given(history), crash(total))
    assert isinstance(failed, JobFailed)
    assert failed.failure.cause is FailureCause.SYSTEM
    assert failed.failure.message == (
        "quarantined: this run was on a runner that crashed 4 times, the last 2 times with no other run beside it; "
        "the last time: silence"
    )


def test_crashes_beside_others_never_wear_a_job_out() -> None:
    history: list[JobEventData] = [SUBMITTED]
    for attempt in range(1, 3 * MAX_REQUEUES):
        history.append(JobAssigned(attempt=attempt, runner_id=R1, cycle_id=CYCLE))
        (requeued,) = decide(given(history), crash(attempt))
        assert isinstance(requeued, JobRequeued)
        history.append(requeued)
    assert job(history).requeues == 0


def test_delayed_results_are_shown_until_another_attempt_starts() -> None:
    delayed = job([*RUNNING, DELAYED])
    assert (delayed.state, delayed.results_delay, delayed.results_tries) == (JobState.RUNNING, "the store is full", 4)
    again: Sequence[JobEventData] = [
        JobAssigned(attempt=2, runner_id=R1, cycle_id=CYCLE),
        AttemptStarted(attempt=2, runner_id=R1),
    ]
    assert job([*RUNNING, DELAYED, REQUEUED, *again]).results_delay is None


def test_remote_sources_are_recorded_by_the_current_attempt_alone() -> None:
    pinned = RemoteSourcesPinned(
        attempt=1, runner_id=R1, manifest="jobs/x/remote-sources.json", sha256="a" * 64, files=2, size_bytes=10
    )
    pin = PinRemoteSources(
        now=NOW, attempt=1, runner_id=R1, manifest=pinned.manifest, sha256="a" * 64, files=2, size_bytes=10
    )
    assert decide(given(RUNNING), pin) == (pinned,)
    assert decide(given(CANCELLING), pin) == (pinned,)
    assert decide(given([SUBMITTED, ASSIGNED]), pin) == ()
    for state in (RUNNING, CANCELLING):
        assert job([*state, pinned]).state is job(state).state
        assert job([*state, pinned]).damage is None
    with pytest.raises(StaleAttempt):
        decide(given(RUNNING), replace(pin, attempt=2))
    with pytest.raises(JobEnded):
        decide(given(DONE), pin)
    many = tuple(PinnedRef(repository="r", ref=str(number), commit="1" * 40) for number in range(60))
    (cut,) = decide(given(RUNNING), replace(pin, refs=many))
    assert cut == replace(pinned, refs=many[:50])


def test_the_stop_of_runners_never_wears_a_job_out() -> None:
    history: list[JobEventData] = [SUBMITTED]
    for attempt in range(1, 3 * MAX_REQUEUES):
        history += [JobAssigned(attempt=attempt, runner_id=R1, cycle_id=CYCLE)]
        (requeued,) = decide(given(history), abandon(RequeueCause.PREEMPTED, attempt=attempt))
        assert isinstance(requeued, JobRequeued)
        assert requeued.not_before == NOW
        history.append(requeued)
    assert job(history).requeues == 0


def test_a_whole_life() -> None:
    ended = JobCompleted(attempt=1, runner_id=R1, tasks=TaskCounts(total=2, done=2), output_files=3, output_bytes=9)
    made = job([SUBMITTED, ASSIGNED, STARTED, ended])
    assert made.state is JobState.COMPLETED
    assert made.created_at == NOW + timedelta(seconds=1)
    assert made.started_at == NOW + timedelta(seconds=3)
    assert made.completed_at == made.updated_at == NOW + timedelta(seconds=4)
    assert (made.created_seq, made.head.seq, made.head.version) == (10, 40, 4)
    assert (made.tasks.done, made.output_files, made.output_bytes) == (2, 3, 9)


def test_a_held_job_has_the_reason_until_it_is_released_or_over() -> None:
    assert (job(HELD).state, job(HELD).hold_reason) == (JobState.HELD, "wait for the new reference")
    assert (job([*HELD, JobReleased()]).state, job([*HELD, JobReleased()]).hold_reason) == (JobState.QUEUED, None)
    assert job([*HELD, JobCancelled()]).hold_reason is None


def test_a_hold_leaves_the_back_off_as_it_was() -> None:
    later = replace(REQUEUED, not_before=NOW + timedelta(seconds=60))
    released = job([*RUNNING, later, JobHeld(), JobReleased()])
    assert (released.state, released.not_before, released.requeues) == (JobState.QUEUED, later.not_before, 1)


def test_a_job_can_be_held_from_the_beginning() -> None:
    made = job([replace(SUBMITTED, spec=HELD_SPEC)])
    assert (made.state, made.hold_reason) == (JobState.HELD, None)


def test_an_event_of_something_else_leaves_a_job_as_it_was() -> None:
    (left,) = stored([SUBMITTED])
    other = Stored(
        seq=99,
        event=link(
            EMPTY_HEAD,
            aggregates.runner(R1),
            RunnerLeft(runner_id=R1),
            event_id=EventId("f" * 32),
            time=NOW,
            actor="test",
        ),
        hash="",
    )
    made = evolve(None, left)
    assert evolve(made, other) == made
    assert evolve(None, other) is None


def test_events_before_the_submission_make_a_damaged_job() -> None:
    made = job([ASSIGNED, STARTED])
    assert made.damage is not None
    assert (made.id, made.damage.seq, made.damage.reason) == (JOB, 10, "JobAssigned cannot be here")


def test_a_whole_chain_is_verified() -> None:
    history = stored(DONE)
    verify(history)
    verify(history[2:], after=history[1].head)


@pytest.mark.parametrize("broken", ["gap", "swap", "change", "start"])
def test_a_broken_chain_is_noticed(broken: str) -> None:
    history = stored(DONE)
    match broken:
        case "gap":
            del history[1]
        case "swap":
            history[1], history[2] = history[2], history[1]
        case "change":
            history[1] = Stored(seq=history[1].seq, event=history[1].event, hash="0" * 64)
        case _:
            del history[0]
    with pytest.raises(BrokenChain):
        verify(history)


def test_deleting_a_job_that_ended_leaves_a_tombstone() -> None:
    job = given([*DONE])
    assert job is not None
    [deleted] = decide(job, DeleteJob(now=NOW, reason="old"))
    assert deleted == JobDeleted(reason="old")
    left = given([*DONE, deleted])
    assert left is not None
    assert (left.state, left.spec.owner, left.spec.parameters, left.output_files) == (JobState.COMPLETED, "ada", {}, 0)
    assert left.deleted_at is not None


def test_a_job_that_is_not_over_is_not_deleted() -> None:
    with pytest.raises(JobNotEnded, match="cancel it first"):
        decide(given(RUNNING), DeleteJob(now=NOW))


def test_deleting_twice_is_nothing() -> None:
    assert decide(given([*DONE, JobDeleted()]), DeleteJob(now=NOW)) == ()


DELETE = DeleteJob(now=NOW, reason="old")
CLOSE = CloseJob(now=NOW, reason="a disk failed")


def damaged(history: list[Stored], place: int) -> list[Stored]:
    """Make one event of a history unreadable, as a changed byte does."""
    whole = history[place]
    broken = unreadable(whole.seq, whole.event.aggregate, b"?", digest(b"?"), "no JSON")
    return [*history[:place], broken, *history[place + 1 :]]


@pytest.mark.parametrize("place", range(3))
def test_an_unreadable_event_puts_the_job_into_quarantine(place: int) -> None:
    history = damaged(stored(DONE), place)
    made = fold(history)
    assert made is not None
    assert made.damage is not None
    assert (made.id, made.damage.seq) == (JOB, history[place].seq)
    assert made.failure is not None
    assert made.failure.message == (
        f"the event log of this job is damaged at sequence {made.damage.seq}: the event cannot be read: no JSON"
    )
    assert made.state is (JobState.QUEUED, JobState.QUEUED, JobState.ASSIGNED)[place], "as far as it could be read"
    assert made.head.seq == history[-1].seq, "what follows is appended behind everything"


@pytest.mark.parametrize("command", [ASSIGN, CANCEL, HOLD, RELEASE, SUBMIT])
def test_nothing_but_closing_is_done_to_a_damaged_job(command: JobCommand) -> None:
    with pytest.raises(JobQuarantined, match="An operator can close job"):
        decide(fold(damaged(stored(RUNNING), 2)), command)


def test_a_closed_job_has_failed_and_can_be_deleted() -> None:
    history = damaged(stored(RUNNING), 2)
    quarantined = fold(history)
    assert quarantined is not None
    (data,) = decide(quarantined, CLOSE)
    assert data == JobClosed(damaged_seq=history[2].seq, reason="a disk failed")
    event = link(
        quarantined.head, history[0].event.aggregate, data, event_id=EventId("c" * 32), time=NOW, actor="user:root"
    )
    closed = evolve(quarantined, Stored(99, event, digest(encode(event))))
    assert closed is not None
    assert (closed.state, closed.damage, closed.completed_at) == (JobState.FAILED, None, NOW)
    assert closed.failure == quarantined.failure
    assert decide(closed, DELETE) == (JobDeleted(reason=DELETE.reason),)


@pytest.mark.parametrize("place", range(2))
@pytest.mark.parametrize("is_missing", [False, True])
def test_who_read_a_job_before_the_damage_closes_it_too(place: int, *, is_missing: bool) -> None:
    history = stored(RUNNING)
    whole = fold(history)
    seen = [*history[:place], *history[place + 1 :]] if is_missing else damaged(history, place)
    quarantined = fold(seen)
    assert quarantined is not None
    assert quarantined.damage is not None
    (data,) = decide(quarantined, CLOSE)
    event = link(
        quarantined.head, history[0].event.aggregate, data, event_id=EventId("c" * 32), time=NOW, actor="user:root"
    )
    closing = Stored(99, event, digest(encode(event)))
    for before in (whole, quarantined):
        closed = evolve(before, closing)
        assert closed is not None
        assert (closed.state, closed.damage, closed.head) == (JobState.FAILED, None, closing.head)
        assert closed.failure is not None
        assert f"damaged at sequence {quarantined.damage.seq}" in closed.failure.message


def test_only_a_damaged_job_is_closed() -> None:
    with pytest.raises(NotDamaged):
        decide(given(RUNNING), CLOSE)


def test_a_job_that_had_ended_stays_as_it_ended() -> None:
    history = stored([*DONE, COMPLETED])
    made = fold(history)
    assert made is not None
    assert (made.state, made.failure, made.damage is not None) == (JobState.COMPLETED, None, True)


@pytest.mark.parametrize(
    "history",
    [[*QUEUED, STARTED], [*RUNNING, ASSIGNED], [*DONE, COMPLETED], [*RUNNING, SUBMITTED], [*HELD, ASSIGNED]],
    ids=["started before assigned", "assigned twice", "completed twice", "submitted twice", "assigned while held"],
)
def test_an_event_that_cannot_happen_is_damage(history: Sequence[JobEventData]) -> None:
    made = job(history)
    assert made.damage is not None
    assert made.damage.seq == 10 * len(history)


@pytest.mark.parametrize("place", [0, 1])
def test_a_missing_or_changed_event_is_noticed_at_the_next_one(place: int) -> None:
    history = stored(RUNNING)
    without = fold([*history[:place], *history[place + 1 :]])
    changed = replace(history[place], hash=digest(b"?"))
    with_change = fold([*history[:place], changed, *history[place + 1 :]])
    for made in (without, with_change):
        assert made is not None
        assert made.damage is not None
        assert made.damage.seq == history[place + 1].seq


def test_every_event_of_a_job_has_a_rule() -> None:
    assert set(STATES_BEFORE) == set(get_args(JobEventData)) - {JobSubmitted, JobClosed, RecordDamaged}


@pytest.mark.parametrize(
    ("before", "outcome"),
    [
        (RUNNING, OutcomeKind.SUCCEEDED),
        (RUNNING, OutcomeKind.FAILED),
        (CANCELLING, OutcomeKind.STOPPED),
        (CANCELLING, OutcomeKind.FAILED),
        (CANCELLING, OutcomeKind.SUCCEEDED),
    ],
)
def test_warnings_reach_the_job_however_it_ends(before: Sequence[JobEventData], outcome: OutcomeKind) -> None:
    warnings = ("rule a declares `conda: e`, which this runner does not provide",)
    command = replace(end(outcome, FAILURE if outcome is OutcomeKind.FAILED else None), warnings=warnings)
    ended = fold(stored([*before, *decide(fold(stored(before)), command)]))
    assert ended is not None
    assert ended.state.is_terminal
    assert ended.warnings == warnings


@pytest.mark.parametrize("outcome", OutcomeKind)
def test_what_an_attempt_used_is_kept_until_the_job_is_deleted(outcome: OutcomeKind) -> None:
    used = MeasuredResources(peak_memory_bytes=5, user_s=1.5)
    begun = CANCELLING if outcome is OutcomeKind.STOPPED else RUNNING
    [ended] = decide(job(begun), replace(end(outcome), measured=used))
    after = job([*begun, ended])
    assert after.measured == used
    assert job([*begun, ended, JobDeleted()]).measured is None
