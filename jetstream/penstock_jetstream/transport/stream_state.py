"""The configuration and the state of a stream, as its leader reports them."""

import msgspec
from msgspec import Struct

from penstock_jetstream import names
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.retry import Retry
from penstock_ports import Unavailable


class StreamState(Struct, frozen=True):
    """How full a stream is."""

    messages: int
    bytes: int
    first_seq: int
    last_seq: int


class StreamConfig(Struct, frozen=True):
    """The part of a stream's configuration that is read after it was made."""

    max_bytes: int
    num_replicas: int


class Replica(Struct, frozen=True):
    """A server that has a copy of a stream and does not lead it."""

    name: str
    offline: bool = False
    current: bool = False


class StreamCluster(Struct, frozen=True):
    """The servers that have a stream; absent from what a single server reports."""

    leader: str = ""
    """Empty while there is none."""
    replicas: tuple[Replica, ...] = ()


class StreamInfo(Struct, frozen=True):
    """The configuration and the state of a stream."""

    config: StreamConfig
    state: StreamState
    cluster: StreamCluster | None = None

    @property
    def is_confirmed(self) -> bool:
        """Whether a leader reported it.

        While a stream has no leader, every replica answers with the state of its copy. After all servers were
        killed such a copy is shorter than what was acknowledged. A server reports itself as the leader only after it
        applied everything that the former leader had acknowledged.
        """
        return self.config.num_replicas == 1 or (self.cluster is not None and self.cluster.leader != "")


async def info(connection: Connection, stream: str, *, deadline_s: float) -> StreamInfo:
    """Return the configuration and the state of a stream, as its leader has them.

    Raises:
        Unavailable: no leader answered before the deadline.

    """
    retry = Retry(deadline_s)
    while True:
        answer = await connection.query(names.STREAM_INFO + stream, deadline_s=retry.remaining_s)
        found = msgspec.json.decode(answer, type=StreamInfo)
        if found.is_confirmed:
            return found
        await retry.wait(Unavailable(f"stream {stream} has no leader"))


async def last_seq(connection: Connection, stream: str, *, deadline_s: float) -> int:
    """Return the last sequence of a stream, no lower than what was acknowledged before this call.

    Raises:
        Unavailable: no leader confirmed it before the deadline.

    """
    retry = Retry(deadline_s)
    found = await info(connection, stream, deadline_s=retry.remaining_s)
    if found.config.num_replicas == 1:
        return found.state.last_seq
    # A replica that began to answer just before a leader was elected may name that leader with its own, shorter state.
    # It does so in one moment of an election, so a second answer settles it.
    again = await info(connection, stream, deadline_s=retry.remaining_s)
    return max(found.state.last_seq, again.state.last_seq)
