"""Virtual time, a log in memory, and a network that loses, delays and repeats: everything follows from one seed."""

from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from heapq import heappop, heappush
from inspect import iscoroutine
from random import Random
from typing import Any, TypeVar, cast

from tests.scheduler.simulation.invariants import Invariants

from penstock_domain import aggregates
from penstock_domain.chain import Stored
from penstock_ports import AppendEntry, Fence, PortError, Unavailable
from penstock_schemas.ids import EventId
from penstock_testing.memory import MemoryHeartbeats, MemoryJobs, MemoryLog

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
DEADLINE_S = 5.0
LATE_S = 30.0
"""So much later than its deadline may a request that was given up still arrive."""
READ_EVENTS = 40

T = TypeVar("T")


@dataclass(frozen=True)
class Mutation:
    """A mistake put in on purpose: the invariants must notice it."""

    is_fence_ignored: bool = False
    self_fence_s: float = 8.0
    is_doubt_ignored: bool = False
    """After an append of unknown fate the leader goes on instead of being elected anew."""
    is_checkpoint_ignored: bool = False
    lost_share: float = 0.02
    """Of the requests; no mistake, but some mistakes need more of it to show soon."""


NO_MUTATION = Mutation()


@dataclass(frozen=True)
class Sleep:
    """Go on after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Call:
    """A request to the server, and its answer."""

    run: Callable[[], Any]  # Any: what is asked differs
    writes: bool = False


@dataclass(frozen=True)
class Read:
    """The next events after a sequence, as soon as there are any."""

    after: int
    pattern: str = ">"


Operation = Sleep | Call | Read
Script = Generator[Operation, Any, None]  # Any: each operation has its own answer


class Actor:
    """A process of the system: scripts that run side by side, and die together."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.is_alive = True
        self.paused_until = 0.0
        self.cut_off_until = 0.0
        """Its part of the network is down, while everybody else's works."""
        self.deaf_until = 0.0
        """It does not get the log's news, while it can still ask and write."""
        self.clock_offset_s = 0.0
        self.wakes = 0

    def start(self, script: Script) -> None:
        self.world.after(0.0, lambda: self.world.resume(self, script, None))

    def crash(self) -> None:
        """Kill -9, between any two steps."""
        self.is_alive = False

    def now(self) -> datetime:
        """The wall clock, which somebody may have set."""
        return START + timedelta(seconds=round(self.world.time + self.clock_offset_s, 3))


