"""One term of a leading scheduler: elected, deciding, deposed."""

from collections.abc import Callable
from datetime import datetime
from enum import Enum, auto
from functools import partial
from itertools import islice
from typing import Final

import anyio
import structlog

from penstock_domain import aggregates
from penstock_domain.chain import Stored
from penstock_domain.deciders import LIMIT
from penstock_domain.lease import HEARTBEAT_INTERVAL_S, LEADER_HEARTBEAT_INTERVAL_S
from penstock_domain.policy.limits import Limit, SetLimit
from penstock_ports import Conflict, Fenced, LogFull, TooLarge, Unavailable
from penstock_ports.cluster import ClusterPorts
from penstock_runtime.background import BackgroundTasks
from penstock_runtime.command_handler import CommandHandler, RetryPolicy, Target, TooManyConflicts
from penstock_runtime.runtime import SYSTEM, Runtime
from penstock_scheduler.core.decision import Observations
from penstock_scheduler.core.events import election
from penstock_scheduler.core.leader import Batch, Leader
from penstock_scheduler.core.liveness import FailureDetector
from penstock_scheduler.core.summary import summarize
from penstock_scheduler.damage_search import DamageSearch
from penstock_scheduler.follower import Follower
from penstock_schemas.ids import EventId
from penstock_schemas.views import SchedulerBeat

APPEND_DEADLINE_S: Final = 5.0
OUTAGE_PAUSE_S: Final = 0.5
FULL_PAUSE_S: Final = 5.0
LIMIT_RETRY: Final = RetryPolicy(max_conflicts=5, append_deadline_s=APPEND_DEADLINE_S)
CONFLICTS_BEFORE_SEARCH: Final = 3
"""After so many conflicts in a row the aggregates of the batch are searched for a missing event."""
MANY_CONFLICTS: Final = 10
"""So many in a row mean more than busy users: from then on there is a pause before the next try."""
CONFLICT_PAUSE_S: Final = 0.05
"""The first pause; each further one is twice as long."""
MAX_DOUBLINGS: Final = 7
"""No pause is longer than 6.4 s."""
MAX_SHOWN_DAMAGES: Final = 20
"""A heartbeat names no more damaged events."""
SNAPSHOT_EVERY: Final = 50_000
"""Events folded between two snapshots: they take about a second to fold again."""
STEP_BACK_DEADLINE_S: Final = 2.0

_log = structlog.get_logger("penstock_scheduler")


class End(Enum):
    """Why a term ended."""

    DEPOSED = auto()
    """Another scheduler leads now."""
    UNKNOWN_OUTCOME = auto()
    """Whether the last append was stored is not known; after a new election it can no longer be stored."""


