"""The event log in a list."""

from collections.abc import AsyncGenerator, Sequence

import anyio

from penstock_core import append_rules
from penstock_core.aggregates import matches
from penstock_core.chain import Stored
from penstock_core.memory.pulse import Pulse
from penstock_core.ports import MAX_READ_EVENTS, Conflict, Entry, Fence, Fenced, LogFull, Unavailable
from penstock_schemas.views import EMPTY_HEAD, Head
from penstock_schemas.wire import digest


class MemoryLog:
    """An `EventLog`. `max_bytes` bounds the encoded events; `stored` is everything, in order."""

    def __init__(self, *, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.stored_bytes = 0
        self.stored: list[Stored] = []
        self._histories: dict[str, list[Stored]] = {}
        self._appended = Pulse()

    async def append(
        self, entries: Sequence[Entry], *, fence: Fence | None = None, deadline_s: float = 10.0
    ) -> tuple[Stored, ...]:
        """Store all `entries`, or none."""
        encoded = append_rules.check(entries, fence)
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
        self._appended.beat()
        return added

    async def load(self, aggregate: str, *, min_version: int = 0, deadline_s: float = 10.0) -> tuple[Stored, ...]:
        """Return every event of one aggregate."""
        with anyio.move_on_after(deadline_s):
            while len(self._histories.get(aggregate, ())) < min_version:
                await self._appended.wait()
        history = tuple(self._histories.get(aggregate, ()))
        if len(history) < min_version:
            raise Unavailable(f"{aggregate} has no version {min_version}")
        return history

    async def head(self, aggregate: str, *, deadline_s: float = 10.0) -> Head:
        """Return the last event's place."""
        history = self._histories.get(aggregate)
        return history[-1].head if history else EMPTY_HEAD

    async def last_seq(self, *, deadline_s: float = 10.0) -> int:
        """Return the last sequence."""
        return len(self.stored)

    async def read(self, *, after: int = 0, aggregates: str = ">") -> AsyncGenerator[tuple[Stored, ...], None]:
        """Yield batches of events, for ever."""
        while True:
            seen = self.stored[after : after + MAX_READ_EVENTS]
            after += len(seen)
            batch = tuple(stored for stored in seen if matches(aggregates, stored.event.aggregate))
            if batch:
                yield batch
            elif not seen:
                await self._appended.wait()

    def _last_seq(self, aggregate: str) -> int:
        history = self._histories.get(aggregate)
        return history[-1].seq if history else 0
