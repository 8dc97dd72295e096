"""The engines that connected runners offer and the state of the queue, refreshed in the background and on demand."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import anyio
import structlog
from msgspec.structs import replace

from penstock_domain.lease import HEARTBEAT_TTL_S
from penstock_domain.scheduling.capacity import Capacity
from penstock_domain.scheduling.preflight import preflight
from penstock_domain.scheduling.waiting import held_by, why
from penstock_ports import Heartbeats, PortError
from penstock_runtime.runtime import SYSTEM, Runtime
from penstock_schemas.api import Holder, Waiting
from penstock_schemas.views import Job, RunnerHeartbeat, SchedulerBeat, SlotHolder

INTERVAL_S: Final = 2.0
DEADLINE_S: Final = 2.0
FRESH_S: Final = 0.2
"""A result of this age is not read again."""

log = structlog.get_logger()


class EngineDirectory:
    """The runners that are alive."""

    def __init__(self, heartbeats: Heartbeats, *, runtime: Runtime = SYSTEM) -> None:
        self._runtime = runtime
        self._heartbeats = heartbeats
        self._versions: Mapping[str, tuple[str, ...]] | None = None
        self._runners: tuple[RunnerHeartbeat, ...] | None = None
        self._beat: SchedulerBeat | None = None
        self._received_at = -HEARTBEAT_TTL_S
        self._runner_at = self._runtime.monotonic()
        self._refreshed_at = -FRESH_S
        self._refreshing = anyio.Lock()

    @property
    def offered(self) -> AbstractSet[str] | None:
        """The engines that runners offer, empty when none is connected; `None` when it is not known."""
        return None if self._versions is None else self._versions.keys()

    @property
    def versions(self) -> Mapping[str, tuple[str, ...]] | None:
        """The versions of each engine that runners offer, in order; `None` when it is not known."""
        return self._versions

    def capacities(self, engine: str) -> tuple[Capacity, ...]:
        """Return what each connected runner has that offers an engine."""
        return tuple(
            Capacity(slots=runner.slots, cores=runner.cores, gpus=runner.gpus)
            for runner in self._runners or ()
            if engine in runner.engines
        )

    @property
    def without_runner_s(self) -> float:
        """How long no runner has sent a heartbeat, as far as this gateway has run for."""
        return self._runtime.monotonic() - self._runner_at

    @property
    def has_waiting_jobs(self) -> bool:
        """Whether the leading scheduler reports jobs that wait for a slot."""
        queue = None if self._beat is None else self._beat.queue
        return queue is not None and any(engine.waiting for engine in queue.engines.values())

    def waiting(self, job: Job, may_see: Callable[[SlotHolder], bool] | None = None) -> Waiting | None:
        """Return why a job waits; `None` when it does not, or when that is not known.

        Args:
            job: the job.
            may_see: whether the caller may see a job; without it, the answer names no holders.

        """
        delay_s = 0.0 if job.not_before is None else (job.not_before - self._runtime.now()).total_seconds()
        is_led = None if self._versions is None else self._beat is not None
        queue = None if self._beat is None else self._beat.queue
        waiting = why(job, queue, self.offered, delay_s, is_led=is_led)
        if waiting is None or may_see is None:
            return waiting
        holders, count = held_by(waiting, job, queue)
        visible = (
            Holder(id=held.job_id, owner=held.owner, runner_id=held.runner_id) for held in holders if may_see(held)
        )
        return replace(waiting, holders=tuple(visible), holder_count=count)

    def preflight(self, job: Job) -> tuple[str, ...]:
        """Return what a job declares and no connected runner provides, one sentence each."""
        source = job.spec.source
        return () if source is None or not source.declared else preflight(job, self._runners)

    @property
    def _is_fresh(self) -> bool:
        return self._runtime.monotonic() - self._refreshed_at <= FRESH_S

    async def offered_to(self, engine: str) -> AbstractSet[str] | None:
        """Return the offered engines, refreshed when `engine` is missing: its runner may just have come."""
        if engine not in (self._versions or ()) and not self._is_fresh:
            await self.refresh()
        return self.offered

    async def refresh(self) -> Mapping[str, tuple[str, ...]]:
        """Read the heartbeats, and return the versions of each engine that is offered.

        When they cannot be read, the last result is returned, for as long as a silent runner counts as alive.
        """
        async with self._refreshing:  # concurrent callers share one result
            if not self._is_fresh:
                await self._read_heartbeats()
                self._refreshed_at = self._runtime.monotonic()
        return self._versions or {}

    async def run(self) -> None:
        """Refresh periodically, without end."""
        while True:
            await self.refresh()
            await anyio.sleep(INTERVAL_S)

    async def _read_heartbeats(self) -> None:
        try:
            with anyio.fail_after(DEADLINE_S):
                beats = await self._heartbeats.runners()
                scheduler = await self._heartbeats.scheduler()
        except (PortError, TimeoutError) as error:
            log.debug("runners_not_known", reason=str(error))
            if self._runtime.monotonic() - self._received_at > HEARTBEAT_TTL_S:
                self._versions = self._beat = self._runners = None
            return
        self._beat = scheduler
        self._runners = tuple(beats.values())
        if beats:
            self._runner_at = self._runtime.monotonic()
        versions: dict[str, set[str]] = {}
        for beat in beats.values():
            for engine, version in beat.engines.items():
                versions.setdefault(engine, set()).add(version)
        self._versions = {engine: tuple(sorted(versions[engine])) for engine in sorted(versions)}
        self._received_at = self._runtime.monotonic()
