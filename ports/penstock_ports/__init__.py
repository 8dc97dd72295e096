"""The ports: what the services need from outside, as Protocols in domain terms.

`penstock_jetstream` implements them with JetStream and obstore, `penstock_testing.memory` in memory. The same contract
tests run against both. A port raises only the exceptions of `failures`.
"""

from penstock_ports.blobs import BLOB_PIECE_BYTES, BlobInfo, Blobs, BlobStream, WrittenBlob
from penstock_ports.failures import (
    BlobMissing,
    BlobsUnavailable,
    Conflict,
    Fenced,
    LogFull,
    LogTruncated,
    PortError,
    PositionLost,
    TooLarge,
    Unavailable,
    Unreadable,
)
from penstock_ports.liveness import Heartbeats, PlanAnswer, Plans
from penstock_ports.log import (
    MAX_APPEND_BYTES,
    MAX_APPEND_ENTRIES,
    MAX_EVENT_BYTES,
    MAX_READ_EVENTS,
    AppendEntry,
    ClusterStatus,
    EventLog,
    Fence,
    LiveFeed,
    LogStatusSource,
)
from penstock_ports.progress import LogTail, TaskPage, TaskStore
from penstock_ports.views import JobsView, Snapshots

__all__ = [
    "BLOB_PIECE_BYTES",
    "MAX_APPEND_BYTES",
    "MAX_APPEND_ENTRIES",
    "MAX_EVENT_BYTES",
    "MAX_READ_EVENTS",
    "AppendEntry",
    "BlobInfo",
    "BlobMissing",
    "BlobStream",
    "Blobs",
    "BlobsUnavailable",
    "ClusterStatus",
    "Conflict",
    "EventLog",
    "Fence",
    "Fenced",
    "Heartbeats",
    "JobsView",
    "LiveFeed",
    "LogFull",
    "LogStatusSource",
    "LogTail",
    "LogTruncated",
    "PlanAnswer",
    "Plans",
    "PortError",
    "PositionLost",
    "Snapshots",
    "TaskPage",
    "TaskStore",
    "TooLarge",
    "Unavailable",
    "Unreadable",
    "WrittenBlob",
]
