"""The event log on a JetStream stream."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

import anyio
import msgspec
import structlog
from msgspec import Struct

from penstock_domain.aggregates import EVERYTHING, job_of
from penstock_domain.chain import Stored, digest
from penstock_domain.damage import is_unreadable
from penstock_jetstream import names
from penstock_jetstream.adapters.gaps import Gaps, decoded
from penstock_jetstream.transport import stream_reads, stream_state, stream_writes
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.group_commit import GroupCommit, Together
from penstock_jetstream.transport.messages import Held, Message
from penstock_jetstream.transport.reader import StreamReader
from penstock_jetstream.transport.responses import NoAnswer, Refusal
from penstock_jetstream.transport.retry import Retry
from penstock_ports import (
    AppendEntry,
    Conflict,
    Fence,
    Fenced,
    LogFull,
    TooLarge,
    Unavailable,
    Unreadable,
    adapter_checks,
)
from penstock_schemas.events import RecordDamaged
from penstock_schemas.ids import EventId
from penstock_schemas.views import EMPTY_HEAD, Head

T = TypeVar("T")
_log: structlog.stdlib.BoundLogger = structlog.get_logger()


class JetStreamLog:
    """An `EventLog`. `group_commit` is for a single node; `None` on a cluster."""

    def __init__(self, connection: Connection, *, group_commit: GroupCommit | None) -> None:
        self._connection = connection
        self._group_commit = group_commit
        self._fenced = anyio.Lock()
        """On a cluster only one append with the same fence may be on its way."""

    async def append(
        self, entries: Sequence[AppendEntry], *, fence: Fence | None = None, deadline_s: float = 10.0
    ) -> tuple[Stored, ...]:
        """Store all `entries`, or none."""
        encoded = adapter_checks.check_append(entries, fence)
        write = _Write(entries=entries, fence=fence, messages=_messages(entries, encoded, fence))
        try:
            if fence is None and self._group_commit is not None:
                first = await self._append_in_group(self._group_commit, write, Retry(deadline_s))
            else:
                first = await self._append_separately(write, Retry(deadline_s))
        except TimeoutError:
            raise Unavailable(f"the log did not answer an append within {deadline_s:g} s") from None
        return tuple(
            Stored(seq=seq, event=entry.event, hash=digest(raw))
            for seq, (entry, raw) in enumerate(zip(entries, encoded, strict=True), first)
        )

    async def load(self, aggregate: str, *, min_version: int = 0, deadline_s: float = 10.0) -> tuple[Stored, ...]:
        """Return every event of one aggregate."""
        retry = Retry(deadline_s)
        while True:
            held = await self._read_all(aggregate, retry.remaining_s)
            history = tuple(_readable(item, aggregate) for item in held)
            version = max(len(history), history[-1].event.version) if history else 0
            if version >= min_version:
                return history
            await retry.wait(Unavailable(f"{aggregate} has version {version}, not yet {min_version}"))

    async def head(self, aggregate: str, *, deadline_s: float = 10.0) -> Head:
        """Return the last event's place."""
        subject = names.EVENTS_PREFIX + aggregate
        held = await stream_reads.last_from_leader(self._connection, names.EVENTS, subject, deadline_s=deadline_s)
        if held is None:
            return EMPTY_HEAD
        hash_ = digest(held.payload)
        if is_unreadable(decoded(held.seq, held.subject, held.payload)):
            return Head(seq=held.seq, version=len(await self._read_all(aggregate, deadline_s)), hash=hash_)
        return Head(seq=held.seq, version=_envelope(held).version, hash=hash_)

    async def tail(self, aggregate: str, *, deadline_s: float = 10.0) -> int:
        """Return the sequence that an append must expect, from the refusal of one that expects what cannot be."""
        retry = Retry(deadline_s)
        probe = Message(names.EVENTS_PREFIX + aggregate, b"", {names.EXPECTED_SEQ: str(names.UNREACHABLE_SEQ)})
        while True:
            try:
                await stream_writes.store(self._connection, [probe], deadline_s=retry.attempt_s)
            except NoAnswer as error:
                await retry.wait(error)
            except Refusal as refusal:
                expected = re.search(r"wrong last sequence: (\d+)", str(refusal))
                if expected is not None:
                    return int(expected[1])
                if refusal.err_code not in names.WRONG_LAST_SEQUENCE and not refusal.is_passing:
                    raise Unavailable(str(refusal)) from refusal
                await retry.wait(refusal)

    async def last_seq(self, *, deadline_s: float = 10.0) -> int:
        """Return the last sequence."""
        return await stream_state.last_seq(self._connection, names.EVENTS, deadline_s=deadline_s)

    async def read(self, *, after: int = 0, aggregates: str = ">") -> AsyncGenerator[tuple[Stored, ...], None]:
        """Yield batches of events, for ever."""
        gaps = Gaps(self._connection, after=after) if aggregates == EVERYTHING else None
        reader = StreamReader(self._connection, names.EVENTS, names.EVENTS_PREFIX + aggregates, after=after)
        async with aclosing(reader.batches()) as batches:
            async for batch in batches:
                events = [decoded(item.seq, item.subject, item.payload) for item in batch]
                if gaps is not None:
                    events = await gaps.filled(events)
                if events:
                    yield tuple(events)

    async def _append_separately(self, write: "_Write", retry: Retry) -> int:
        with anyio.fail_after(retry.remaining_s):
            if write.fence is None:
                return await self._append_alone(write, retry, is_doubtful=False)
            async with self._fenced:
                return await self._append_alone(write, retry, is_doubtful=False)

    async def _append_in_group(self, group_commit: GroupCommit, write: "_Write", retry: Retry) -> int:
        try:
            return await group_commit.store(write.messages, deadline_s=retry.remaining_s)
        except (Together, NoAnswer, Refusal) as error:
            failure = error
        with anyio.fail_after(retry.remaining_s):
            match failure:
                case NoAnswer():
                    await retry.wait(failure)
                case Refusal():
                    await self._judge(write, failure, retry, is_doubtful=False)
                case Together():
                    pass
            return await self._append_alone(write, retry, is_doubtful=isinstance(failure, NoAnswer))

    async def _append_alone(self, write: "_Write", retry: Retry, *, is_doubtful: bool) -> int:
        """Store a write as a separate request; return its first sequence.

        Once a try is doubtful, the write may be stored, or be on its way, regardless of the result of later tries.
        The event at its place decides.
        """
        while True:
            if is_doubtful and (seq := await self._find(write, retry)) is not None:
                return seq
            try:
                ack = await stream_writes.store(self._connection, write.messages, deadline_s=retry.attempt_s)
            except NoAnswer as error:
                is_doubtful = True
                await retry.wait(error)
            except Refusal as refusal:
                if refusal.err_code == names.DUPLICATE_IN_BATCH:
                    is_doubtful = True
                await self._judge(write, refusal, retry, is_doubtful=is_doubtful)
            else:
                return ack.seq - len(write.messages) + 1

    async def _judge(self, write: "_Write", refusal: Refusal, retry: Retry, *, is_doubtful: bool) -> None:
        """Return when another try makes sense.

        Raises:
            Conflict, Fenced, LogFull, TooLarge: nothing was stored.
            Unavailable: it was refused for a reason that is none of these, or there is no time.

        """
        code = refusal.err_code
        if code in names.WRONG_LAST_SEQUENCE:
            if write.fence is not None:
                await self._require_fence(write, write.fence, retry, is_doubtful=is_doubtful)
            if not is_doubtful:
                raise Conflict(f"{write.summary} moved on: {refusal}") from refusal
        elif code == names.STORE_FAILED or code in names.STORAGE_EXCEEDED:
            if not is_doubtful or await self._find(write, retry) is None:
                raise LogFull(f"the log takes no more: {refusal}") from refusal
        elif code in names.MESSAGE_TOO_LARGE or code == names.BATCH_TOO_LARGE:
            raise TooLarge(str(refusal)) from refusal
        elif code != names.DUPLICATE_IN_BATCH and not refusal.is_passing:
            raise Unavailable(f"the log refused {write.summary}: {refusal}") from refusal
        await retry.wait(refusal)

    async def _require_fence(self, write: "_Write", fence: Fence, retry: Retry, *, is_doubtful: bool) -> None:
        last = await stream_reads.last_from_leader(
            self._connection, names.EVENTS, names.EVENTS_PREFIX + fence.aggregate, deadline_s=retry.remaining_s
        )
        seq = 0 if last is None else last.seq
        if seq != fence.seq and (not is_doubtful or await self._find(write, retry) is None):
            raise Fenced(f"{fence.aggregate} moved on from {fence.seq} to {seq}")

    async def _find(self, write: "_Write", retry: Retry) -> int | None:
        """Return the first sequence of a write that is stored; `None` when it is not, so far.

        Raises:
            Conflict: another event took its place, so that it never will be.

        """
        for index, entry in enumerate(write.entries):
            if entry.expected is None:
                continue
            subject = names.EVENTS_PREFIX + entry.event.aggregate
            held = await stream_reads.next_from_leader(
                self._connection, names.EVENTS, subject, after=entry.expected, deadline_s=retry.remaining_s
            )
            if held is None:
                return None
            if _envelope(held).id != entry.event.id:
                raise Conflict(f"{entry.event.aggregate} moved on from {entry.expected} to {held.seq}")
            return held.seq - index
        return await self._find_by_id(write.entries[0], write.fence, retry)

    async def _find_by_id(self, entry: AppendEntry, fence: Fence | None, retry: Retry) -> int | None:
        after = 0 if fence is None else fence.seq
        subject = names.EVENTS_PREFIX + entry.event.aggregate
        last = await stream_reads.last_from_leader(
            self._connection, names.EVENTS, subject, deadline_s=retry.remaining_s
        )
        if last is None or last.seq <= after or _envelope(last).version < entry.event.version:
            return None
        for held in await self._read_all(entry.event.aggregate, retry.remaining_s, after=after):
            if _envelope(held).id == entry.event.id:
                return held.seq
        return None

    async def _read_all(self, aggregate: str, deadline_s: float, *, after: int = 0) -> list[Held]:
        """Return what the leader has of an aggregate, read from wherever it is quickest."""
        # On a single server there is no replica that could lag.
        read = stream_reads.read_to_end if self._group_commit is None else stream_reads.read
        subject = names.EVENTS_PREFIX + aggregate
        return await read(self._connection, names.EVENTS, subject, after=after, deadline_s=deadline_s)


