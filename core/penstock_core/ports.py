"""What the services need from the outside, in the domain's words.

`penstock_jetstream` fills these with JetStream and obstore, `penstock_core.memory` with dictionaries; the same contract
tests run against both. A failure leaves a port as one of the exceptions below and as nothing else.
"""

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from penstock_core.chain import Stored
from penstock_schemas.events import Event
from penstock_schemas.ids import JobId, RunnerId, TenantId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.plans import PlanReply, PlanRequest
from penstock_schemas.views import Head, Job, LogChunk, RunnerHeartbeat, SchedulerBeat, Task

MAX_APPEND_ENTRIES: Final = 1000
"""One append takes no more entries."""
MAX_APPEND_BYTES: Final = 32 << 20
"""Nor more bytes of encoded events."""
MAX_EVENT_BYTES: Final = 768 * 1024
"""An encoded event takes no more; it leaves room for the job that it folds into, which is stored as one message too."""
MAX_READ_EVENTS: Final = 5000
"""A reader's batch has no more events."""
HEARTBEAT_TTL_S: Final = 10.0
"""A heartbeat is forgotten when it is this old."""
BLOB_PIECE_BYTES: Final = 1 << 20
"""A blob is streamed in pieces of at most this size."""


class PortError(Exception):
    """Something outside failed."""


class Unavailable(PortError):
    """It did not answer before the deadline, retries included. For an append: it is not known whether it was stored."""


class BlobsUnavailable(Unavailable):
    """The blob store did not take or give something; the text names it and says why."""


class Conflict(PortError):
    """An aggregate moved on since it was read; nothing of the append was stored."""


class Fenced(Conflict):
    """A later leader holds the lease; nothing of the append was stored."""


class LogFull(PortError):
    """The log reached the bytes it may take; nothing was stored. Reads and the past are not affected."""


class TooLarge(PortError):
    """An event or a batch exceeds what the log takes; nothing was stored."""


class Unreadable(PortError):
    """An event was written by a later version of this software, or is none; waiting does not help."""


class PositionLost(PortError):
    """A view ends before the given position: it was made anew, so whoever followed it must begin at 0."""


class BlobMissing(PortError):
    """There is no blob under this key."""


class Entry(Struct, frozen=True):
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
        self, entries: Sequence[Entry], *, fence: Fence | None = None, deadline_s: float = 10.0
    ) -> tuple[Stored, ...]:
        """Store all `entries` durably and in order, or none; return them with their sequences.

        It retries until the deadline and resolves doubtful outcomes by event id, so that an entry is stored once.
        With a fence, the first entry must not carry an expectation (`expected=None`): the fence takes its place; so it
        does for any other entry of an aggregate that only the holder of the fence writes to.

        Raises:
            Conflict, Fenced, LogFull, TooLarge: nothing was stored.
            Unavailable: the deadline passed; whether it was stored is not known.
            ValueError: no entry, or expectations that this contract does not allow.

        """
        ...

    async def load(self, aggregate: str, *, min_version: int = 0, deadline_s: float = 10.0) -> tuple[Stored, ...]:
        """Return every event of one aggregate in order, at least up to `min_version`.

        Raises:
            Unavailable: no answer, or not yet that version, before the deadline.
            Unreadable: an event of the aggregate cannot be read.

        """
        ...

    async def head(self, aggregate: str, *, deadline_s: float = 10.0) -> Head:
        """Return the last event's place, `EMPTY_HEAD` for none; never older than what was acknowledged before."""
        ...

    async def last_seq(self, *, deadline_s: float = 10.0) -> int:
        """Return the last sequence of the log."""
        ...

    def read(self, *, after: int = 0, aggregates: str = ">") -> AsyncGenerator[tuple[Stored, ...], None]:
        """Yield batches of events with a sequence above `after`, in order, without loss or duplicate, for ever.

        Each batch is what is at hand (1 to 5,000 events); the iterator waits when there is none, and survives any
        outage. An undecodable message is logged and skipped. Close it: `async with aclosing(log.read()) as batches`.

        Args:
            after: a sequence; 0 reads from the beginning.
            aggregates: an aggregate, or a filter with `*` and a final `>`.

        """
        ...


