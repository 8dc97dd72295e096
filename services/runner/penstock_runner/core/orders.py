"""The decisions of a runner: which orders it starts, refuses, queues or stops, and until when it may work.

Pure: `handle(state, runner_input)` returns the new state and the actions. The shell in `session.py` does it.
"""

from enum import Enum
from typing import Final, NamedTuple, assert_never

from msgspec import Struct
from msgspec.structs import replace

from penstock_domain.chain import Stored
from penstock_schemas.events import AssignEventData, AttemptAssigned, StopOrdered
from penstock_schemas.ids import EventId, JobId, TenantId
from penstock_schemas.jobs import RequeueCause


class AttemptKey(NamedTuple):
    """The identity of an attempt."""

    job_id: JobId
    attempt: int


class Order(Struct, frozen=True):
    """An order as it was read from the log."""

    seq: int
    event_id: EventId
    data: AssignEventData


def order_of(stored: Stored) -> Order | None:
    """Return the order that an event is; `None` when it is of another kind."""
    data = stored.event.data
    if isinstance(data, AttemptAssigned | StopOrdered):
        return Order(stored.seq, stored.event.id, data)
    return None


class StartOrder(Struct, frozen=True, kw_only=True):
    """The order to make an attempt, before its job is loaded."""

    job_id: JobId
    tenant: TenantId
    attempt: int
    job_version: int
    """The job must be read at least up to this version."""
    cause: EventId
    """The event that ordered it."""
    slots: int = 1
    gpus: tuple[str, ...] = ()
    """The GPUs that it has alone."""

    @property
    def key(self) -> AttemptKey:
        """The identity of the attempt."""
        return AttemptKey(self.job_id, self.attempt)


class HaltCause(Enum):
    """Why a running attempt is stopped."""

    CANCELLED = "cancelled"
    """Somebody requested the job to be cancelled."""
    PREEMPTED = "preempted"
    """The runner stops and returns the job."""


# What happens to a runner.


class DrainBegun(Struct, frozen=True):
    """The runner finishes its attempts and starts no others."""


class DrainExpired(Struct, frozen=True):
    """The time for the remaining attempts is over."""


class AttemptLeft(Struct, frozen=True):
    """The work of an attempt is over and its end is in the log."""

    key: AttemptKey


RunnerInput = Order | DrainBegun | DrainExpired | AttemptLeft


# What it does then.


class StartAttempt(Struct, frozen=True):
    """Start this attempt now."""

    order: StartOrder


class ReturnAttempt(Struct, frozen=True):
    """Record that this attempt is not made here."""

    order: StartOrder
    cause: RequeueCause
    reason: str


class StopAttempt(Struct, frozen=True):
    """End a running attempt."""

    key: AttemptKey
    cause: HaltCause


Action = StartAttempt | ReturnAttempt | StopAttempt


class SessionState(Struct, frozen=True, kw_only=True):
    """The attempts of a runner.

    Invariants: attempts take no more slots than there are; the backlog waits only while its first attempt finds too
    few; it never holds more than there are slots; no attempt is in both.
    """

    slots: int
    running: frozenset[AttemptKey] = frozenset()
    wide: tuple[StartOrder, ...] = ()
    """Those of the running attempts that take more than one slot."""
    backlog: tuple[StartOrder, ...] = ()
    """Assigned while a slot was still being cleared here: the log frees it a moment before this process does."""
    last_seq: int = 0
    """The last order that was handled; one that comes again is no new order."""
    draining: bool = False

    @property
    def free(self) -> int:
        """The slots that no attempt takes."""
        return self.slots - len(self.running) - sum(order.slots - 1 for order in self.wide)


DRAINING_REASON: Final = "the runner is draining"
FULL_REASON: Final = "the runner has no free slot"
UNKNOWN_REASON: Final = "the runner does not have this attempt"


def handle(state: SessionState, runner_input: RunnerInput) -> tuple[SessionState, tuple[Action, ...]]:
    """Return the state after `runner_input`, and the actions that it leads to."""
    match runner_input:
        case Order():
            return _handle_order(state, runner_input)
        case AttemptLeft():
            return _leave(state, runner_input.key)
        case DrainBegun():
            back = tuple(ReturnAttempt(order, RequeueCause.PREEMPTED, DRAINING_REASON) for order in state.backlog)
            return replace(state, draining=True, backlog=()), back
        case DrainExpired():
            halts = tuple(StopAttempt(key, HaltCause.PREEMPTED) for key in sorted(state.running))
            return state, halts
        case _:
            assert_never(runner_input)