class _Write(Struct, frozen=True):
    entries: Sequence[AppendEntry]
    fence: Fence | None
    messages: tuple[Message, ...]

    @property
    def summary(self) -> str:
        first = self.entries[0].event.aggregate
        return first if len(self.entries) == 1 else f"{first} or one of {len(self.entries) - 1} others"


class _Envelope(Struct, frozen=True):
    """What can be read of an event of any type, known or not."""

    id: EventId
    version: int


def _messages(entries: Sequence[AppendEntry], encoded: Sequence[bytes], fence: Fence | None) -> tuple[Message, ...]:
    return tuple(
        Message(
            subject=names.EVENTS_PREFIX + entry.event.aggregate,
            payload=raw,
            headers=_headers(entry, fence if index == 0 else None),
        )
        for index, (entry, raw) in enumerate(zip(entries, encoded, strict=True))
    )


def _headers(entry: AppendEntry, fence: Fence | None) -> dict[str, str] | None:
    if fence is not None:
        return {
            names.EXPECTED_SEQ: str(fence.seq),
            names.EXPECTED_SEQ_SUBJECT: names.EVENTS_PREFIX + fence.aggregate,
            names.MESSAGE_ID: entry.event.id,
        }
    return None if entry.expected is None else {names.EXPECTED_SEQ: str(entry.expected)}


def _envelope(held: Held) -> _Envelope:
    try:
        return msgspec.json.decode(held.payload, type=_Envelope)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"message {held.seq} of the log is no event: {error}") from error


def _readable(held: Held, aggregate: str) -> Stored:
    stored = decoded(held.seq, held.subject, held.payload)
    if is_unreadable(stored) and job_of(aggregate) is None:
        assert isinstance(stored.event.data, RecordDamaged)
        raise Unreadable(f"{aggregate} is damaged at sequence {held.seq}: {stored.event.data.reason}")
    return stored
