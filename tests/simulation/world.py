"""What all simulated processes share: the server's stores, the network, and the randomness of one seed."""

from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

from tests.simulation.invariants import START, Invariants, require

from penstock_domain import aggregates
from penstock_domain.aggregates import EVERYTHING, matches
from penstock_domain.chain import Stored
from penstock_ports import AppendEntry, Fence, LogFull, PortError, TooLarge, Unavailable
from penstock_runtime.notify import Notifier
from penstock_runtime.runtime import Runtime
from penstock_schemas.events import CycleDecided, JobCompleted
from penstock_testing.memory import MemoryBlobs, MemoryCluster
from penstock_testing.virtual_time import OUTSIDE, Process, VirtualLoop, at_once

DEADLINE_S: Final = 5.0
DAMAGED_SHARE: Final = 0.3
"""Of the appends while the disk is bad."""
LATE_S: Final = 30.0
"""A request that was given up may still arrive so much later than its deadline."""

T = TypeVar("T")


class KillsWork(Protocol):
    """What has attempts' processes."""

    def kill_all(self) -> None:
        """Kill every attempt's process."""
        ...


@dataclass(frozen=True)
class Faults:
    """How often the network and the server fail, while they may."""

    lost_share: float = 0.02
    """Of the requests."""
    delayed_batch_share: float = 0.0
    """Of the leader's batches: they have no answer, and arrive when the leader no longer waits for one."""
    missing_share: float = 0.0
    """Of the damaged events: the server loses them, the others cannot be read."""
    is_fence_ignored: bool = False
    """Whether the log stores what a deposed leader appends: a mutation, which invariants must notice."""


class SimulatedRuntime(Runtime):
    """The clocks of one process, and ids that follow from the seed."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.offset_s = 0.0
        """How far the wall clock of this machine is off."""

    def now(self) -> datetime:
        """Return the wall clock, which may have been set."""
        return START + timedelta(seconds=round(self._world.loop.time() + self.offset_s, 3))

    def monotonic(self) -> float:
        """Return the virtual time."""
        return self._world.loop.time()

    def boot_time(self) -> float:
        """Return the virtual time."""
        return self._world.loop.time()

    def new_uuid(self) -> UUID:
        """Return the next id."""
        return self._world.new_uuid()


class Machine:
    """A process with its clocks and its connection."""

    def __init__(self, world: "World") -> None:
        self.process = Process(world.loop)
        self.runtime = SimulatedRuntime(world)
        self.cut_off_until = 0.0
        """Its part of the network is down, while everybody else's works."""
        self.readers_stall_until = 0.0
        """It receives no new events, while its requests are answered."""

    def cut_off(self, until_s: float) -> None:
        """Take its part of the network down; a later end counts."""
        self.cut_off_until = max(self.cut_off_until, until_s)


