"""Every server's copy of a stream, read to its end and compared message by message.

A server reports a damaged copy as current, so only reading it shows the damage. A consumer with one replica reads the
copy of the server that it was placed on, and the answer to its creation names that server: consumers are created until
there is one on each server that is online.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import anyio
from msgspec import Struct

from penstock_jetstream import names
from penstock_jetstream.transport import stream_reads, stream_state
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.reader import Received, Session
from penstock_jetstream.transport.responses import NoAnswer, Refusal
from penstock_jetstream.transport.retry import Retry
from penstock_jetstream.transport.stream_state import StreamInfo
from penstock_ports import PortError, Unavailable

FILE_STREAMS: Final = (names.EVENTS, names.JOBS, names.TASKS, names.LOGS, names.SNAPSHOTS)
"""The streams that are on disks."""
PLACEMENT_S: Final = 60.0
"""How long consumers are created until each server has one: each lands on a server at random."""
STALLED_S: Final = 20.0
"""A copy from which nothing arrives for this long, although it has more, cannot be read further."""
SINGLE_SERVER: Final = "the server"
MAX_FAILURES: Final = 3
"""So often in a row reading a copy may fail, each time with a new consumer, before it counts as damaged."""
END_WAITS: Final = 2
"""So often nothing may arrive from a copy that has nothing more before that is taken for its end."""
_NO_MESSAGE: Final = ""


class CopyDamage(Struct, frozen=True):
    """The first message of a copy that is not as the other copies have it."""

    seq: int
    kind: str
    """What is wrong with it, in words."""
    messages: int = 1
    """How many messages differ."""


class Copy(Struct, frozen=True):
    """One server's copy of a stream, read to its end."""

    server: str
    stream: str
    messages: int
    """How many were read."""
    damage: CopyDamage | None = None


async def compare(connection: Connection, stream: str, *, stalled_s: float = STALLED_S) -> tuple[Copy, ...]:
    """Read every copy of `stream` up to the end that it has now, and compare them.

    A message that the stream's limits removed meanwhile is no damage.

    Raises:
        Unavailable: the stream has no leader, or a server that is online takes no consumer.

    """
    info = await stream_state.info(connection, stream, deadline_s=names.VIEW_READ_S)
    last_seq = await stream_state.last_seq(connection, stream, deadline_s=names.VIEW_READ_S)
    online, offline = _servers(info)
    first_seq = max(1, info.state.first_seq)
    readers: dict[str, _CopyReader] = {}
    try:
        while len(readers) < len(online):
            reader = _CopyReader(connection, stream, after=first_seq - 1, last_seq=last_seq, stalled_s=stalled_s)
            await reader.open([server for server in online if server not in readers])
            readers[reader.server] = reader
        keeps_all = stream == names.EVENTS
        comparison = _Comparison(connection, stream, readers, next_seq=first_seq if keeps_all else None)
        await comparison.run()
    finally:
        for reader in readers.values():
            await reader.close()
    copies = [Copy(server, stream, reader.messages, comparison.damage_of(server)) for server, reader in readers.items()]
    copies += [Copy(server, stream, 0, CopyDamage(first_seq, "the server is offline", 0)) for server in offline]
    return tuple(sorted(copies, key=lambda copy: copy.server))


async def search_copies(connection: Connection, stream: str, seq: int) -> Received | None:
    """Return the message `seq` from any copy that has it; `None` when no server that is online has it.

    On a single server there is no further copy, and nothing is read.

    Raises:
        Unavailable: the stream has no leader, or a server that is online takes no consumer.

    """
    info = await stream_state.info(connection, stream, deadline_s=names.VIEW_READ_S)
    online, _ = _servers(info)
    unread = list(online) if len(online) > 1 else []
    failures = Counter[str]()
    while unread:
        following: list[Received] = []
        session, server = await _session_on(unread, connection, stream, following.append, after=seq - 1)
        try:
            failure = await _wait_for(following, session)
        finally:
            await session.end()
        if following and following[0].seq == seq:
            return following[0]
        failures[server] += failure is not None
        if failure is None or failures[server] == MAX_FAILURES:
            unread.remove(server)
    return None


async def _wait_for(received: Collection[Received], session: Session) -> str | None:
    """Wait until a message is there, or the copy has none; return why none came although the copy has more."""
    try:
        with anyio.fail_after(STALLED_S):
            while not received and session.pending and session.broken is None:
                await session.refill()
                await session.wait()
    except TimeoutError:
        return f"no message came for {STALLED_S:g} s"
    except NoAnswer as error:
        return str(error)
    return None if received or not session.pending else session.broken


async def _session_on(
    servers: Sequence[str], connection: Connection, stream: str, take: Callable[[Received], None], *, after: int
) -> tuple[Session, str]:
    """Return a consumer that reads the copy of one of `servers`, and which one that is.

    Raises:
        Unavailable: none of them took a consumer.

    """
    retry = Retry(PLACEMENT_S)
    while True:
        session = Session(connection, stream, ">", take, after=after)
        try:
            await session.start()
        except (NoAnswer, Refusal) as error:
            await session.end()
            await retry.wait(error)  # a server that just started refuses consumers for a while
            continue
        except BaseException:
            await session.end()
            raise
        # A server without a cluster may name itself as the leader of a stream, and never as that of a consumer.
        server = session.server or servers[0]
        if server in servers:
            return session, server
        await session.end()
        if retry.remaining_s == 0:
            raise Unavailable(f"a server took no consumer on stream {stream} within {PLACEMENT_S:g} s")


