"""Single jobs: reads that are at least as new as requested, and commands."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import anyio
from msgspec import Struct

from penstock_domain import aggregates
from penstock_domain.access import (
    JobVisibility,
    actor_of,
    may_see,
    needed_to_cancel,
    needed_to_close,
    needed_to_hold,
    require_role,
)
from penstock_domain.chain import Stored
from penstock_domain.deciders import JOB
from penstock_domain.job.errors import UnknownJob
from penstock_domain.job.evolve import fold
from penstock_gateway.http.problems import Hidden
from penstock_gateway.index.change_notifier import ChangeNotifier
from penstock_gateway.index.index import Index
from penstock_gateway.jobs.log_end import require_reached
from penstock_ports import EventLog, PortError, TaskStore
from penstock_runtime.command_handler import CommandHandler, Target
from penstock_runtime.runtime import Runtime
from penstock_schemas.access import Principal, Role
from penstock_schemas.commands import CancelJob, CloseJob, HoldJob, JobCommand, ReleaseJob
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.jobs import JobState, TaskCounts
from penstock_schemas.views import Job

LOOK_AGAIN_S: Final = 1.0
"""A long-poll looks into the log this often, also when nothing woke it."""
NOWHERE: Final = JobId("00000000-0000-0000-0000-000000000000")
"""No job ever has this id."""
COUNTS_S: Final = 0.05
"""The live counts of a running job are left out when they take longer than this."""


class History(Struct, frozen=True):
    """A part of a job's events."""

    events: tuple[Stored, ...]
    is_over: bool
    """Whether the job is over and these are its last events."""


class Family(Struct, frozen=True, kw_only=True):
    """The jobs around a job that retries and reruns made."""

    is_parent_deleted: bool | None
    """`None`: it has no parent, or this is not known to the caller."""
    children: tuple[Job, ...]
    """The newest first."""


class HiddenJob(UnknownJob, Hidden):
    """The job exists, but the caller must not learn this."""


class DeletedJob(UnknownJob):
    """There was such a job; it was deleted."""


