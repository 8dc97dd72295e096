"""The scheduler's shell: follows the log, waits as a standby, leads.

It does what `penstock_scheduler.core` decides and keeps nothing that is not a fold of the log, so it may be killed at
any point. Any number may run; one leads.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio
import structlog

from penstock_ports import LogFull, LogTruncated, PortError, Unavailable
from penstock_ports.cluster import ClusterPorts
from penstock_runtime.liveness import Liveness
from penstock_runtime.runtime import SYSTEM, Runtime
from penstock_scheduler.core.liveness import FailureDetector, LeaderWatch
from penstock_scheduler.core.state import GLOBAL_LIMIT, OWNER_LIMIT, SchedulerState
from penstock_scheduler.follower import Follower
from penstock_scheduler.leading import FULL_PAUSE_S, OUTAGE_PAUSE_S, End, Term

WATCH_EVERY_S: Final = 0.25
"""How often a standby looks for the leader's beat."""
SNAPSHOT_AT_STOP: Final = 1_000
"""With fewer events folded since the last snapshot none is saved at the end."""
STOP_DEADLINE_S: Final = 5.0

PROGRESS_S: Final = 60.0
"""Following the log, standing by and leading each take a step well within this, also while the log is unavailable."""

T = TypeVar("T")
_log = structlog.get_logger("penstock_scheduler")


class Scheduler:
    """One scheduler process.

    Args:
        cluster: where the log is.
        holder: its name in elections; no process ever had the same.
        max_running: the wanted bound on running jobs; 0 for none, `None` to leave it as the log has it.
        max_running_per_owner: the same for each owner's running jobs.
        liveness: learns that it makes progress.
        runtime: the clocks and the source of ids.

    """

    def __init__(
        self,
        cluster: ClusterPorts,
        *,
        holder: str,
        max_running: int | None = None,
        max_running_per_owner: int | None = None,
        liveness: Liveness | None = None,
        runtime: Runtime = SYSTEM,
    ) -> None:
        self._cluster = cluster
        self._runtime = runtime
        self._holder = holder
        wanted = {GLOBAL_LIMIT: max_running, OWNER_LIMIT: max_running_per_owner}
        self._limits = {name: slots or None for name, slots in wanted.items() if slots is not None}
        self._liveness = liveness or Liveness()
        self._follower = Follower(cluster.log, cluster.snapshots, on_progress=self._note_progress)

    @property
    def state(self) -> SchedulerState:
        """The fold of the log so far."""
        return self._follower.state

    async def run(
        self, *, on_ready: Callable[[], None] = lambda: None, on_elected: Callable[[int], None] = lambda _: None
    ) -> None:
        """Schedule for ever. When cancelled, it leaves its place to a standby and saves a snapshot.

        Args:
            on_ready: called once the log is folded: from then on it is a standby.
            on_elected: called with the term whenever it becomes the leader.

        """
        follower = self._follower
        await follower.restore()
        await self._insist(follower.require_whole_log)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follower.follow)
                await self._catch_up()
                _log.info("caught_up", seq=self.state.seq, jobs=len(self.state.jobs))
                on_ready()
                watch = LeaderWatch()
                while True:
                    await self._stand_by(watch)
                    await self._lead(on_elected)
                    watch.expect(now=self._runtime.monotonic())
        finally:
            with anyio.move_on_after(STOP_DEADLINE_S, shield=True):
                if self.state.seq - follower.saved_seq >= SNAPSHOT_AT_STOP:
                    await follower.save()

    async def _stand_by(self, watch: LeaderWatch) -> None:
        """Return when the leader's place is free."""
        lease_seq = self.state.lease.head.seq
        while True:
            self._note_progress()
            now = self._runtime.monotonic()
            if lease_seq != self.state.lease.head.seq:
                lease_seq = self.state.lease.head.seq
                watch.expect(now=now)
            try:
                if watch.is_vacant(await self._cluster.heartbeats.scheduler(), now=now):
                    return
            except Unavailable:
                watch.expect(now=self._runtime.monotonic())
            await anyio.sleep(WATCH_EVERY_S)

    async def _lead(self, on_elected: Callable[[int], None]) -> None:
        """Lead until deposed. After an unknown outcome it starts another election, unless another scheduler leads."""
        while True:
            await self._catch_up()
            before = self.state.lease.head.seq
            term = Term(
                self._cluster,
                self._follower,
                holder=self._holder,
                limits=self._limits,
                failure_detector=FailureDetector(),
                on_progress=self._note_progress,
                runtime=self._runtime,
            )
            try:
                end = await term.lead(on_elected=on_elected)
            except LogFull as full:
                _log.error("log_full", reason=str(full), hint="raise the log's max_bytes")
                await anyio.sleep(FULL_PAUSE_S)
                return
            except Unavailable as outage:
                _log.warning("not_elected", reason=str(outage))
                end = End.UNKNOWN_OUTCOME
            if end is End.DEPOSED:
                return
            await self._catch_up()
            if self.state.lease.head.seq != before and self.state.lease.holder != self._holder:
                return

    def _note_progress(self) -> None:
        self._liveness.progress("scheduling", within_s=PROGRESS_S)

    async def _catch_up(self) -> None:
        await self._follower.reach(await self._insist(self._cluster.log.last_seq))

    async def _insist(self, request: Callable[[], Awaitable[T]]) -> T:
        """Repeat a request until it is answered."""
        while True:
            self._note_progress()
            try:
                return await request()
            except LogTruncated:
                raise
            except PortError as outage:
                _log.warning("waiting_for_the_log", reason=str(outage))
                await anyio.sleep(OUTAGE_PAUSE_S)
