"""What others put where a beat belongs."""

import pytest

from penstock_jetstream import Cluster, names
from penstock_jetstream.transport import stream_writes
from penstock_jetstream.transport.messages import Message
from penstock_ports import Unavailable


async def test_the_scheduler_is_not_silent_when_its_beat_cannot_be_read(cluster: Cluster) -> None:
    beat = Message(names.BEATS_SCHEDULER, b'{"of":"later"}')
    await stream_writes.store_until(cluster.connection, [beat], deadline_s=5)
    with pytest.raises(Unavailable, match="cannot be read"):
        await cluster.heartbeats.scheduler()