class Jobs:
    """Queries of jobs and commands to them."""

    def __init__(
        self,
        *,
        visibility: JobVisibility,
        log: EventLog,
        tasks: TaskStore,
        index: Index,
        watchers: ChangeNotifier,
        runtime: Runtime,
    ) -> None:
        self._visibility = visibility
        self._log = log
        self._commands = CommandHandler(log, runtime=runtime)
        self._tasks = tasks
        self._index = index
        self._watchers = watchers
        self._runtime = runtime

    def is_visible(self, principal: Principal, tenant: TenantId, owner: str) -> bool:
        """Return whether a principal may see a job of `owner` in `tenant`."""
        return may_see(principal, tenant, owner, self._visibility)

    async def get(self, principal: Principal, job_id: JobId, *, min_seq: int = 0) -> Job:
        """Return a job, at least as it was at `min_seq`.

        Raises:
            UnknownJob: there is no such job, or none that `principal` sees.
            BeyondLog: the log does not reach `min_seq`.
            Unavailable: it does not answer.

        """
        job = self._index.get(job_id)
        if job is not None and job.deleted_at is None and self.is_visible(principal, job.tenant, job.spec.owner):
            is_fresh = job.head.seq >= min_seq or self._index.covered >= min_seq
            if job.state.is_terminal or (is_fresh and not self._index.is_behind):
                return job
        if min_seq:
            await require_reached(self._log, min_seq)
        job = await self.load(principal, job_id)
        self._index.put(job)
        return job

    async def load(self, principal: Principal, job_id: JobId, *, with_deleted: bool = False) -> Job:
        """Return a job as the log has it now.

        Raises:
            UnknownJob: there is no such job, or none that `principal` sees.
            Unavailable: the log does not answer.

        """
        job, _ = await self._load(principal, job_id, with_deleted=with_deleted)
        return job

    def lineage(self, principal: Principal, job: Job) -> Family:
        """Return the jobs from which a job follows, and those that follow from it, as far as they are known here."""
        lineage = job.spec.lineage
        parent = None if lineage is None else self._index.get(lineage.parent)
        is_known = parent is not None and self.is_visible(principal, parent.tenant, parent.spec.owner)
        children = self._index.children(job.tenant, job.id)
        return Family(
            is_parent_deleted=parent.deleted_at is not None if is_known and parent is not None else None,
            children=tuple(one for one in children if self.is_visible(principal, one.tenant, one.spec.owner)),
        )

    async def counts(self, job: Job) -> TaskCounts:
        """Return how far a job is: live while it runs, where that is quickly known."""
        if job.state not in (JobState.RUNNING, JobState.CANCELLING):
            return job.tasks
        counts: TaskCounts | None = None
        try:
            with anyio.move_on_after(COUNTS_S):
                counts = await self._tasks.counts(job.tenant, job.id)
        except PortError:
            pass  # best effort: the job itself is still right
        return job.tasks if counts is None else counts

    async def cancel(self, principal: Principal, job_id: JobId, *, reason: str | None) -> Job:
        """End a job in any state; nothing happens when it already ends for that reason.

        Raises:
            UnknownJob: there is no such job, or none that `principal` sees.
            Forbidden: `principal` may not cancel it.
            JobEnded: it is over, in another way.
            Conflict, LogFull, Unavailable: as `EventLog.append`.

        """
        action = f"cancel job {job_id}"
        return await self._perform(
            principal, job_id, lambda now: CancelJob(now=now, reason=reason), role_for=needed_to_cancel, action=action
        )

    async def hold(self, principal: Principal, job_id: JobId, *, reason: str | None) -> Job:
        """Keep a waiting job from being started; nothing happens when it is held already.

        Raises:
            UnknownJob: there is no such job, or none that `principal` sees.
            Forbidden: `principal` may not hold it.
            NotQueued, JobEnded: it does not wait.
            Conflict, LogFull, Unavailable: as `EventLog.append`.

        """
        action = f"hold job {job_id}"
        return await self._perform(
            principal, job_id, lambda now: HoldJob(now=now, reason=reason), role_for=needed_to_hold, action=action
        )

    async def release(self, principal: Principal, job_id: JobId) -> Job:
        """Let a held job wait for a slot again; nothing happens when it does already.

        Raises:
            UnknownJob, Forbidden, NotQueued, JobEnded, Conflict, LogFull, Unavailable: as `hold`.

        """
        action = f"release job {job_id}"
        return await self._perform(
            principal, job_id, lambda now: ReleaseJob(now=now), role_for=needed_to_hold, action=action
        )

    async def close(self, principal: Principal, job_id: JobId, *, reason: str | None) -> Job:
        """End a job whose events are damaged; its slot is free from then on.

        Raises:
            UnknownJob: there is no such job, or none that `principal` sees.
            Forbidden: `principal` may not close it.
            NotDamaged: its events are not damaged.
            Conflict, LogFull, Unavailable: as `EventLog.append`.

        """
        action = f"close job {job_id}"
        return await self._perform(
            principal, job_id, lambda now: CloseJob(now=now, reason=reason), role_for=needed_to_close, action=action
        )

    async def _perform(
        self,
        principal: Principal,
        job_id: JobId,
        command: Callable[[datetime], JobCommand],
        *,
        role_for: Callable[[Principal, TenantId, str], Role],
        action: str,
    ) -> Job:
        """Perform a command on a job; nothing happens when its effect is there already."""

        async def locate() -> Target[Job]:
            job = await self.load(principal, job_id)
            require_role(principal, role_for(principal, job.tenant, job.spec.owner), action)
            return Target(aggregates.job(job.tenant, job_id), job)

        handled = await self._commands.handle_at(JOB, locate, lambda _, now: command(now), actor=actor_of(principal))
        assert handled.state is not None, "a command on an existing job leaves a job"
        if handled.events:
            self._index.put(handled.state)
        return handled.state

    async def history(self, principal: Principal, job_id: JobId, *, after: int, wait_s: float, limit: int) -> History:
        """Return the events of a job above `after`; when there is none, wait up to `wait_s` for the first.

        Raises:
            UnknownJob: there is no such job, or none that `principal` sees.
            Unavailable: the log does not answer.

        """
        deadline = self._runtime.monotonic() + wait_s
        while True:
            changed = self._watchers.next(job_id)
            job, stored = await self._load(principal, job_id, with_deleted=principal.role is Role.ADMIN)
            later = tuple(event for event in stored if event.seq > after)
            left_s = deadline - self._runtime.monotonic()
            if later or job.state.is_terminal or left_s <= 0 or self._watchers.is_draining:
                events = later[:limit]
                return History(events, job.state.is_terminal and len(events) == len(later))
            await self._watchers.wait(changed, min(left_s, LOOK_AGAIN_S))

    async def _load(self, principal: Principal, job_id: JobId, *, with_deleted: bool) -> tuple[Job, tuple[Stored, ...]]:
        """Return a job with its events.

        A job that is known here and hidden from `principal` is looked for where nothing ever is: its refusal takes the
        work that an unknown one takes, so that the response time reveals nothing.
        """
        known = self._index.get(job_id)
        is_hidden = known is not None and not self.is_visible(principal, known.tenant, known.spec.owner)
        tenant = principal.tenant if known is None or is_hidden else known.tenant
        stored = await self._log.load(aggregates.job(tenant, NOWHERE if is_hidden else job_id))
        if not stored and known is None and principal.role is Role.ADMIN:
            found = await self._index.read_view(job_id)  # of another tenant, and so new that it is not here yet
            stored = () if found is None else await self._log.load(aggregates.job(found.tenant, job_id))
        job = fold(stored)
        if job is None or not self.is_visible(principal, job.tenant, job.spec.owner):
            raise (UnknownJob if job is None and not is_hidden else HiddenJob)(f"job {job_id} was not found")
        if job.deleted_at is not None and not with_deleted:
            raise DeletedJob(f"job {job_id} was deleted at {job.deleted_at:%Y-%m-%d %H:%M:%S} UTC")
        return job, stored
