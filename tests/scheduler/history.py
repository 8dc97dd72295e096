"""Logs for tests: events put in by hand, chained as they would be stored."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from penstock_domain import aggregates
from penstock_domain.chain import Stored, digest, following, link
from penstock_domain.damage import unreadable
from penstock_ports import AppendEntry
from penstock_scheduler.core.decision import NO_OBSERVATIONS, Decision, Observations, decide
from penstock_scheduler.core.events import batch, record
from penstock_scheduler.core.state import SchedulerState
from penstock_schemas.events import (
    AttemptStarted,
    EventData,
    JobCancelled,
    JobCancelRequested,
    JobClosed,
    JobCompleted,
    JobHeld,
    JobReleased,
    JobSubmitted,
    LeaseAcquired,
    LimitSet,
    RunnerDraining,
    RunnerJoined,
    RunnerLeft,
)
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId, RunnerId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import DeclaredSoftware, Source, SourceKind
from penstock_schemas.views import EMPTY_HEAD, Head
from penstock_schemas.wire import encode

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


class History:
    """A log, its fold, and the decisions that a scheduler takes on it."""

    def __init__(self) -> None:
        self.stored: list[Stored] = []
        self.state = SchedulerState()
        self.now = START
        self.ids = 0
        self._heads: dict[str, Head] = {}
        self.add(aggregates.SCHEDULER_LEASE, LeaseAcquired(holder="s", term=1))

    def new_id(self) -> EventId:
        self.ids += 1
        return EventId(f"{self.ids:032x}")

    def add(self, aggregate: str, data: EventData) -> Stored:
        head = self._heads.get(aggregate, EMPTY_HEAD)
        return self._store(
            AppendEntry(link(head, aggregate, data, event_id=self.new_id(), time=self.now, actor="test"), head.seq)
        )

    def _store(self, entry: AppendEntry) -> Stored:
        stored = Stored(seq=len(self.stored) + 1, event=entry.event, hash=digest(encode(entry.event)))
        self.stored.append(stored)
        self._heads[entry.event.aggregate] = stored.head
        self.state.apply(stored)
        return stored

    def cycle(self, observations: Observations = NO_OBSERVATIONS, *, max_entries: int = 1000) -> Decision:
        """Decide, and store what was decided as the leader would."""
        cycle_id = self.new_id()
        decision = decide(self.state, self.now, observations, cycle_id=cycle_id, max_entries=max_entries)
        if decision:
            cycle = record(self.state, decision, self.now, observations, max_entries)
            entries = batch(self.state, decision, cycle, cycle_id=cycle_id, new_id=self.new_id, actor="scheduler:s")
            assert len(entries) <= max_entries
            for entry in entries:
                if entry.expected is not None:
                    head = self._heads.get(entry.event.aggregate, EMPTY_HEAD)
                    assert entry.expected == head.seq, entry.event.aggregate
                self._store(entry)
        return decision

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def submit(
        self,
        number: int,
        *,
        owner: str = "ada",
        engine: str = "mock",
        priority: int = 0,
        hold: bool = False,
        requeue: bool = True,
        declares: tuple[str, ...] = (),
        cores: int = 0,
        gpus: int = 0,
    ) -> JobId:
        job_id = job(number)
        declared = tuple(DeclaredSoftware(directive=item, path="Snakefile", line=1) for item in declares)
        spec = JobSpec(
            pipeline_name="p",
            engine=engine,
            owner=owner,
            cores=cores,
            gpus=gpus,
            priority=priority,
            hold=hold,
            requeue=requeue,
            source=Source(kind=SourceKind.FILES, location="x", declared=declared) if declared else None,
        )
        data = JobSubmitted(job_id=job_id, spec=spec)
        self.add(aggregates.job(DEFAULT_TENANT, job_id), data)
        return job_id

    def add_event(self, number: int, data: EventData) -> None:
        self.add(aggregates.job(DEFAULT_TENANT, job(number)), data)

    def start(self, number: int, runner_id: RunnerId, attempt: int = 1) -> None:
        self.add_event(number, AttemptStarted(attempt=attempt, runner_id=runner_id))

    def complete(self, number: int, runner_id: RunnerId, attempt: int = 1) -> None:
        self.add_event(number, JobCompleted(attempt=attempt, runner_id=runner_id))

    def damage(self, number: int) -> None:
        """Put an event that cannot be read on a job."""
        self.put_unreadable(aggregates.job(DEFAULT_TENANT, job(number)))

    def put_unreadable(self, aggregate: str) -> Stored:
        seq = len(self.stored) + 1
        stored = unreadable(seq, aggregate, b"?", digest(b"?"), "no JSON")
        self.stored.append(stored)
        self._heads[aggregate] = following(self._heads.get(aggregate, EMPTY_HEAD), stored)
        self.state.apply(stored)
        return stored

    def close(self, number: int) -> None:
        damage = self.state.jobs[aggregates.job(DEFAULT_TENANT, job(number))].life.damage
        assert damage is not None
        self.add_event(number, JobClosed(damaged_seq=damage.seq))

    def hold(self, number: int) -> None:
        self.add_event(number, JobHeld())

    def release(self, number: int) -> None:
        self.add_event(number, JobReleased())

    def cancel_waiting(self, number: int) -> None:
        self.add_event(number, JobCancelled())

    def cancel_running(self, number: int, reason: str | None = None) -> None:
        self.add_event(number, JobCancelRequested(reason=reason))

    def join(
        self,
        name: str,
        slots: int,
        *engines: str,
        provides: tuple[str, ...] = (),
        cores: int = 0,
        gpus: tuple[str, ...] = (),
    ) -> RunnerId:
        runner_id = RunnerId(name)
        data = RunnerJoined(
            runner_id=runner_id,
            name=name,
            slots=slots,
            engines=dict.fromkeys(engines or ("mock",), "1"),
            provides=provides,
            cores=cores,
            gpus=gpus,
        )
        self.add(aggregates.runner(runner_id), data)
        return runner_id

    def drain(self, runner_id: RunnerId) -> None:
        self.add(aggregates.runner(runner_id), RunnerDraining(runner_id=runner_id))

    def leave(self, runner_id: RunnerId) -> None:
        self.add(aggregates.runner(runner_id), RunnerLeft(runner_id=runner_id))

    def limit(self, name: str, slots: int | None) -> None:
        self.add(aggregates.limit(name), LimitSet(name=name, slots=slots))


def job(number: int) -> JobId:
    """The id of the job with this number."""
    return JobId(str(UUID(int=number)))


def started(decision: Decision) -> list[tuple[int, str]]:
    """The numbers of the jobs that a decision starts, in order, and where."""
    return [(UUID(start.job.life.id).int, start.data.runner_id) for start in decision.starts]
