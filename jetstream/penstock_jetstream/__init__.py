"""The one place that talks to NATS: it fills the ports of `penstock_core.ports` with JetStream, and blobs with obstore.

`async with connect(NatsSettings(url=...)) as cluster:` gives `cluster.log`, `.jobs`, `.live`, `.tasks`, `.logs`,
`.heartbeats` and `.snapshots`; `embedded.EmbeddedServer` runs a server of our own.
"""

from penstock_jetstream.cluster import Cluster, connect
from penstock_jetstream.settings import NatsSettings

__all__ = ["Cluster", "NatsSettings", "connect"]
