"""Random commands keep what must always hold of a job."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from penstock_domain import aggregates
from penstock_domain.chain import Stored, digest, link, verify
from penstock_domain.job.decide import decide
from penstock_domain.job.errors import Refused
from penstock_domain.job.evolve import evolve, fold
from penstock_schemas.commands import (
    AbandonAttempt,
    AssignJob,
    CancelJob,
    DelayResults,
    EndAttempt,
    HoldJob,
    JobCommand,
    OutcomeKind,
    PinRemoteSources,
    ReleaseJob,
    StartAttempt,
    SubmitJob,
)
from penstock_schemas.events import JobAssigned, JobCancelled, JobCompleted, JobFailed, JobSubmitted
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId, RunnerId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import JobState, RequeueCause
from penstock_schemas.views import EMPTY_HEAD, Job
from penstock_schemas.wire import decode_event, decode_view, encode

JOB = JobId("0190f3c4-5b1e-7c3a-9d2e-000000000001")
NOW = st.integers(0, 1000).map(lambda s: datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=s))
RUNNERS = st.sampled_from([RunnerId("one"), RunnerId("two")])
ATTEMPTS = st.integers(1, 4)
COMMANDS: st.SearchStrategy[JobCommand] = st.one_of(
    st.builds(
        SubmitJob,
        now=NOW,
        job_id=st.just(JOB),
        tenant=st.just(DEFAULT_TENANT),
        spec=st.builds(
            JobSpec,
            owner=st.just("ada"),
            pipeline_name=st.just("p"),
            engine=st.just("mock"),
            parameters=st.just({"a": 1}),
            labels=st.just({"b": "c"}),
            description=st.none(),
            source=st.none(),
            engine_parameters=st.none(),
            pipeline=st.none(),
            workflow=st.none(),
            idempotency_key=st.none(),
            hold=st.booleans(),
            requeue=st.booleans(),
        ),
    ),
    st.builds(AssignJob, now=NOW, runner_id=RUNNERS, cycle_id=st.just(EventId("c"))),
    st.builds(StartAttempt, now=NOW, attempt=ATTEMPTS, runner_id=RUNNERS),
    st.builds(
        PinRemoteSources,
        now=NOW,
        attempt=ATTEMPTS,
        runner_id=RUNNERS,
        manifest=st.just("m"),
        sha256=st.just("0" * 64),
        files=st.just(1),
        size_bytes=st.just(1),
    ),
    st.builds(DelayResults, now=NOW, attempt=ATTEMPTS, runner_id=RUNNERS, tries=st.just(4), reason=st.just("full")),
    st.builds(
        EndAttempt,
        now=NOW,
        attempt=ATTEMPTS,
        runner_id=RUNNERS,
        outcome=st.sampled_from(OutcomeKind),
        failure=st.none(),
    ),
    st.builds(AbandonAttempt, now=NOW, attempt=ATTEMPTS, runner_id=RUNNERS, cause=st.sampled_from(RequeueCause)),
    st.builds(HoldJob, now=NOW, reason=st.sampled_from([None, "later"])),
    st.builds(ReleaseJob, now=NOW),
    st.builds(CancelJob, now=NOW),
)


class Life:
    """A job that gets commands, with its history as it would be stored."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.history: list[Stored] = []

    def execute(self, command: JobCommand) -> None:
        try:
            happened = decide(self.job, command)
        except Refused:
            return
        for data in happened:
            event = link(
                EMPTY_HEAD if self.job is None else self.job.head,
                aggregates.job(DEFAULT_TENANT, JOB),
                data,
                event_id=EventId(f"{len(self.history):032}"),
                time=command.now,
                actor="test",
            )
            raw = encode(event)
            self.history.append(Stored(seq=len(self.history) + 1, event=decode_event(raw), hash=digest(raw)))
            self.job = evolve(self.job, self.history[-1])


@given(st.lists(COMMANDS, max_size=25))
def test_random_commands_keep_the_invariants(commands: list[JobCommand]) -> None:
    life = Life()
    for command in commands:
        before = life.job
        life.execute(command)
        after = life.job
        if before is not None:
            assert after is not None
            if before.state.is_terminal:
                assert after == before, "nothing happens to a job that ended"
            assert before.attempt <= after.attempt <= before.attempt + 1
            assert not (before.state is JobState.HELD and after.state.holds_slot), "what is held is not started"
            if before.state is JobState.RUNNING and not before.can_requeue:
                assert after.state is not JobState.QUEUED, "what must not be begun twice is not"
        if after is not None and after.state.holds_slot:
            assert after.runner_id is not None
            assert after.attempt >= 1
        if after is not None and not after.state.holds_slot and not after.state.is_terminal:
            assert after.runner_id is None
        if after is not None:
            assert (after.completed_at is not None) == after.state.is_terminal
            assert after.hold_reason is None or after.state is JobState.HELD
    ends = [item for item in life.history if isinstance(item.event.data, JobCompleted | JobFailed | JobCancelled)]
    assert len(ends) == (life.job is not None and life.job.state.is_terminal)
    assert sum(isinstance(item.event.data, JobSubmitted) for item in life.history) <= 1
    attempts = [item.event.data.attempt for item in life.history if isinstance(item.event.data, JobAssigned)]
    assert attempts == list(range(1, len(attempts) + 1))
    verify(life.history)
    assert fold(life.history) == life.job, "replay equals live"
    if life.job is not None:
        assert decode_view(encode(life.job), Job) == life.job


@given(st.lists(COMMANDS, max_size=12), COMMANDS)
def test_what_was_decided_once_is_not_decided_again(commands: list[JobCommand], last: JobCommand) -> None:
    """A command that is delivered twice changes nothing the second time."""
    life = Life()
    for command in commands:
        life.execute(command)
    life.execute(last)
    once = life.job
    life.execute(last)
    assert life.job == once
