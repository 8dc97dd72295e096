"""The log of events, its live feed, and its health."""

from collections.abc import AsyncGenerator, Sequence
from typing import Final, Protocol

from msgspec import Struct

from penstock_domain.chain import Stored
from penstock_schemas.events import Event
from penstock_schemas.views import Head

MAX_APPEND_ENTRIES: Final = 1000
"""One append takes no more entries."""
MAX_APPEND_BYTES: Final = 32 << 20
"""Nor more bytes of encoded events."""
MAX_EVENT_BYTES: Final = 768 * 1024
"""An encoded event takes no more; it leaves room for the job that it folds into, which is stored as one message too."""
MAX_READ_EVENTS: Final = 5000
"""A reader's batch has no more events."""


class AppendEntry(Struct, frozen=True):
    """An event to append."""

    event: Event
    expected: int | None
    """The sequence of the aggregate's last event, 0 for none; `None` when the entry follows another one of the
    same aggregate within the same append."""


class Fence(Struct, frozen=True):
    """An append is stored only while `aggregate` still ends with the event at `seq`."""

    aggregate: str
    seq: int


class EventLog(Protocol):
    """The log: the only place where anything becomes true."""

    async def append(
        self, entries: Sequence[AppendEntry], *, fence: Fence | None = None, deadline_s: float = 10.0
    ) -> tuple[Stored, ...]:
        """Store all `entries` durably and in order, or none; return them with their sequences.

        It retries until the deadline and resolves doubtful outcomes by event id, so that an entry is stored once.
        With a fence, the first entry must not carry an expectation (`expected=None`): the fence takes its place; so it
        does for any other entry of an aggregate that only the holder of the fence writes to.

        Raises:
            Conflict, Fenced, LogFull, TooLarge: nothing was stored.
            Unavailable: the deadline passed; whether it was stored is not known.
            ValueError: no entry, an aggregate that has no subject, or expectations that this contract does not allow.

        """
        ...

    async def load(self, aggregate: str, *, min_version: int = 0, deadline_s: float = 10.0) -> tuple[Stored, ...]:
        """Return every event of one aggregate in order, at least up to `min_version`.

        In the history of a job, `damage.unreadable` replaces an event that cannot be read.

        Raises:
            Unavailable: no answer, or not yet that version, before the deadline.
            Unreadable: an event of another aggregate cannot be read.

        """
        ...

    async def head(self, aggregate: str, *, deadline_s: float = 10.0) -> Head:
        """Return the last event's place, `EMPTY_HEAD` for none; never older than what was acknowledged before."""
        ...

    async def tail(self, aggregate: str, *, deadline_s: float = 10.0) -> int:
        """Return the sequence that an append to `aggregate` must expect, 0 for none.

        It is another one than the sequence of the last event that can be read when a later one is missing.
        """
        ...

    async def last_seq(self, *, deadline_s: float = 10.0) -> int:
        """Return the last sequence of the log, no lower than what was acknowledged before."""
        ...

    def read(self, *, after: int = 0, aggregates: str = ">") -> AsyncGenerator[tuple[Stored, ...], None]:
        """Yield batches of events with a sequence above `after`, in order, without loss or duplicate, for ever.

        Each batch is what is at hand (1 to 5,000 events); the iterator waits when there is none, and survives any
        outage. Close it: `async with aclosing(log.read()) as batches`.

        `damage.unreadable` replaces a message that cannot be read and, when everything is read, `damage.missing` for
        a sequence that the log does not have: then no sequence is left out.

        Raises:
            LogTruncated: the log ends before what was read of it.

        Args:
            after: a sequence; 0 reads from the beginning.
            aggregates: an aggregate, or a filter with `*` and a final `>`.

        """
        ...


class LiveFeed(Protocol):
    """What plain subscribers receive: accepted events only."""

    async def publish(self, stored: Sequence[Stored]) -> None:
        """Send each event on its live subject, best effort and in order."""
        ...


class ClusterStatus(Struct, frozen=True):
    """What `doctor` and `/status` report about the log."""

    server_version: str
    messages: int
    stored_bytes: int
    max_bytes: int
    last_seq: int
    replicas: int


class LogStatusSource(Protocol):
    """Reports the health of the log."""

    async def status(self) -> ClusterStatus:
        """Return how it is now.

        Raises:
            Unavailable: no answer in time.

        """
        ...
