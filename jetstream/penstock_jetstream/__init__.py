"""The only package that uses NATS: it fills the ports of `penstock_ports` with JetStream, and blobs with obstore.

`async with connect(NatsSettings(url=...)) as cluster:` gives `cluster.log`, `.jobs`, `.live`, `.tasks`, `.logs`,
`.heartbeats` and `.snapshots`; `embedded.EmbeddedServer` runs a separate server.
"""

from typing import TYPE_CHECKING, Any

from penstock_jetstream.settings import NatsSettings

if TYPE_CHECKING:
    from penstock_jetstream.cluster import Cluster, connect

__all__ = ["Cluster", "NatsSettings", "connect"]


def __getattr__(name: str) -> Any:  # Any: the protocol of modules
    """Import the client when it is first used: this takes half a second, which a server process saves."""
    if name in ("Cluster", "connect"):
        from penstock_jetstream import cluster

        return getattr(cluster, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