class World:
    """Everything outside the processes."""

    def __init__(self, seed: int, loop: VirtualLoop, faults: Faults) -> None:
        self.random = Random(seed)
        self.loop = loop
        self.faults = faults
        self.is_calm = False
        """From now on nothing fails any more."""
        self.is_over = False
        """From now on nothing is answered any more."""
        self.outage_until = 0.0
        self.full_until = 0.0
        """The log takes nothing."""
        self.oversize_until = 0.0
        """The log takes no batch and no result that is larger than the smallest."""
        self.damage_until = 0.0
        """The disk damages events as they are written."""
        self.cluster = MemoryCluster(clock=loop.time)
        self.blobs = MemoryBlobs(self._server_time)
        self._appended: dict[str, Notifier] = {}
        """By the pattern of the aggregates that somebody reads."""
        self.invariants = Invariants()
        self.violation: Exception | None = None
        self.runners: dict[str, KillsWork] = {}
        """The engines of runners that ever were, by the runner's first id."""
        self._ids = Random(~seed)

    def check(self, observe: Callable[[], object]) -> None:
        """Let invariants see something; the first one that does not hold ends the run."""
        try:
            observe()
        except AssertionError as error:
            self.violation = self.violation or error

    def note_fault(self, process: str, error: BaseException) -> None:
        """Note that a process ended by an exception: none may."""
        if not self.is_over:
            self.check(lambda: require(False, "no process ends by a fault", f"{process}: {error!r}"))

    def kill_orphans(self, marker: str) -> int:
        """Kill what a predecessor's process left behind, as `orphan_processes.sweep` does."""
        if marker in self.runners:
            self.runners[marker].kill_all()
        return 0

    def new_uuid(self) -> UUID:
        return UUID(int=self._ids.getrandbits(128))

    def chance(self, probability: float) -> bool:
        return not self.is_calm and self.random.random() < probability

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something later that is no process's."""
        self.loop.call_later(seconds, partial(self._guard, action), context=OUTSIDE)

    def _guard(self, action: Callable[[], object]) -> None:
        if not self.is_over:
            self.check(action)

    def _server_time(self) -> datetime:
        return START + timedelta(seconds=self.loop.time())

    # The server.

    async def append(self, entries: Sequence[AppendEntry], fence: Fence | None) -> tuple[Stored, ...]:
        now = self.loop.time()
        if not self.is_calm and now < self.full_until:
            raise LogFull("the log is full")
        if not self.is_calm and now < self.oversize_until and _is_large(entries):
            raise TooLarge("the server takes no message of this size")
        log = self.cluster.log
        if fence is not None and self.faults.is_fence_ignored:
            fence = Fence(fence.aggregate, at_once(log.head(aggregates.SCHEDULER_LEASE)).seq)
        stored = await log.append(entries, fence=fence)
        if now < self.damage_until and self.chance(DAMAGED_SHARE):
            self._damage(self.random.choice(stored))
        written = log.stored[stored[0].seq - 1 : stored[-1].seq]
        self.check(lambda: self.invariants.stored(written, self._server_time()))
        for pattern, appended in self._appended.items():
            if any(fits(pattern, item) for item in written):
                appended.beat()
        return stored

    def appended_to(self, aggregates: str) -> Notifier:
        """Return what beats when an event of these aggregates was appended."""
        return self._appended.setdefault(aggregates, Notifier())

    def _damage(self, stored: Stored) -> None:
        """Let the disk change or lose an event, which its writer knows as it was."""
        is_lost = self.chance(self.faults.missing_share)
        if is_lost:
            self.invariants.broken.add(stored.event.aggregate)
        self.cluster.log.damage(stored.seq, None if is_lost else "the disk changed it")

    # The network.

    def delay_s(self) -> float:
        return self.random.random() * (3.0 if self.chance(0.02) else 0.02)

    def back_at(self, machine: Machine) -> float:
        """Return when a machine's requests reach the server again."""
        return 0.0 if self.is_calm else max(self.outage_until, machine.cut_off_until)

    async def request(
        self,
        machine: Machine,
        perform: Callable[[], Awaitable[T]],
        *,
        writes: bool,
        deadline_s: float = DEADLINE_S,
        lost_share: float = 0.0,
    ) -> T:
        """Have the server perform a request, unless the network loses the request or its answer."""
        loop = self.loop
        reply: Future[Any] = loop.create_future()
        there, back = self.delay_s(), self.delay_s()
        wait_s = min(deadline_s, DEADLINE_S)
        if self.is_over:
            raise Unavailable("the simulation is over")
        if loop.time() < self.back_at(machine) or self.chance(max(self.faults.lost_share, lost_share)):
            self._lose(reply, wait_s)
            if writes and (lost_share or self.chance(0.5)):
                # It was kept in a buffer until the network was back, and nobody waits for it any more.
                back_s = max(wait_s, self.back_at(machine) - loop.time())
                self.after(back_s + self.random.random() * LATE_S, lambda: _outcome_of(perform))
        elif writes and self.chance(0.04):
            self._lose(reply, wait_s)
            self.after(there, lambda: _outcome_of(perform))
        else:
            self.after(there, lambda: self._answer(reply, perform, back))
            if writes and self.chance(0.03):
                self.after(there + self.delay_s(), lambda: _outcome_of(perform))
        outcome = await reply
        if isinstance(outcome, PortError):
            raise outcome
        answer: T = outcome
        return answer

    def _lose(self, reply: "Future[Any]", wait_s: float) -> None:
        self.after(wait_s, lambda: _settle(reply, Unavailable("no answer")))

    def _answer(self, reply: "Future[Any]", perform: Callable[[], Awaitable[object]], back_s: float) -> None:
        outcome = _outcome_of(perform)
        self.after(back_s, lambda: _settle(reply, outcome))


def fits(pattern: str, stored: Stored) -> bool:
    """Return whether a reader of the aggregates of this pattern receives an event."""
    return pattern == EVERYTHING or matches(pattern, stored.event.aggregate)


def _is_large(entries: Sequence[AppendEntry]) -> bool:
    return any(isinstance(entry.event.data, JobCompleted) for entry in entries) or (
        isinstance(entries[0].event.data, CycleDecided) and len(entries) > 4
    )


def _outcome_of(perform: Callable[[], Awaitable[T]]) -> T | PortError:
    try:
        return at_once(perform())
    except PortError as error:
        return error


def _settle(reply: "Future[Any]", outcome: object) -> None:
    if not reply.done():
        reply.set_result(outcome)