class Term:
    """The time between an election and its end.

    Args:
        follower: it must be following.
        holder: the name to be elected under.
        limits: what the settings require, by the limit's name.
        failure_detector: empty; receives the runners' heartbeats during this term.
        on_progress: called at least with every heartbeat.
        runtime: the clocks and the source of ids.

    """

    def __init__(
        self,
        cluster: ClusterPorts,
        follower: Follower,
        *,
        holder: str,
        limits: dict[str, int | None],
        failure_detector: FailureDetector,
        on_progress: Callable[[], None] = lambda: None,
        runtime: Runtime = SYSTEM,
    ) -> None:
        self._cluster = cluster
        self._commands = CommandHandler(cluster.log, runtime=runtime)
        self._runtime = runtime
        self._follower = follower
        self._holder = holder
        self._limits = limits
        self._failure_detector = failure_detector
        self._on_progress = on_progress
        self._runner_is_silent = anyio.Event()
        self._damage_search = DamageSearch(cluster, follower, holder=holder, runtime=runtime)

    async def lead(self, *, on_elected: Callable[[int], None]) -> End:
        """Be elected and decide until the end of the term.

        Raises:
            Unavailable, LogFull: it could not be elected.

        """
        leader = await self._win_election()
        if leader is None:
            return End.DEPOSED
        term = leader.term
        _log.info("leading", term=term, seq=leader.fence.seq)
        on_elected(term)
        end = End.UNKNOWN_OUTCOME
        try:
            async with anyio.create_task_group() as tasks:
                background = BackgroundTasks(clock=self._runtime.monotonic)
                tasks.start_soon(background.keep, "heartbeat", partial(self._beat, term))
                tasks.start_soon(background.keep, "runners' heartbeats", self._listen)
                tasks.start_soon(background.keep, "snapshots", self._save_snapshots)
                end = await self._govern(leader)
                tasks.cancel_scope.cancel()
        except anyio.get_cancelled_exc_class():
            # A clean stop: let a standby take over at once.
            with anyio.move_on_after(STEP_BACK_DEADLINE_S, shield=True):
                await self._step_back()
            raise
        _log.info("leading_ended", term=term, why=end.name.lower())
        return end

    async def _win_election(self) -> Leader | None:
        """Append the election; `None` when another scheduler was faster, or when the election was lost."""
        state = self._follower.state
        before = state.lease.head.seq
        try:
            stored = await self._append_election(before)
        except Conflict:
            await self._follower.reach(await self._cluster.log.last_seq())
            if state.lease.head.seq != before:
                return None
            # No other election can be read: the last one may be missing.
            tail = await self._cluster.log.tail(aggregates.SCHEDULER_LEASE)
            if tail > state.seq:
                return None
            try:
                stored = await self._append_election(tail)
            except Conflict:
                return None
        leader = Leader(state, holder=self._holder, elected_at=stored.seq, new_id=self._new_id)
        while state.seq < stored.seq:
            await self._follower.moved.wait()
        return leader if leader.is_elected else None

    async def _append_election(self, expected: int) -> Stored:
        event_id, actor = self._new_id(), f"scheduler:{self._holder}"
        entry = election(
            self._follower.state,
            self._holder,
            expected=expected,
            event_id=event_id,
            now=self._runtime.now(),
            actor=actor,
        )
        (stored,) = await self._cluster.log.append([entry], deadline_s=APPEND_DEADLINE_S)
        return stored

    async def _govern(self, leader: Leader) -> End:
        try:
            await self._set_limits()
        except Unavailable as outage:
            _log.warning("limits_outcome_unknown", reason=str(outage))
            return End.UNKNOWN_OUTCOME
        except LogFull as full:
            _log.error("limits_not_set", reason=str(full), hint="raise the log's max_bytes")
        return await self._decide(leader)

    async def _decide(self, leader: Leader) -> End:
        while not leader.is_deposed:
            moved, runner_is_silent = self._follower.moved, self._runner_is_silent
            if not leader.may_decide:
                await moved.wait()
                continue
            await self._damage_search.search_gaps(leader)
            if not leader.may_decide:
                continue
            now = self._runtime.now()
            batch = leader.next_batch(now, Observations(self._failure_detector.silent()))
            if batch is None:
                await self._idle(moved, runner_is_silent, due=leader.next_due(now))
                continue
            end = await self._append(leader, batch)
            if end is not None:
                return end
        return End.DEPOSED

    async def _append(self, leader: Leader, batch: Batch) -> End | None:
        log = self._cluster.log
        try:
            leader.stored(await log.append(batch.entries, fence=leader.fence, deadline_s=APPEND_DEADLINE_S))
        except Fenced:
            return End.DEPOSED
        except (Conflict, TooLarge) as refusal:
            try:
                last_seq = await log.last_seq()
            except Unavailable:
                return End.UNKNOWN_OUTCOME
            leader.refused(last_seq=last_seq)
            level = _log.info if leader.conflicts < MANY_CONFLICTS else _log.error
            level("cycle_refused", reason=str(refusal), seen=batch.cycle.seen, in_a_row=leader.conflicts)
            await self._follower.reach(last_seq)
            if leader.conflicts >= CONFLICTS_BEFORE_SEARCH and isinstance(refusal, Conflict):
                await self._damage_search.search(leader, leader.expected(batch))
            if leader.conflicts >= MANY_CONFLICTS:
                doublings = min(leader.conflicts - MANY_CONFLICTS, MAX_DOUBLINGS)
                await anyio.sleep(CONFLICT_PAUSE_S * 2**doublings)
        except LogFull as full:
            _log.error("log_full", reason=str(full), hint="raise the log's max_bytes")
            await anyio.sleep(FULL_PAUSE_S)
        except Unavailable as outage:
            _log.warning("cycle_outcome_unknown", reason=str(outage), seen=batch.cycle.seen)
            return End.UNKNOWN_OUTCOME
        else:
            _log.debug(
                "cycle_decided",
                seen=batch.cycle.seen,
                seq=leader.awaited,
                assigned=len(batch.cycle.assigned),
                requeued=len(batch.cycle.requeued),
                stopped=len(batch.cycle.stopped),
                lost=[str(runner_id) for runner_id in batch.cycle.silent_runners],
            )
        return None

    async def _idle(self, moved: anyio.Event, runner_is_silent: anyio.Event, *, due: datetime | None) -> None:
        """Wait for an event, a heartbeat that changes something, `due`, when a back-off ends, or the next search."""
        pauses_s = [self._damage_search.pause_s]
        pauses_s.append(None if due is None else max(0.0, (due - self._runtime.now()).total_seconds()))
        with anyio.move_on_after(min((pause_s for pause_s in pauses_s if pause_s is not None), default=None)):
            async with anyio.create_task_group() as tasks:

                async def wait(event: anyio.Event) -> None:
                    await event.wait()
                    tasks.cancel_scope.cancel()

                tasks.start_soon(wait, moved)
                tasks.start_soon(wait, runner_is_silent)

    async def _beat(self, term: int) -> None:
        count = 0
        while True:
            count += 1
            self._on_progress()
            beat = SchedulerBeat(
                holder=self._holder,
                term=term,
                count=count,
                time=self._runtime.now(),
                queue=summarize(self._follower.state),
                damaged=len(self._follower.state.damages),
                damages=tuple(islice(self._follower.state.damages.values(), MAX_SHOWN_DAMAGES)),
            )
            try:
                await self._cluster.heartbeats.beat_scheduler(beat)
            except Unavailable as outage:
                _log.warning("beat_not_sent", reason=str(outage))
            await anyio.sleep(LEADER_HEARTBEAT_INTERVAL_S)

    async def _listen(self) -> None:
        while True:
            state = self._follower.state
            expected = [runner.id for runner in state.runners.values() if not runner.state.is_over]
            requested_at = self._runtime.monotonic()
            try:
                beats = await self._cluster.heartbeats.runners()
            except Unavailable as outage:
                _log.warning("heartbeats_not_read", reason=str(outage))
            else:
                self._failure_detector.observe(
                    expected, beats, requested_at=requested_at, answered_at=self._runtime.monotonic()
                )
                if self._failure_detector.silent():
                    runner_is_silent, self._runner_is_silent = self._runner_is_silent, anyio.Event()
                    runner_is_silent.set()
            await anyio.sleep(HEARTBEAT_INTERVAL_S)

    async def _set_limits(self) -> None:
        for name, slots in self._limits.items():
            try:
                await self._set_limit(name, slots)
            except TooManyConflicts as conflict:
                _log.error("limit_not_set", name=name, reason=str(conflict), hint="the next leader tries again")

    async def _set_limit(self, name: str, slots: int | None) -> None:
        is_first = True

        async def locate() -> Target[Limit]:
            nonlocal is_first
            if not is_first:
                await self._follower.reach(await self._cluster.log.last_seq())
            is_first = False
            return Target(aggregates.limit(name), self._follower.state.limits.get(name))

        handled = await self._commands.handle_at(
            LIMIT,
            locate,
            lambda _, __: SetLimit(name=name, slots=slots),
            actor=f"scheduler:{self._holder}",
            retry=LIMIT_RETRY,
        )
        if handled.state is not None and handled.events:
            await self._follower.reach(handled.state.head.seq)
            _log.info("limit_set", name=name, slots=slots)

    async def _save_snapshots(self) -> None:
        follower = self._follower
        while True:
            while follower.state.seq - follower.saved_seq < SNAPSHOT_EVERY:
                await follower.moved.wait()
            await follower.save()
            await anyio.sleep(LEADER_HEARTBEAT_INTERVAL_S)

    async def _step_back(self) -> None:
        try:
            await self._cluster.heartbeats.silence_scheduler()
        except Unavailable:
            _log.info("heartbeat_not_removed", hint="a standby notices by itself")

    def _new_id(self) -> EventId:
        return EventId(self._runtime.new_id())