def _handle_order(state: SessionState, order: Order) -> tuple[SessionState, tuple[Action, ...]]:
    if order.seq <= state.last_seq:
        return state, ()
    state = replace(state, last_seq=order.seq)
    match order.data:
        case AttemptAssigned():
            return _assign(state, _start_order(order.data, order.event_id))
        case StopOrdered():
            return _stop(state, order.data, order.event_id)
        case _:
            assert_never(order.data)


def _assign(state: SessionState, order: StartOrder) -> tuple[SessionState, tuple[Action, ...]]:
    if order.key in state.running or any(item.key == order.key for item in state.backlog):
        return state, ()
    if state.draining:
        return state, (ReturnAttempt(order, RequeueCause.REFUSED, DRAINING_REASON),)
    if not state.backlog and order.slots <= state.free:
        return _with_running(state, order), (StartAttempt(order),)
    if order.slots <= state.slots and len(state.backlog) < state.slots:
        return replace(state, backlog=(*state.backlog, order)), ()
    return state, (ReturnAttempt(order, RequeueCause.REFUSED, FULL_REASON),)


def _stop(state: SessionState, order: StopOrdered, event_id: EventId) -> tuple[SessionState, tuple[Action, ...]]:
    key = AttemptKey(order.job_id, order.attempt)
    if key in state.running:
        return state, (StopAttempt(key, HaltCause.CANCELLED),)
    backlog = tuple(item for item in state.backlog if item.key != key)
    # An attempt that is not here has usually just ended, and then the log refuses this. If it has not, no other
    # service would ever end it.
    stopped = StartOrder(job_id=order.job_id, tenant=order.tenant, attempt=order.attempt, job_version=0, cause=event_id)
    return replace(state, backlog=backlog), (ReturnAttempt(stopped, RequeueCause.REFUSED, UNKNOWN_REASON),)


def _leave(state: SessionState, key: AttemptKey) -> tuple[SessionState, tuple[Action, ...]]:
    state = replace(state, running=state.running - {key}, wide=tuple(order for order in state.wide if order.key != key))
    begun: list[StartAttempt] = []
    while state.backlog and state.backlog[0].slots <= state.free:
        first, *rest = state.backlog
        state = _with_running(replace(state, backlog=tuple(rest)), first)
        begun.append(StartAttempt(first))
    return state, tuple(begun)


def _with_running(state: SessionState, order: StartOrder) -> SessionState:
    wide = (*state.wide, order) if order.slots > 1 else state.wide
    return replace(state, running=state.running | {order.key}, wide=wide)


def _start_order(data: AttemptAssigned, cause: EventId) -> StartOrder:
    return StartOrder(
        job_id=data.job_id,
        tenant=data.tenant,
        attempt=data.attempt,
        job_version=data.job_version,
        cause=cause,
        slots=data.slots,
        gpus=data.gpus,
    )


class RunnerLease(Struct, frozen=True):
    """The lease of a runner: it ends `lease_s` after the last acknowledged heartbeat was sent.

    Counting from the sending is what makes it safe: every reader receives it later, and so waits longer.
    """

    lease_s: float
    renewed_at_s: float
    """On the runner's own clock."""

    @property
    def ends_at_s(self) -> float:
        """The time at which all work must have been killed."""
        return self.renewed_at_s + self.lease_s


def renew(lease: RunnerLease, sent_at_s: float, *, now_s: float) -> RunnerLease:
    """Return the lease after a heartbeat, sent at `sent_at_s`, was acknowledged now.

    An older one changes nothing. No heartbeat renews a lease that has ended: other runners may already do the work.
    """
    if now_s >= lease.ends_at_s or sent_at_s <= lease.renewed_at_s:
        return lease
    return replace(lease, renewed_at_s=sent_at_s)


def remaining_s(lease: RunnerLease, now_s: float) -> float:
    """Return how long the runner may still work; 0 when it may not."""
    return max(0.0, lease.ends_at_s - now_s)
