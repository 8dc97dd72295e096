"""Everything that a service needs of NATS, behind one connection."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio

from penstock_jetstream import layout, names
from penstock_jetstream.adapters.heartbeats import JetStreamHeartbeats
from penstock_jetstream.adapters.jetstream_log import JetStreamLog
from penstock_jetstream.adapters.jobs_view import JetStreamJobs
from penstock_jetstream.adapters.live_feed import JetStreamLive
from penstock_jetstream.adapters.log_tail import JetStreamLogTail
from penstock_jetstream.adapters.plans import NatsPlans
from penstock_jetstream.adapters.snapshots import JetStreamSnapshots
from penstock_jetstream.adapters.task_store import JetStreamTasks
from penstock_jetstream.adapters.work_files import NatsWorkFiles
from penstock_jetstream.settings import NatsSettings
from penstock_jetstream.transport import stream_state
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.group_commit import GroupCommit
from penstock_ports import ClusterStatus
from penstock_runtime.background import BackgroundTasks


class Cluster:
    """The ports, filled with JetStream."""

    def __init__(self, connection: Connection, *, group_commit: GroupCommit | None) -> None:
        self.connection = connection
        self.log = JetStreamLog(connection, group_commit=group_commit)
        has_replicas = group_commit is None
        self.jobs = JetStreamJobs(connection, has_replicas=has_replicas)
        self.live = JetStreamLive(connection)
        self.tasks = JetStreamTasks(connection)
        self.logs = JetStreamLogTail(connection)
        self.heartbeats = JetStreamHeartbeats(connection, has_replicas=has_replicas)
        self.snapshots = JetStreamSnapshots(connection)
        self.plans = NatsPlans(connection)
        self.work_files = NatsWorkFiles(connection)

    @property
    def is_connected(self) -> bool:
        """Return whether there is a server at the moment."""
        return self.connection.is_connected

    async def status(self, *, deadline_s: float = 2.0) -> ClusterStatus:
        """Return how the log is.

        Raises:
            Unavailable: no answer before the deadline.

        """
        info = await stream_state.info(self.connection, names.EVENTS, deadline_s=deadline_s)
        return ClusterStatus(
            server_version=self.connection.server_version,
            messages=info.state.messages,
            stored_bytes=info.state.bytes,
            max_bytes=info.config.max_bytes,
            last_seq=info.state.last_seq,
            replicas=info.config.num_replicas,
        )


@asynccontextmanager
async def connect(settings: NatsSettings) -> AsyncGenerator[Cluster, None]:
    """Connect, make sure that the streams are as they must be, and reconnect for as long as the context lasts.

    Raises:
        Unavailable: no server answers in time.
        LayoutError: the server cannot hold what Penstock needs; the message states what to do.

    """
    failure: Exception | None = None
    connection, background = Connection(settings), BackgroundTasks()
    await connection.open()
    try:
        layout.require_version(connection.server_version)
        await layout.ensure(connection, settings)
        info = await stream_state.info(connection, names.EVENTS, deadline_s=settings.connect_s)
        group_commit = GroupCommit(connection) if info.config.num_replicas == 1 else None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(background.keep, "connection", connection.run)
            tasks.start_soon(background.keep, "streams", partial(layout.keep, connection, settings))
            if group_commit is not None:
                tasks.start_soon(background.keep, "group commit", group_commit.run)
            try:
                yield Cluster(connection, group_commit=group_commit)
            except Exception as error:  # noqa: BLE001  # it goes on below, as itself and not in a group
                failure = error
            tasks.cancel_scope.cancel()
    finally:
        await connection.close()
    if failure is not None:
        raise failure