class JobsView(Protocol):
    """The materialized jobs: one entry a job, written by the projector alone."""

    async def checkpoint(self) -> int:
        """Return the last sequence of the log that is folded in; 0 for none."""
        ...

    async def position(self) -> int:
        """Return the position of the last change, 0 for none.

        Whoever was given it, or a later one, by `changes` has seen every job that the view held at this call.
        """
        ...

    async def write(self, jobs: Iterable[Job], *, previous: int, checkpoint: int) -> None:
        """Store `jobs` and move the checkpoint from `previous` to `checkpoint`, all or nothing.

        More jobs than `MAX_APPEND_ENTRIES - 1`, or very large ones, go in several steps, the checkpoint moving with the
        last: after a failure some of them may be ahead of it. So whoever folds skips events at or before a job's head.

        Raises:
            Conflict: another projector moved the checkpoint; start again from `checkpoint()`.

        """
        ...

    async def get(self, job_id: JobId) -> Job | None:
        """Return a job as last projected."""
        ...

    async def get_many(self, job_ids: Sequence[JobId]) -> dict[JobId, Job]:
        """Return those that exist."""
        ...

    def changes(self, *, after: int = 0) -> AsyncGenerator[tuple[int, tuple[Job, ...]], None]:
        """Yield (position, jobs) for ever: every job whose entry changed after `after`, oldest change first.

        The position is the view's own, to be given back as `after`; it is no sequence of the log. A job that changed
        several times may come once, in its last form. Close it as a reader of the log.

        Raises:
            PositionLost: `after` is no position of this view.

        """
        ...


class LiveFeed(Protocol):
    """What plain subscribers hear: accepted events only."""

    async def publish(self, stored: Sequence[Stored]) -> None:
        """Send each event on its live subject, best effort and in order."""
        ...


class TaskPage(Struct, frozen=True):
    """Some of a job's tasks, in the order of their first appearance; a task keeps its place for good."""

    tasks: tuple[Task, ...]
    next_after: int | None
    """The `after` of the next page; `None` when there was no further task."""


class TaskBoard(Protocol):
    """The last view of every task of a job, and its totals."""

    async def put(self, tenant: TenantId, job_id: JobId, tasks: Sequence[Task], counts: TaskCounts) -> None:
        """Store the tasks' views and the job's totals; a later view of the same task replaces the earlier."""
        ...

    async def tasks(self, tenant: TenantId, job_id: JobId, *, after: int = 0, limit: int | None = None) -> TaskPage:
        """Return the tasks that come after the first `after`, `limit` at most; `None`: every one.

        New tasks come after all others, so that pages neither repeat nor miss a task while some arrive. What it costs
        depends on the page and not on how many tasks there are.
        """
        ...

    async def task(self, tenant: TenantId, job_id: JobId, task_id: str) -> Task | None:
        """Return one task of the job; `None` when there is no such task."""
        ...

    async def counts(self, tenant: TenantId, job_id: JobId) -> TaskCounts | None:
        """Return the last totals; `None` when nothing was reported."""
        ...

    async def forget(self, tenant: TenantId, job_id: JobId) -> None:
        """Remove everything about a job; nothing happens when there is nothing."""
        ...


class LogTail(Protocol):
    """The live tail of runs' logs; whole logs are blobs."""

    async def append(self, tenant: TenantId, chunks: Sequence[LogChunk]) -> None:
        """Publish chunks, in order; returns when they are stored."""
        ...

    async def read(
        self, tenant: TenantId, job_id: JobId, *, after: int = 0, wait_s: float = 0.0, limit: int = 1000
    ) -> tuple[tuple[int, LogChunk], ...]:
        """Return (position, chunk) pairs above `after`; when there is none, wait up to `wait_s` for the first."""
        ...

    async def forget(self, tenant: TenantId, job_id: JobId) -> None:
        """Remove every chunk of a job; nothing happens when there is none."""
        ...


class Heartbeats(Protocol):
    """Who is alive. Nothing here is remembered for longer than the lease."""

    async def beat(self, heartbeat: RunnerHeartbeat, *, deadline_s: float = 2.0) -> None:
        """Say that a runner is alive; returns when it was heard.

        Raises:
            Unavailable: it was not heard before the deadline.

        """
        ...

    async def runners(self) -> Mapping[RunnerId, RunnerHeartbeat]:
        """Return the last heartbeat of every runner that is alive.

        Raises:
            Unavailable: it is not known who is alive.

        """
        ...

    async def silence(self, runner_id: RunnerId) -> None:
        """Forget a runner that left."""
        ...

    async def beat_scheduler(self, beat: SchedulerBeat, *, deadline_s: float = 2.0) -> None:
        """Say that the leading scheduler is alive."""
        ...

    async def scheduler(self) -> SchedulerBeat | None:
        """Return the leading scheduler's last beat; `None` when it is silent."""
        ...

    async def silence_scheduler(self) -> None:
        """Forget the leader: it stepped down, a standby may take over at once."""
        ...


