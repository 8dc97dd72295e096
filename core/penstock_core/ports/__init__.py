"""What the services need from the outside, in the domain's words.

`penstock_jetstream` fills these with JetStream and obstore, `penstock_core.memory` with dictionaries; the same contract
tests run against both. A failure leaves a port as one of the exceptions in `failures` and as nothing else.
"""

from penstock_core.ports.blobs import BLOB_PIECE_BYTES, BlobInfo, Blobs, BlobStream, WrittenBlob
from penstock_core.ports.failures import (
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
from penstock_core.ports.liveness import HEARTBEAT_TTL_S, Heartbeats, PlanAnswer, Plans
from penstock_core.ports.log import (
    MAX_APPEND_BYTES,
    MAX_APPEND_ENTRIES,
    MAX_EVENT_BYTES,
    MAX_READ_EVENTS,
    ClusterStatus,
    Entry,
    EventLog,
    Fence,
    LiveFeed,
    LogStatusSource,
)
from penstock_core.ports.progress import LogTail, TaskBoard, TaskPage
from penstock_core.ports.views import JobsView, Snapshots

__all__ = [
    "BLOB_PIECE_BYTES",
    "HEARTBEAT_TTL_S",
    "MAX_APPEND_BYTES",
    "MAX_APPEND_ENTRIES",
    "MAX_EVENT_BYTES",
    "MAX_READ_EVENTS",
    "BlobInfo",
    "BlobMissing",
    "BlobStream",
    "Blobs",
    "BlobsUnavailable",
    "ClusterStatus",
    "Conflict",
    "Entry",
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
    "TaskBoard",
    "TaskPage",
    "TooLarge",
    "Unavailable",
    "Unreadable",
    "WrittenBlob",
]
