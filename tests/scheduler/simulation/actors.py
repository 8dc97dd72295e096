"""The shells as scripts: the same cores, each step between two of them a place to crash at."""

from collections.abc import Generator
from functools import partial
from typing import Any

from tests.scheduler.simulation.world import Actor, Call, Operation, Read, Script, Sleep, World

from penstock_domain import aggregates
from penstock_domain.chain import Stored, link
from penstock_domain.job.decide import decide
from penstock_domain.job.errors import Refused
from penstock_domain.job.evolve import fold
from penstock_ports import AppendEntry, Conflict, Fenced, PortError, Unavailable
from penstock_projector.core.projection import Projection, pieces
from penstock_scheduler.core.decision import Observations
from penstock_scheduler.core.events import election
from penstock_scheduler.core.leader import Leader
from penstock_scheduler.core.liveness import FailureDetector, LeaderWatch
from penstock_scheduler.core.state import SchedulerState
from penstock_schemas.commands import (
    AbandonAttempt,
    CancelJob,
    EndAttempt,
    HoldJob,
    JobCommand,
    OutcomeKind,
    ReleaseJob,
    StartAttempt,
    SubmitJob,
)
from penstock_schemas.events import AttemptAssigned, EventData, RunnerDraining, RunnerJoined, RunnerLeft, StopOrdered
from penstock_schemas.ids import DEFAULT_TENANT, JobId, RunnerId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import Failure, FailureCause, RequeueCause
from penstock_schemas.views import EMPTY_HEAD, Job, RunnerHeartbeat, SchedulerBeat

MAX_TRIES = 30
Told = Generator[Operation, Any, bool]


class Teller(Actor):
    """An actor that tells jobs things: loads, decides, appends, and tries again on a conflict or a doubt."""

    def tell(self, job_id: JobId, command: JobCommand) -> Told:
        """Give a command; say whether it was obeyed, now or before."""
        aggregate = aggregates.job(DEFAULT_TENANT, job_id)
        for _ in range(MAX_TRIES):
            try:
                history = yield Call(partial(self.world.load, aggregate))
                known = fold(history)
                happened = decide(known, command)
                if not happened:
                    return True
                entries = self._entries(aggregate, known, happened, command)
                yield Call(partial(self.world.append, entries), writes=True)
            except Refused:
                return False
            except PortError:
                yield Sleep(self.world.random.random())
            else:
                return True
        return False

    def _entries(
        self, aggregate: str, known: Job | None, happened: tuple[EventData, ...], command: JobCommand
    ) -> list[AppendEntry]:
        (data,) = happened
        head = EMPTY_HEAD if known is None else known.head
        event = link(head, aggregate, data, event_id=self.world.new_id(), time=command.now, actor="test")
        return [AppendEntry(event, head.seq)]

    def add(self, aggregate: str, data: EventData) -> Script:
        """Append to an aggregate, once: after a doubt it looks whether it is there."""
        event_id = self.world.new_id()
        while True:
            try:
                history: tuple[Stored, ...] = yield Call(partial(self.world.load, aggregate))
                if any(each.event.id == event_id for each in history):
                    return
                head = history[-1].head if history else EMPTY_HEAD
                event = link(head, aggregate, data, event_id=event_id, time=self.now(), actor="test")
                entries = [AppendEntry(event, head.seq)]
                yield Call(partial(self.world.append, entries), writes=True)
            except PortError:
                yield Sleep(0.5)
            else:
                return


class Client(Teller):
    """Submits a job, perhaps twice, perhaps held, and perhaps holds or cancels it later."""

    def submit(self, job_id: JobId, owner: str, priority: int) -> Script:
        command = SubmitJob(
            now=self.now(),
            job_id=job_id,
            tenant=DEFAULT_TENANT,
            spec=JobSpec(
                owner=owner,
                pipeline_name="p",
                engine="mock",
                priority=priority,
                hold=self.world.chance(0.1),
                requeue=not self.world.chance(0.2),
            ),
        )
        while not (yield from self.tell(job_id, command)):
            pass
        if self.world.chance(0.2):
            yield from self.tell(job_id, command)
        if command.spec.hold:
            yield from self.release(job_id)

    def hold(self, job_id: JobId) -> Script:
        if (yield from self.tell(job_id, HoldJob(now=self.now()))):
            yield from self.release(job_id)

    def release(self, job_id: JobId) -> Script:
        yield Sleep(self.world.random.random() * 15)
        for _ in range(3):  # what is refused is not held any more
            if (yield from self.tell(job_id, ReleaseJob(now=self.now()))):
                return

    def cancel(self, job_id: JobId) -> Script:
        for _ in range(1 + self.world.chance(0.3)):
            yield from self.tell(job_id, CancelJob(now=self.now()))


