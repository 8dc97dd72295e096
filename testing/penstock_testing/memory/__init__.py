"""The ports filled with dictionaries: for tests and for simulations that must run the same way every time.

They keep the promises of the real adapters, and the same contract tests run against both. There are no threads, and
time matters only where somebody waits or a heartbeat grows old.
"""

from collections.abc import Callable

from penstock_ports import ClusterStatus
from penstock_runtime.runtime import SYSTEM
from penstock_testing.memory.blobs import MemoryBlobs
from penstock_testing.memory.jobs import MemoryJobs
from penstock_testing.memory.liveness import MemoryHeartbeats
from penstock_testing.memory.log import MemoryLog
from penstock_testing.memory.plans import MemoryPlans
from penstock_testing.memory.progress import MemoryLive, MemoryLogTail, MemoryTasks
from penstock_testing.memory.snapshots import MemorySnapshots
from penstock_testing.memory.work_files import MemoryWorkFiles

__all__ = [
    "MemoryBlobs",
    "MemoryCluster",
    "MemoryHeartbeats",
    "MemoryJobs",
    "MemoryLive",
    "MemoryLog",
    "MemoryLogTail",
    "MemoryPlans",
    "MemorySnapshots",
    "MemoryTasks",
    "MemoryWorkFiles",
]


class MemoryCluster:
    """Everything that a service connects to, in one process.

    Args:
        max_bytes: what the log may take; `log.max_bytes` can be changed at any time.
        clock: seconds, for the age of heartbeats.

    """

    def __init__(self, *, max_bytes: int = 1 << 40, clock: Callable[[], float] = SYSTEM.monotonic) -> None:
        self.log = MemoryLog(max_bytes=max_bytes)
        self.jobs = MemoryJobs()
        self.live = MemoryLive()
        self.tasks = MemoryTasks()
        self.logs = MemoryLogTail()
        self.heartbeats = MemoryHeartbeats(clock=clock)
        self.snapshots = MemorySnapshots()
        self.plans = MemoryPlans()
        self.work_files = MemoryWorkFiles()

    async def status(self) -> ClusterStatus:
        """Return the health that a real cluster would report."""
        return ClusterStatus(
            server_version="memory",
            messages=await self.log.last_seq(),
            stored_bytes=self.log.stored_bytes,
            max_bytes=self.log.max_bytes,
            last_seq=await self.log.last_seq(),
            replicas=1,
        )
