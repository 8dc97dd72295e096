"""What the scheduler and the projector need of a cluster."""

from typing import Protocol

from penstock_ports import EventLog, Heartbeats, JobsView, LiveFeed, Snapshots


class ClusterPorts(Protocol):
    """The ports that both use; the JetStream cluster and the one in memory fill them."""

    @property
    def log(self) -> EventLog: ...  # noqa: D102 - the port documents it
    @property
    def jobs(self) -> JobsView: ...  # noqa: D102
    @property
    def live(self) -> LiveFeed: ...  # noqa: D102
    @property
    def heartbeats(self) -> Heartbeats: ...  # noqa: D102
    @property
    def snapshots(self) -> Snapshots: ...  # noqa: D102
