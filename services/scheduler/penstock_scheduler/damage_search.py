"""The search for aggregates whose last event is missing: their damage is recorded, so that what they hold can go on."""

from collections.abc import Sequence
from typing import Final

import anyio
import structlog

from penstock_ports import Conflict, LogFull, Unavailable
from penstock_ports.cluster import ClusterPorts
from penstock_runtime.runtime import Runtime
from penstock_scheduler.core.events import damage_report
from penstock_scheduler.core.leader import Leader
from penstock_scheduler.follower import Follower
from penstock_schemas.ids import EventId

APPEND_DEADLINE_S: Final = 5.0
PARALLEL_SEARCHES: Final = 16
RETRY_S: Final = 5.0
"""When a search is repeated that could not be completed."""

_log = structlog.get_logger("penstock_scheduler")


class DamageSearch:
    """Searches for missing events during one term."""

    def __init__(self, cluster: ClusterPorts, follower: Follower, *, holder: str, runtime: Runtime) -> None:
        self._log = cluster.log
        self._follower = follower
        self._holder = holder
        self._runtime = runtime
        self._searched: frozenset[int] = frozenset()
        """The missing events for which every aggregate was examined."""
        self._retry_at = 0.0

    @property
    def pause_s(self) -> float | None:
        """How long to wait before an incomplete search is repeated; `None` when none is."""
        if self._is_complete:
            return None
        return max(0.0, self._retry_at - self._runtime.monotonic())

    @property
    def _is_complete(self) -> bool:
        return self._searched.issuperset(self._follower.state.gaps)

    async def search_gaps(self, leader: Leader) -> None:
        """Examine every aggregate once for each event that the log is found to lack; repeat what failed later."""
        if self._is_complete or self._runtime.monotonic() < self._retry_at:
            return
        gaps = frozenset(self._follower.state.gaps)
        if await self.search(leader, leader.tracked()):
            self._searched |= gaps
        else:
            self._retry_at = self._runtime.monotonic() + RETRY_S

    async def search(self, leader: Leader, candidates: Sequence[str]) -> bool:
        """Find the aggregates that end with a missing event, and record that they are damaged.

        Their last event cannot be read, so no batch that appends to them could ever be stored.

        Returns:
            Whether every candidate could be examined.

        """
        waiting = iter(candidates)
        is_complete = True

        async def examine() -> None:
            nonlocal is_complete
            for aggregate in waiting:
                if not await self._report_if_missing(leader, aggregate):
                    is_complete = False

        async with anyio.create_task_group() as tasks:
            for _ in range(min(PARALLEL_SEARCHES, len(candidates))):
                tasks.start_soon(examine)
        return is_complete

    async def _report_if_missing(self, leader: Leader, aggregate: str) -> bool:
        try:
            tail = await self._log.tail(aggregate)
            lacking = leader.lacks(aggregate, tail)
            if lacking is None:
                return True
            head, seq = lacking
            event_id = EventId(self._runtime.new_id())
            actor = f"scheduler:{self._holder}"
            entry = damage_report(
                head, aggregate, seq, tail=tail, event_id=event_id, now=self._runtime.now(), actor=actor
            )
            (stored,) = await self._log.append([entry], deadline_s=APPEND_DEADLINE_S)
        except (Conflict, Unavailable, LogFull) as failure:
            _log.warning("damage_not_recorded", aggregate=aggregate, reason=str(failure))
            return False
        _log.error("aggregate_damaged", aggregate=aggregate, seq=seq, hint="see docs/how-to/repair-damage.md")
        await self._follower.reach(stored.seq)
        return True
