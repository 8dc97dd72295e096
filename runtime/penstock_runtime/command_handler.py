"""The command handler: load, fold, decide, append with the expected version, and retry after a conflict.

It is the only place that appends to an aggregate by its decider; the batch of a scheduling cycle, which is appended
under a fence, is the one other way into the log. Where conflicts do not end it looks for a missing event, and records
that a job lacks one.
"""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, Generic

import anyio
import structlog
from msgspec import Struct

from penstock_domain.aggregates import job_of
from penstock_domain.chain import Stored, digest, link
from penstock_domain.damage import record_of_missing
from penstock_domain.decider import CommandT, Decider, StateT
from penstock_ports import AppendEntry, Conflict, EventLog, LogFull, Unavailable
from penstock_runtime.runtime import Runtime
from penstock_schemas.events import EventData
from penstock_schemas.ids import EventId
from penstock_schemas.views import EMPTY_HEAD, Head
from penstock_schemas.wire import encode


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """When a command is tried again. A refusal, an event that is too large and an unreadable log are never retried."""

    max_conflicts: int | None
    """So many conflicts end the command; `None`: none does."""
    outage_pause_s: float | None = None
    """The pause before the next try after the log was full or did not answer; `None`: such a failure is raised."""
    append_deadline_s: float = 10.0


BOUNDED: Final = RetryPolicy(max_conflicts=5)
"""For a caller that waits for the answer: an outage is its own to handle."""


HINT: Final = "see docs/how-to/repair-damage.md"

_log = structlog.get_logger()


class TooManyConflicts(Conflict):
    """The aggregate changed at every try; nothing was stored."""


class Target(Struct, Generic[StateT], frozen=True):
    """The aggregate that a command is for, and its state."""

    aggregate: str
    state: StateT | None
    """`None` before the first event."""


class Handled(Struct, Generic[StateT], frozen=True):
    """The result of a command."""

    aggregate: str
    state: StateT | None
    """After the command."""
    events: tuple[EventId, ...]
    """The ids of the events that were stored, in order; empty when there was nothing to do."""


Locate = Callable[[], Awaitable[Target[StateT]]]
"""Reads the state of an aggregate. It is called before each try, and may choose another aggregate after a conflict."""


class CommandHandler:
    """Performs commands on aggregates in the log.

    Args:
        log: where the aggregates are.
        runtime: the clock and the source of ids.

    """

    def __init__(self, log: EventLog, *, runtime: Runtime) -> None:
        self._log = log
        self._runtime = runtime

    async def load(self, decider: Decider[StateT, CommandT], aggregate: str) -> StateT | None:
        """Return the present state of an aggregate; `None` when it has no event.

        Raises:
            Unavailable, Unreadable: as `EventLog.load`.

        """
        return decider.fold(await self._log.load(aggregate))

    async def handle(
        self,
        decider: Decider[StateT, CommandT],
        aggregate: str,
        command: Callable[[StateT | None, datetime], CommandT],
        *,
        actor: str,
        cause: str | None = None,
        retry: RetryPolicy = BOUNDED,
    ) -> Handled[StateT]:
        """Load an aggregate and perform a command on it; see `handle_at`."""

        async def locate() -> Target[StateT]:
            return Target(aggregate, await self.load(decider, aggregate))

        return await self.handle_at(decider, locate, command, actor=actor, cause=cause, retry=retry)

    async def handle_at(
        self,
        decider: Decider[StateT, CommandT],
        locate: Locate[StateT],
        command: Callable[[StateT | None, datetime], CommandT],
        *,
        actor: str,
        cause: str | None = None,
        retry: RetryPolicy = BOUNDED,
    ) -> Handled[StateT]:
        """Perform a command; all events that its decision returns are stored in one append, or none.

        Args:
            decider: the rules of this kind of aggregate.
            locate: returns the aggregate and its state; called before each try.
            command: makes the command, from the state and the time of the decision; called before each decision.
            actor: who gives the command; the events name it.
            cause: the event that led to the command. Each further event of the decision has the same cause.
            retry: what is tried again.

        Raises:
            TooManyConflicts: it changed at every try.
            Conflict, LogFull, TooLarge, Unavailable, Unreadable: as `EventLog`; those that `retry` does not cover.
            Exception: what `locate`, `command` and the decider raise; nothing was stored.

        """
        conflicts, is_damaged = 0, False
        while True:
            try:
                target = await locate()
                now = self._runtime.now()
                decided = decider.decide(target.state, command(target.state, now))
                if not decided:
                    return Handled(target.aggregate, target.state, ())
                entries = self._entries(target, decided, now=now, actor=actor, cause=cause)
                stored = await self._append(entries, retry)
            except (LogFull, Unavailable):
                if retry.outage_pause_s is None:
                    raise
                await anyio.sleep(retry.outage_pause_s)
                continue
            if stored is not None:
                state = target.state
                for appended in stored:
                    state = decider.evolve(state, appended)
                return Handled(target.aggregate, state, tuple(appended.event.id for appended in stored))
            conflicts += 1
            if retry.max_conflicts is not None and conflicts >= retry.max_conflicts:
                if is_damaged or not await self._is_damaged(decider, target.aggregate, actor):
                    raise TooManyConflicts(f"{target.aggregate} changed at each of {conflicts} tries")
                is_damaged, conflicts = True, 0

    async def _is_damaged(self, decider: Decider[StateT, CommandT], aggregate: str, actor: str) -> bool:
        """Return whether a job lacks an event after the last one that can be read, and record that.

        Every append to such a job conflicts. The job is in quarantine then, as one whose event cannot be read. The
        leader of the log answers each of these requests, so what an append must expect is the last readable event,
        unless that changed meanwhile.
        """
        if job_of(aggregate) is None:
            return False
        before = await self.load(decider, aggregate)
        tail = await self._log.tail(aggregate)
        state = await self.load(decider, aggregate)
        if before is None or state is None or before.head != state.head or tail == state.head.seq:
            return False
        record = record_of_missing(state.head, tail)
        event_id = EventId(self._runtime.new_id())
        event = link(state.head, aggregate, record, event_id=event_id, time=self._runtime.now(), actor=actor)
        _log.error("aggregate_damaged", aggregate=aggregate, seq=record.damaged_seq, hint=HINT)
        with contextlib.suppress(Conflict):  # another service recorded it
            await self._log.append([AppendEntry(event, tail)])
        return True

    async def _append(self, entries: Sequence[AppendEntry], retry: RetryPolicy) -> tuple[Stored, ...] | None:
        """Append; return `None` after a conflict."""
        try:
            return await self._log.append(entries, deadline_s=retry.append_deadline_s)
        except Conflict:
            return None

    def _entries(
        self, target: Target[StateT], decided: Sequence[EventData], *, now: datetime, actor: str, cause: str | None
    ) -> list[AppendEntry]:
        head = EMPTY_HEAD if target.state is None else target.state.head
        entries: list[AppendEntry] = []
        for data in decided:
            event_id = EventId(self._runtime.new_id())
            event = link(head, target.aggregate, data, event_id=event_id, time=now, actor=actor, cause=cause)
            entries.append(AppendEntry(event, None if entries else head.seq))
            if len(entries) < len(decided):
                head = Head(seq=head.seq, version=event.version, hash=digest(encode(event)))
        return entries
