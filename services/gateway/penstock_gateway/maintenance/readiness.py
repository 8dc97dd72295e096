"""Whether this server can do its work, and why not: looked after in the background, answered at once."""

from pathlib import Path
from typing import Final, Protocol

import anyio
import anyio.to_thread
import structlog
from msgspec import Struct

from penstock_domain.quantities import counted
from penstock_gateway.index.change_notifier import ChangeNotifier
from penstock_gateway.jobs.engine_directory import EngineDirectory
from penstock_gateway.maintenance.capacity import ObservedLog, fault_of_log, faults_of_disks
from penstock_ports import ClusterStatus, Heartbeats, JobsView, PortError
from penstock_runtime.background import BackgroundTasks
from penstock_runtime.runtime import SYSTEM

INTERVAL_S: Final = 1.0
DEADLINE_S: Final = 2.0
DISK_HUNG: Final = "a disk that the gateway writes to does not answer"
BEHIND_S: Final = 5.0
"""What was written here and is not in the view after this long means that the projector does not do its work."""

log = structlog.get_logger()


class IndexState(Protocol):
    """What readiness needs to know of the index."""

    is_behind: bool
    """Whether what this gateway wrote has been missing from the view for longer than `BEHIND_S`."""

    @property
    def is_loaded(self) -> bool:
        """Whether it has everything that was there at the start."""
        ...

    @property
    def own_seq(self) -> int:
        """The last sequence that this gateway wrote."""
        ...


class ReadinessPorts(Protocol):
    """Reports the state of the log."""

    async def status(self) -> ClusterStatus: ...  # noqa: D102


class ReadinessPolicy(Struct, frozen=True, kw_only=True):
    """What readiness depends on besides the log."""

    folders: tuple[Path, ...] = ()
    """Their disks must have room."""
    needs_runner_s: int = 0
    """How long no runner may have sent a heartbeat while work waits; 0: for ever."""


class Readiness:
    """The reasons why the server is not ready."""

    def __init__(
        self,
        *,
        cluster: ReadinessPorts,
        event_log: ObservedLog,
        view: JobsView,
        index: IndexState,
        watchers: ChangeNotifier,
        heartbeats: Heartbeats,
        background: BackgroundTasks,
        engine_directory: EngineDirectory,
        policy: ReadinessPolicy,
    ) -> None:
        self._cluster = cluster
        self._engine_directory = engine_directory
        self._policy = policy
        self._full: list[str] = []
        self._is_looking = False
        self._disk_threads = anyio.CapacityLimiter(1)  # others may have taken every common thread
        self._log = event_log
        self._view = view
        self._index = index
        self._watchers = watchers
        self._heartbeats = heartbeats
        self._background = background
        self._damaged = 0
        self._log_fault: str | None = "the event log was not checked yet"
        self._unseen: tuple[int, float] | None = None

    def reasons(self) -> list[str]:
        """Return why the server is not ready; nothing when it is."""
        reasons: list[str] = []
        if self._watchers.is_draining:
            reasons.append("the server is shutting down")
        if self._log_fault is not None:
            reasons.append(self._log_fault)
        if not self._index.is_loaded:
            reasons.append("the list of jobs is still being loaded")
        if self._index.is_behind:
            reasons.append("the list of jobs is behind the log: the projector does not keep up or does not run")
        reasons += self._full
        needs_runner_s = self._policy.needs_runner_s
        if (
            needs_runner_s
            and self._engine_directory.has_waiting_jobs
            and self._engine_directory.without_runner_s > needs_runner_s
        ):
            silent_s = self._engine_directory.without_runner_s
            reasons.append(f"work waits, and no runner has sent a heartbeat for {silent_s:.0f} s: start a runner")
        reasons += [str(fault) for fault in self._background.faults() if fault.is_essential]
        return reasons

    def warnings(self) -> list[str]:
        """Return what does not work although requests are answered."""
        warnings = [str(fault) for fault in self._background.faults() if not fault.is_essential]
        if self._damaged:
            events = f"{counted(self._damaged, 'event')} of the log {'is' if self._damaged == 1 else 'are'}"
            warnings.append(f"{events} damaged: 'penstock doctor' lists the damage")
        return warnings

    async def refresh(self) -> None:
        """Look once."""
        fault: str | None = "the event log does not answer"
        full: str | None = None
        try:
            with anyio.move_on_after(DEADLINE_S):
                await self._log.last_seq(deadline_s=DEADLINE_S)
                full = fault_of_log(await self._cluster.status(), self._log.refusal)
                fault = None
                await self._look_at_view()
                beat = await self._heartbeats.scheduler()
                self._damaged = self._damaged if beat is None else beat.damaged
        except PortError as error:
            fault = f"the event log does not answer ({error})" if fault else f"the jobs view does not answer ({error})"
        self._index.is_behind = self._unseen is not None and SYSTEM.monotonic() - self._unseen[1] > BEHIND_S
        full_disks = await self._look_at_disks()
        faults = full_disks if full is None else [full, *full_disks]
        if faults != self._full:
            log.info("readiness_of_storage", reasons=faults)
        self._full = faults
        if fault != self._log_fault:
            log.info("readiness", reason=fault)
        self._log_fault = fault

    async def _look_at_disks(self) -> list[str]:
        """Return which disks are full; one that does not answer in time is hung, and its thread is left to itself."""
        if self._is_looking:
            return [DISK_HUNG]
        self._is_looking = True

        def look() -> list[str]:
            try:
                return faults_of_disks(self._policy.folders)
            finally:
                self._is_looking = False

        with anyio.move_on_after(DEADLINE_S):
            return await anyio.to_thread.run_sync(look, abandon_on_cancel=True, limiter=self._disk_threads)
        return [DISK_HUNG]

    async def run(self) -> None:
        """Keep looking, for ever."""
        while True:
            await self.refresh()
            await anyio.sleep(INTERVAL_S)

    async def _look_at_view(self) -> None:
        """Note since when the last own write of that time is not in the view."""
        checkpoint = await self._view.checkpoint()
        if self._unseen is not None and checkpoint < self._unseen[0]:
            return
        own_seq = self._index.own_seq
        self._unseen = (own_seq, SYSTEM.monotonic()) if checkpoint < own_seq else None