class World:
    """Everything outside the actors."""

    def __init__(self, seed: int, mutation: Mutation = NO_MUTATION) -> None:
        self.random = Random(seed)
        self.mutation = mutation
        self.time = 0.0
        self.steps = 0
        self.is_calm = False
        """From now on nothing fails any more."""
        self.outage_until = 0.0
        self.log = MemoryLog(max_bytes=1 << 40)
        self.view = MemoryJobs()
        self.heartbeats = MemoryHeartbeats(clock=lambda: self.time)
        self.published: set[int] = set()
        self.invariants = Invariants()
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0
        self._ids = 0
        self._histories: dict[str, list[Stored]] = {}
        self._waiting: list[tuple[Actor, Script, Read]] = []

    def new_id(self) -> EventId:
        self._ids += 1
        return EventId(f"{self._ids:032x}")

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        self._count += 1
        heappush(self._agenda, (self.time + seconds, self._count, action))

    def run_until(self, is_over: Callable[[], bool], *, deadline_s: float) -> bool:
        """Run step by step; say whether it was over before the deadline."""
        while not is_over():
            if not self._agenda or self._agenda[0][0] > deadline_s:
                return False
            self.time, _, action = heappop(self._agenda)
            self.steps += 1
            action()
        return True

    def chance(self, probability: float) -> bool:
        return not self.is_calm and self.random.random() < probability

    def resume(self, actor: Actor, script: Script, answer: object) -> None:
        """Let a script go on with an answer, or with an exception."""
        if not actor.is_alive:
            script.close()
            return
        if actor.paused_until > self.time:
            self.after(actor.paused_until - self.time, lambda: self.resume(actor, script, answer))
            return
        try:
            operation = script.throw(answer) if isinstance(answer, PortError) else script.send(answer)
        except StopIteration:
            return
        match operation:
            case Sleep():
                self.after(operation.seconds, lambda: self.resume(actor, script, None))
            case Read():
                self._waiting.append((actor, script, operation))
                self._deliver()
            case Call():
                self._call(actor, script, operation)

    # The server.

    def append(self, entries: Sequence[AppendEntry], fence: Fence | None = None) -> tuple[Stored, ...]:
        if fence is not None and self.mutation.is_fence_ignored:
            fence = Fence(fence.aggregate, at_once(self.log.head(aggregates.SCHEDULER_LEASE)).seq)
        stored = at_once(self.log.append(entries, fence=fence))
        for each in stored:
            self._histories.setdefault(each.event.aggregate, []).append(each)
        self.invariants.stored(stored)
        self._deliver()
        return stored

    def load(self, aggregate: str) -> tuple[Stored, ...]:
        return tuple(self._histories.get(aggregate, ()))

    def write_view(self, jobs: Sequence[Any], previous: int, checkpoint: int) -> None:
        if self.mutation.is_checkpoint_ignored:
            previous = at_once(self.view.checkpoint())
        at_once(self.view.write(jobs, previous=previous, checkpoint=checkpoint))

    # The network.

    def _delay_s(self) -> float:
        return self.random.random() * (3.0 if self.chance(0.02) else 0.02)

    def _back_at(self, actor: Actor) -> float:
        return 0.0 if self.is_calm else max(self.outage_until, actor.cut_off_until)

    def _call(self, actor: Actor, script: Script, call: Call) -> None:
        there, back = self._delay_s(), self._delay_s()
        is_out = self.time < self._back_at(actor)
        lost = Unavailable("no answer")
        if is_out or self.chance(self.mutation.lost_share):
            self.after(DEADLINE_S, lambda: self.resume(actor, script, lost))
            if call.writes and self.chance(0.5):
                # It lay in a buffer, and nobody waits for it any more.
                self.after(DEADLINE_S + self.random.random() * LATE_S, partial(_perform, call))
        elif call.writes and self.chance(0.04):
            self.after(there, partial(_perform, call))
            self.after(DEADLINE_S, lambda: self.resume(actor, script, lost))
        else:
            self.after(there, partial(self._answer, actor, script, call, back))
            if call.writes and self.chance(0.03):
                self.after(there + self._delay_s(), partial(_perform, call))

    def _answer(self, actor: Actor, script: Script, call: Call, back_s: float) -> None:
        answer = _perform(call)
        self.after(back_s, lambda: self.resume(actor, script, answer))

    def _deliver(self) -> None:
        waiting, self._waiting = self._waiting, []
        for actor, script, read in waiting:
            if not actor.is_alive:
                script.close()
            elif len(self.log.stored) > read.after:
                self.after(self._delay_s(), partial(self._hand_over, actor, script, read))
            else:
                self._waiting.append((actor, script, read))

    def _hand_over(self, actor: Actor, script: Script, read: Read) -> None:
        back_at = 0.0 if self.is_calm else max(self._back_at(actor), actor.deaf_until)
        if self.time < back_at:
            self.after(back_at - self.time, lambda: self._hand_over(actor, script, read))
            return
        most = self.random.randint(1, READ_EVENTS)
        seen = self.log.stored[read.after : read.after + most]
        self.resume(
            actor, script, (seen[-1].seq, [e for e in seen if aggregates.matches(read.pattern, e.event.aggregate)])
        )


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run what the memory's ports do: they wait for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    raise AssertionError("a port in memory waited")


def _perform(call: Call) -> object:
    try:
        answer = call.run()
        return at_once(cast("Coroutine[Any, Any, object]", answer)) if iscoroutine(answer) else answer
    except PortError as error:
        return error