class Snapshots(Protocol):
    """Folded states, to start from; each can be thrown away."""

    async def save(self, name: str, seq: int, state: bytes) -> None:
        """Keep `state`, the fold of the log up to `seq`, in place of the last one.

        When several save at once, one of their states is kept, whole; the others are dropped.

        Raises:
            Unavailable: it is not known whether it is kept.

        """
        ...

    async def load(self, name: str) -> tuple[int, bytes] | None:
        """Return the last saved state and its sequence."""
        ...


class BlobInfo(Struct, frozen=True):
    """What is known of a blob without reading it."""

    key: str
    size_bytes: int


class WrittenBlob(Struct, frozen=True):
    """A blob, or what a write that did not finish left in its place."""

    key: str
    written_at: datetime
    """By the store's clock."""
    is_finished: bool = True


class Blobs(Protocol):
    """Files too large for the log: sources, logs, outputs.

    Keys are relative paths with `/`, without `.`, `..` and empty parts; any other is a `ValueError`.
    """

    async def put_bytes(self, key: str, content: bytes) -> None:
        """Store `content`; an existing blob is replaced."""
        ...

    async def put_file(self, key: str, path: Path) -> tuple[int, str]:
        """Store a file, streamed; return its bytes and SHA-256."""
        ...

    async def put_stream(self, key: str, chunks: AsyncIterable[bytes]) -> tuple[int, str]:
        """Store what `chunks` yields, as it comes; return its bytes and SHA-256.

        No more than a few MiB are held at a time. The blob appears when everything has come: whatever `chunks` raises
        goes through, and then nothing of it is stored and an earlier blob stays as it was. How long `chunks` may take
        is for the caller to bound.
        """
        ...

    async def get_bytes(self, key: str) -> bytes:
        """Return a whole blob.

        Raises:
            BlobMissing: there is none.

        """
        ...

    def open(self, key: str, *, start: int = 0, length: int | None = None) -> AbstractAsyncContextManager["BlobStream"]:
        """Open a blob, or a range of it, for streaming.

        Raises:
            BlobMissing: there is none.

        """
        ...

    async def info(self, key: str) -> BlobInfo | None:
        """Return its size; `None` when there is none."""
        ...

    async def list(self, prefix: str) -> tuple[BlobInfo, ...]:
        """Return every blob whose key starts with `prefix`, in order."""
        ...

    async def page(self, folder: str, *, after: str = "", limit: int) -> tuple[WrittenBlob, ...]:
        """Return up to `limit` blobs whose keys start with `folder/`, in order, the first ones behind `after`.

        What unfinished writes left is among them where the store shows it; it can be deleted, and not be read.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove it; nothing happens when there is none."""
        ...

    async def presign(self, key: str, *, valid_s: int) -> str | None:
        """Return a URL that reads the blob without further credentials; `None` where the store has none for it."""
        ...


class BlobStream(Protocol):
    """A blob that is being read."""

    @property
    def size_bytes(self) -> int:
        """How many bytes the whole blob has."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield its content in pieces of up to 1 MiB."""
        ...


PlanAnswer = Callable[[PlanRequest], Awaitable[PlanReply]]
"""Makes a plan; never raises but by cancellation."""


class Plans(Protocol):
    """Plans of jobs, asked for by gateways and made by runners. Nothing of it is stored."""

    async def ask(self, request: PlanRequest, *, deadline_s: float) -> PlanReply:
        """Have one of the runners that offer the request's engine make a plan.

        Raises:
            TooLarge: the request is larger than a message may be.
            Unavailable: no runner listens, or none answers in time.

        """
        ...

    async def serve(self, engines: Sequence[str], answer: PlanAnswer) -> None:
        """Answer requests for these engines, several at a time, for ever."""
        ...


class ClusterStatus(Struct, frozen=True):
    """What `doctor` and `/status` say of the log."""

    server_version: str
    messages: int
    stored_bytes: int
    max_bytes: int
    last_seq: int
    replicas: int


class LogStatusSource(Protocol):
    """Says how the log is."""

    async def status(self) -> ClusterStatus:
        """Return how it is now.

        Raises:
            Unavailable: no answer in time.

        """
        ...