def _servers(info: StreamInfo) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the servers with a copy that are online, and those that are not."""
    if info.cluster is None:
        return (SINGLE_SERVER,), ()
    online = (info.cluster.leader, *(replica.name for replica in info.cluster.replicas if not replica.offline))
    return online, tuple(replica.name for replica in info.cluster.replicas if replica.offline)


class _CopyReader:
    """One copy, message by message."""

    def __init__(self, connection: Connection, stream: str, *, after: int, last_seq: int, stalled_s: float) -> None:
        self.server = ""
        self.messages = 0
        self.stopped: str | None = None
        """Why the copy cannot be read to its end."""
        self._connection = connection
        self._stream = stream
        self._session: Session | None = None
        self._last_seq = last_seq
        self._reached = after
        self._stalled_s = stalled_s
        self._keeps_all = stream == names.EVENTS
        self._buffer: deque[tuple[int, str]] = deque()

    async def open(self, servers: Sequence[str]) -> None:
        """Read the copy of one of `servers` from here on.

        Raises:
            Unavailable: none of them took a consumer.

        """
        await self.close()
        self._session, self.server = await _session_on(
            servers, self._connection, self._stream, self._take, after=self._reached
        )

    async def close(self) -> None:
        """Give the consumer up."""
        session, self._session = self._session, None
        if session is not None:
            await session.end()

    async def head(self) -> tuple[int, str] | None:
        """Return the sequence and the digest of the next message; `None` at the end."""
        failures = 0
        while not self._buffer:
            if self._reached >= self._last_seq or self.stopped is not None:
                return None
            failure = await self._fill()
            if failure is None:
                continue
            failures += 1
            if failures == MAX_FAILURES:
                self.stopped = f"nothing can be read behind {self._reached}: {failure}"
            else:
                await self.open((self.server,))
        seq, content = self._buffer[0]
        return None if seq > self._last_seq else (seq, content)

    def take(self) -> None:
        """Go on to the next message."""
        self._buffer.popleft()
        self.messages += 1

    async def _fill(self) -> str | None:
        """Wait for messages, or for the end; return why none came."""
        session, quiet_waits = self._session, 0
        assert session is not None, "it is open"
        try:
            with anyio.fail_after(self._stalled_s):
                while not self._buffer and session.broken is None:
                    await session.refill()
                    await session.wait()
                    quiet_waits += 1
                    if not self._keeps_all and session.pending == 0 and quiet_waits > END_WAITS:
                        self._reached = self._last_seq  # the last messages were removed meanwhile
                        return None
        except TimeoutError:
            return f"no message came for {self._stalled_s:g} s"
        except NoAnswer as error:
            return str(error)
        return None if self._buffer else session.broken

    def _take(self, message: Received) -> None:
        if message.seq <= self._reached:
            return
        digest = hashlib.sha256(message.headers)
        digest.update(message.subject.encode())
        digest.update(b"\0" + message.payload)
        self._reached = message.seq
        self._buffer.append((message.seq, digest.hexdigest()))


class _Comparison:
    def __init__(
        self, connection: Connection, stream: str, readers: Mapping[str, _CopyReader], *, next_seq: int | None
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._readers = readers
        self._next_seq = next_seq
        """The next sequence of a stream that never loses one; `None` for a stream that does."""
        self._damages: dict[str, CopyDamage] = {}

    async def run(self) -> None:
        """Compare to the end."""
        while True:
            heads = {server: await reader.head() for server, reader in self._readers.items()}
            seqs = [head[0] for head in heads.values() if head is not None]
            if not seqs:
                return
            seq = min(seqs)
            if self._next_seq is not None:
                for missing in range(self._next_seq, seq):
                    self._note_all(missing, "no copy has it")
                self._next_seq = seq + 1
            contents = {
                server: head[1] if head is not None and head[0] == seq else _NO_MESSAGE
                for server, head in heads.items()
            }
            if len(set(contents.values())) > 1:
                await self._judge(seq, contents)
            for server, content in contents.items():
                if content != _NO_MESSAGE:
                    self._readers[server].take()

    def damage_of(self, server: str) -> CopyDamage | None:
        """Return what is wrong with a copy."""
        return self._damages.get(server)

    async def _judge(self, seq: int, contents: Mapping[str, str]) -> None:
        counts = Counter(content for content in contents.values() if content != _NO_MESSAGE)
        is_removed = self._next_seq is None and _NO_MESSAGE in contents.values() and not await self._leader_has(seq)
        ((right, highest), *others) = counts.most_common()
        is_undecided = bool(others) and others[0][1] == highest
        for server, content in contents.items():
            if content == _NO_MESSAGE and not is_removed:
                self._note(server, seq, self._readers[server].stopped or "the message is missing")
            elif content != _NO_MESSAGE and is_undecided:
                self._note(server, seq, "every copy has another content")
            elif content not in (right, _NO_MESSAGE):
                self._note(server, seq, "the content differs from the other copies")

    async def _leader_has(self, seq: int) -> bool:
        try:
            found = await stream_reads.get_from_leader(
                self._connection, self._stream, {"seq": seq}, deadline_s=names.VIEW_READ_S
            )
        except PortError:
            return True
        return found is not None

    def _note_all(self, seq: int, kind: str) -> None:
        for server in self._readers:
            self._note(server, seq, kind)

    def _note(self, server: str, seq: int, kind: str) -> None:
        known = self._damages.get(server)
        self._damages[server] = (
            CopyDamage(seq, kind) if known is None else CopyDamage(known.seq, known.kind, known.messages + 1)
        )
