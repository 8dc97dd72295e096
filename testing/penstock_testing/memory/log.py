"""The event log in a list."""

from collections.abc import AsyncGenerator, Sequence

import anyio

from penstock_domain.aggregates import EVERYTHING, job_of, matches
from penstock_domain.chain import Stored, digest
from penstock_domain.damage import is_unreadable, missing, unreadable
from penstock_ports import (
    MAX_READ_EVENTS,
    AppendEntry,
    Conflict,
    Fence,
    Fenced,
    LogFull,
    Unavailable,
    Unreadable,
    adapter_checks,
)
from penstock_runtime.notify import Notifier
from penstock_schemas.views import EMPTY_HEAD, Head


class MemoryLog:
    """An `EventLog`. `max_bytes` bounds the encoded events; `stored` is everything, in order."""

    def __init__(self, *, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.stored_bytes = 0
        self.stored: list[Stored] = []
        self._histories: dict[str, list[Stored]] = {}
        self._tails: dict[str, int] = {}
        """Where aggregates end whose last event is missing."""
        self._appended = Notifier()

    async def append(
        self, entries: Sequence[AppendEntry], *, fence: Fence | None = None, deadline_s: float = 10.0
    ) -> tuple[Stored, ...]:
        """Store all `entries`, or none."""
        encoded = adapter_checks.check_append(entries, fence)
        if fence is not None and self._last_seq(fence.aggregate) != fence.seq:
            raise Fenced(f"{fence.aggregate} moved on from {fence.seq} to {self._last_seq(fence.aggregate)}")
        for entry in entries:
            aggregate, expected = entry.event.aggregate, entry.expected
            if expected is not None and self._last_seq(aggregate) != expected:
                raise Conflict(f"{aggregate} ends at {self._last_seq(aggregate)}, not at {expected}")
        added_bytes = sum(map(len, encoded))
        if self.stored_bytes + added_bytes > self.max_bytes:
            raise LogFull(f"the log takes {self.max_bytes:,} bytes")
        first = len(self.stored) + 1
        added = tuple(
            Stored(seq=seq, event=entry.event, hash=digest(raw))
            for seq, (entry, raw) in enumerate(zip(entries, encoded, strict=True), first)
        )
        self.stored_bytes += added_bytes
        self.stored.extend(added)
        for stored in added:
            self._histories.setdefault(stored.event.aggregate, []).append(stored)
            self._tails.pop(stored.event.aggregate, None)
        self._appended.beat()
        return added

    async def load(self, aggregate: str, *, min_version: int = 0, deadline_s: float = 10.0) -> tuple[Stored, ...]:
        """Return every event of one aggregate."""
        if len(self._histories.get(aggregate, ())) < min_version:
            with anyio.move_on_after(deadline_s):
                while len(self._histories.get(aggregate, ())) < min_version:
                    await self._appended.wait()
        history = tuple(self._histories.get(aggregate, ()))
        if len(history) < min_version:
            raise Unavailable(f"{aggregate} has no version {min_version}")
        broken = next((entry for entry in history if is_unreadable(entry)), None)
        if broken is not None and job_of(aggregate) is None:
            raise Unreadable(f"{aggregate} is damaged at sequence {broken.seq}")
        return history

    async def head(self, aggregate: str, *, deadline_s: float = 10.0) -> Head:
        """Return the last event's place."""
        history = self._histories.get(aggregate)
        return history[-1].head if history else EMPTY_HEAD

    async def tail(self, aggregate: str, *, deadline_s: float = 10.0) -> int:
        """Return the sequence that an append must expect."""
        return self._tails.get(aggregate, self._last_seq(aggregate))

    def damage(self, seq: int, reason: str | None) -> None:
        """Make the event at `seq` one that cannot be read, or, without a reason, one that is missing."""
        whole = self.stored[seq - 1]
        aggregate = whole.event.aggregate
        history = self._histories[aggregate]
        place = next(index for index, entry in enumerate(history) if entry.seq == seq)
        if reason is None:
            self.stored[seq - 1] = missing(seq)
            del history[place]
            if place == len(history):
                self._tails[aggregate] = 0  # as nats-server does
        else:
            history[place] = self.stored[seq - 1] = unreadable(seq, aggregate, b"?", whole.hash, reason)

    async def last_seq(self, *, deadline_s: float = 10.0) -> int:
        """Return the last sequence."""
        return len(self.stored)

    async def read(self, *, after: int = 0, aggregates: str = ">") -> AsyncGenerator[tuple[Stored, ...], None]:
        """Yield batches of events, for ever."""
        while True:
            seen = self.stored[after : after + MAX_READ_EVENTS]
            after += len(seen)
            batch = tuple(
                stored for stored in seen if aggregates == EVERYTHING or matches(aggregates, stored.event.aggregate)
            )
            if batch:
                yield batch
            elif not seen:
                await self._appended.wait()

    def _last_seq(self, aggregate: str) -> int:
        if aggregate in self._tails:
            return self._tails[aggregate]
        history = self._histories.get(aggregate)
        return history[-1].seq if history else 0
