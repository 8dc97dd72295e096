"""The projector: folds the log into the jobs view exactly once, and publishes accepted events on the live feed.

Each write moves the view's checkpoint together with the jobs, on condition that nobody else moved it. So any number
of projectors may run: the view stays right, and only the work is done twice.

Live events are published before the write that passes them. An event is on the log when it is read, so it was accepted;
and one whose write failed is published again when the write is repeated. A subscriber recognises a repetition
by `Penstock-Seq`, the event's sequence in the log, which grows along each job.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Final

import anyio
import structlog

from penstock_domain.chain import Stored
from penstock_ports import Conflict, LogFull, PortError, TooLarge
from penstock_ports.cluster import ClusterPorts
from penstock_projector.core.projection import MAX_CACHED_JOBS, Projection, divided

RIVAL_PAUSE_S: Final = 1.0
"""How long to leave the field to another projector before trying again: it takes over from one that was killed."""
OUTAGE_PAUSE_S: Final = 0.5

BUSY_EVENTS: Final = 8
"""Events that were read at once: with more of them, the system is busy."""
BUSY_PAUSE_S: Final = 0.03
"""How long a busy projector collects events before the next write: a write costs the server a dozen file operations,
for one job or for hundreds."""

_log = structlog.get_logger("penstock_projector")


class Projector:
    """One projector process.

    Args:
        cluster: where the log and the view are.
        max_cached_jobs: how many unfinished jobs it keeps in memory.

    """

    def __init__(self, cluster: ClusterPorts, *, max_cached_jobs: int = MAX_CACHED_JOBS) -> None:
        self._cluster = cluster
        self._projection = Projection(max_cached_jobs)

    async def run(self, *, on_ready: Callable[[], None] = lambda: None) -> None:
        """Project for ever."""
        while True:
            self._projection.forget()
            try:
                checkpoint = await self._cluster.jobs.checkpoint()
                _log.info("projecting", after=checkpoint)
                on_ready()
                on_ready = _nothing
                await self._project(checkpoint)
            except Conflict:
                _log.info("rival_projector", pause_s=RIVAL_PAUSE_S)
                await anyio.sleep(RIVAL_PAUSE_S)
            except (LogFull, TooLarge) as full:
                _log.error("view_full", reason=str(full), hint="raise the view's max_bytes")
                await anyio.sleep(RIVAL_PAUSE_S)
            except PortError as outage:
                # The write may have been stored: the checkpoint decides.
                _log.warning("projection_interrupted", reason=str(outage))
                await anyio.sleep(OUTAGE_PAUSE_S)

    async def _project(self, checkpoint: int) -> None:
        async with aclosing(self._cluster.log.read(after=checkpoint)) as batches:
            async for batch in batches:
                for part in divided(batch):
                    checkpoint = await self._write(part, checkpoint)
                if len(batch) > BUSY_EVENTS:
                    await anyio.sleep(BUSY_PAUSE_S)

    async def _write(self, piece: Sequence[Stored], previous: int) -> int:
        await self._cluster.live.publish(piece)
        missing = self._projection.missing(piece)
        read = await self._cluster.jobs.get_many(missing) if missing else {}
        write = self._projection.fold(piece, read)
        await self._cluster.jobs.write(write.jobs, previous=previous, checkpoint=write.checkpoint)
        self._projection.written(write)
        return write.checkpoint


def _nothing() -> None:
    """Do nothing."""