class SchedulerActor(Actor):
    """One scheduler process: `penstock_scheduler.scheduler` and `.leading`, step by step."""

    def __init__(self, world: World, holder: str) -> None:
        super().__init__(world)
        self.holder = holder
        self.state = SchedulerState()
        self.silences = FailureDetector()
        self.leader: Leader | None = None
        self.start(self.follow())
        self.start(self.stand_by_and_lead())
        self.start(self.listen())
        self.start(self.beat())

    def follow(self) -> Script:
        while True:
            _, events = yield Read(self.state.seq)
            self.state.apply_all(events)

    def stand_by_and_lead(self) -> Script:
        watch = LeaderWatch()
        yield from self.catch_up()
        while True:
            yield from self.stand_by(watch)
            yield from self.lead()
            self.leader = None
            watch.expect(now=self.world.time)

    def stand_by(self, watch: LeaderWatch) -> Script:
        lease_seq = self.state.lease.head.seq
        while True:
            if lease_seq != self.state.lease.head.seq:
                lease_seq = self.state.lease.head.seq
                watch.expect(now=self.world.time)
            try:
                beat = yield Call(self.world.heartbeats.scheduler)
                if watch.is_vacant(beat, now=self.world.time):
                    return
            except Unavailable:
                watch.expect(now=self.world.time)
            yield Sleep(0.5)

    def lead(self) -> Script:
        while True:
            yield from self.catch_up()
            before = self.state.lease.head.seq
            end = yield from self.term()
            if end == "deposed":
                return
            self.leader = None
            yield from self.catch_up()
            if self.state.lease.head.seq != before and self.state.lease.holder != self.holder:
                return

    def term(self) -> Generator[Operation, Any, str]:
        world = self.world
        entry = election(self.state, self.holder, event_id=world.new_id(), now=self.now(), actor=self.holder)
        try:
            (stored,) = yield Call(partial(world.append, [entry]), writes=True)
        except Conflict:
            yield from self.catch_up()
            return "deposed"
        except Unavailable:
            return "doubt"
        leader = Leader(self.state, holder=self.holder, elected_at=stored.seq, new_id=world.new_id)
        while self.state.seq < stored.seq:
            yield Sleep(0.01)
        self.leader, self.silences = leader, FailureDetector()
        seen, look_at = 0, 0.0
        while not leader.is_deposed:
            batch = None
            if leader.may_decide and (seen != self.state.seq or world.time >= look_at):
                seen, look_at = self.state.seq, world.time + 1.0
                batch = leader.next_batch(self.now(), Observations(self.silences.silent()))
            if batch is None:
                yield Sleep(0.2)
                continue
            try:
                entries, fence = batch.entries, leader.fence
                leader.stored((yield Call(partial(world.append, entries, fence), writes=True)))
            except Fenced:
                return "deposed"
            except Conflict:
                try:
                    leader.refused(last_seq=(yield Call(world.log.last_seq)))
                except Unavailable:
                    return "doubt"
            except Unavailable:
                if not world.mutation.is_doubt_ignored:
                    return "doubt"
            look_at = 0.0
        return "deposed"

    def catch_up(self) -> Script:
        while True:
            try:
                last_seq = yield Call(self.world.log.last_seq)
            except Unavailable:
                continue
            while self.state.seq < last_seq:
                yield Sleep(0.02)
            return

    def beat(self) -> Script:
        count = 0
        while True:
            leader = self.leader
            if leader is not None:
                count += 1
                beat = SchedulerBeat(holder=self.holder, term=leader.fence.seq, count=count, time=self.now())
                try:
                    yield Call(partial(self.world.heartbeats.beat_scheduler, beat), writes=True)
                except Unavailable:
                    continue
            yield Sleep(1.0 if leader else 0.3)

    def listen(self) -> Script:
        while True:
            if self.leader is not None:
                silences = self.silences
                expected = [each.id for each in self.state.runners.values() if not each.state.is_over]
                asked_at = self.world.time
                try:
                    beats = yield Call(self.world.heartbeats.runners)
                except Unavailable:
                    continue
                silences.heard(expected, beats, asked_at=asked_at, answered_at=self.world.time)
            yield Sleep(1.0)


class RunnerActor(Teller):
    """One incarnation of a runner: it ends when it is killed, leaves, or has fenced itself."""

    def __init__(self, world: World, name: str, slots: int, predecessor: "RunnerActor | None") -> None:
        super().__init__(world)
        self.name, self.slots = name, slots
        self.id = RunnerId(f"{name}-{world.new_id()[-8:]}")
        self.work: dict[JobId, int] = {}
        self.stopping: set[tuple[JobId, int]] = set()
        self.is_leaving = False
        self.known: set[tuple[JobId, int]] = set()
        self.acknowledged_at = world.time
        self.start(self.live(predecessor))

    def crash(self) -> None:
        """Kill -9: the work dies by the signal that its parent's death sends."""
        super().crash()
        self.world.after(self.world.random.random() * 0.5, self.kill_work)

    def kill_work(self) -> None:
        for job_id, attempt in list(self.work.items()):
            self.end_work(job_id, attempt)

    def end_work(self, job_id: JobId, attempt: int) -> None:
        if self.work.get(job_id) == attempt:
            del self.work[job_id]
            self.world.invariants.work_ends(job_id)

    def live(self, predecessor: "RunnerActor | None") -> Script:
        if predecessor is not None:
            predecessor.kill_work()
            yield from self.add(aggregates.runner(predecessor.id), RunnerLeft(runner_id=predecessor.id))
        joined = RunnerJoined(runner_id=self.id, name=self.name, slots=self.slots, engines={"mock": "1"})
        # It beats before it joins: its lease counts from the beginning.
        self.acknowledged_at = self.world.time
        self.start(self.beat())
        self.start(self.fence_itself())
        yield from self.add(aggregates.runner(self.id), joined)
        after = 0
        while True:
            after, orders = yield Read(after, aggregates.assign(self.id))
            for stored in orders:
                self.obey(stored.event.data)
            if orders and self.world.chance(0.1):
                after = max(0, after - self.world.random.randint(1, 60))  # delivered twice

    def obey(self, order: EventData) -> None:
        if isinstance(order, AttemptAssigned) and (order.job_id, order.attempt) not in self.known:
            self.known.add((order.job_id, order.attempt))
            self.start(self.run_attempt(order.job_id, order.attempt))
        elif isinstance(order, StopOrdered):
            self.stopping.add((order.job_id, order.attempt))
            if self.work.get(order.job_id) != order.attempt:
                self.start(self.end(order.job_id, order.attempt, OutcomeKind.STOPPED))

    def run_attempt(self, job_id: JobId, attempt: int) -> Script:
        command = StartAttempt(now=self.now(), attempt=attempt, runner_id=self.id)
        if not (yield from self.tell(job_id, command)) or self.is_leaving:
            return
        self.work[job_id] = attempt
        self.world.invariants.work_begins(job_id, self.id, attempt)
        ends_at = self.world.time + self.world.random.random() ** 2 * 25
        while self.world.time < ends_at and (job_id, attempt) not in self.stopping:
            yield Sleep(0.25)
        outcome = OutcomeKind.SUCCEEDED if self.world.random.random() < 0.8 else OutcomeKind.FAILED
        outcome = OutcomeKind.STOPPED if (job_id, attempt) in self.stopping else outcome
        self.end_work(job_id, attempt)
        yield from self.end(job_id, attempt, outcome)

    def end(self, job_id: JobId, attempt: int, outcome: OutcomeKind) -> Script:
        failure = Failure(cause=FailureCause.WORKFLOW, message="bad luck")
        command = EndAttempt(now=self.now(), attempt=attempt, runner_id=self.id, outcome=outcome, failure=failure)
        yield from self.tell(job_id, command)

    def beat(self) -> Script:
        count = 0
        while True:
            count += 1
            sent_at = self.world.time
            beat = RunnerHeartbeat(
                runner_id=self.id,
                count=count,
                time=self.now(),
                name=self.name,
                slots=self.slots,
                busy=len(self.work),
                engines={"mock": "1"},
            )
            try:
                yield Call(partial(self.world.heartbeats.beat, beat), writes=True)
                self.acknowledged_at = max(self.acknowledged_at, sent_at)
            except Unavailable:
                continue
            yield Sleep(1.0)

    def fence_itself(self) -> Script:
        while True:
            left_s = self.acknowledged_at + self.world.mutation.self_fence_s - self.world.time
            if left_s <= 0:
                self.is_alive = False
                self.kill_work()
                return
            yield Sleep(max(left_s, 0.01))

    def leave(self) -> Script:
        """Stop cleanly: give back what runs."""
        self.is_leaving = True
        yield from self.add(aggregates.runner(self.id), RunnerDraining(runner_id=self.id))
        attempts = list(self.work.items())
        self.kill_work()
        for job_id, attempt in attempts:
            command = AbandonAttempt(now=self.now(), attempt=attempt, runner_id=self.id, cause=RequeueCause.PREEMPTED)
            yield from self.tell(job_id, command)
        yield from self.add(aggregates.runner(self.id), RunnerLeft(runner_id=self.id))
        self.is_alive = False


class ProjectorActor(Actor):
    """One projector process: `penstock_projector`, step by step."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.projection = Projection(max_jobs=3)
        self.start(self.project())

    def project(self) -> Script:
        while True:
            self.projection.forget()
            try:
                checkpoint = yield Call(self.world.view.checkpoint)
                while True:
                    _, events = yield Read(checkpoint)
                    for piece in pieces(events):
                        checkpoint = yield from self.write(piece, checkpoint)
            except Conflict:
                yield Sleep(1.0)
            except PortError:
                yield Sleep(0.5)

    def write(self, piece: Any, previous: int) -> Generator[Operation, Any, int]:
        self.world.published |= {each.seq for each in piece if each.event.aggregate.startswith("job.")}
        missing = self.projection.missing(piece)
        read: dict[JobId, Job] = (yield Call(partial(self.world.view.get_many, missing))) if missing else {}
        write = self.projection.fold(piece, read)
        yield Call(partial(self.world.write_view, write.jobs, previous, write.checkpoint), writes=True)
        self.projection.written(write)
        return write.checkpoint
