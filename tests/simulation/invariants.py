"""What must hold after each step, and at the end. Each has a name, which a failure shows."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from penstock_domain import aggregates
from penstock_domain.chain import BrokenChain, Stored, following, verify
from penstock_domain.damage import is_unreadable
from penstock_domain.job.evolve import evolve
from penstock_ports import WrittenBlob
from penstock_scheduler.core.replay import check_decisions
from penstock_scheduler.core.snapshots import encode_state
from penstock_scheduler.core.state import SchedulerState, fold
from penstock_schemas.events import (
    AttemptStarted,
    JobAssigned,
    JobCancelled,
    JobClosed,
    JobCompleted,
    JobDeleted,
    JobFailed,
    JobRequeued,
    JobSubmitted,
    RecordDamaged,
)
from penstock_schemas.ids import DEFAULT_TENANT, JobId, RunnerId
from penstock_schemas.jobs import JobState
from penstock_schemas.views import EMPTY_HEAD, Head, Job

RETENTION_ACTOR: Final = "system:retention"
START: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEPT: Final = timedelta(days=30)
CLOCK_ERROR: Final = timedelta(hours=1)
"""No simulated clock is off by more."""


class Violated(AssertionError):
    """An invariant does not hold; the message begins with its name."""


def require(condition: bool, name: str, detail: object = "") -> None:
    if not condition:
        raise Violated(f"{name}: {detail}")


class Invariants:
    """Watches the log as it is stored, and the work as it is done."""

    def __init__(self) -> None:
        self.state = SchedulerState()
        self.jobs: dict[str, Job] = {}
        self.ended: dict[str, int] = {}
        self.working: dict[JobId, tuple[RunnerId, int]] = {}
        self.begun: set[JobId] = set()
        self._now = START
        self._deleted_at: dict[str, datetime] = {}
        """When the server stored the deletion of each deleted job."""
        self.broken: set[str] = set()
        """The aggregates that lack an event: what follows does not fit, and every fold notices it."""
        self._heads: dict[str, Head] = {}
        self._jobs_of_key: dict[tuple[str, str | None], list[str]] = {}

    def stored(self, batch: Sequence[Stored], now: datetime) -> None:
        """Check what one append added at the time `now` of the server."""
        self._now = now
        for stored in batch:
            self._check_chain(stored)
            self._check_job(stored)
        self.state.apply_all(batch)
        if batch[0].event.aggregate == aggregates.SCHEDULER_CYCLE:
            self._check_limits()

    def work_begins(self, job_id: JobId, runner_id: RunnerId, attempt: int) -> None:
        """An attempt's process starts."""
        require(
            job_id not in self.working,
            "no two attempts at the same time",
            f"{(runner_id, attempt)} begins while {self.working.get(job_id)} runs",
        )
        once = not self.jobs[aggregates.job(DEFAULT_TENANT, job_id)].can_requeue
        require(not (once and job_id in self.begun), "what must not be begun twice is not", (job_id, attempt))
        self.working[job_id] = (runner_id, attempt)
        self.begun.add(job_id)

    def work_ends(self, job_id: JobId) -> None:
        """Its process is gone, for any reason."""
        self.working.pop(job_id, None)

    def _check_chain(self, stored: Stored) -> None:
        aggregate = stored.event.aggregate
        head = self._heads.get(aggregate, EMPTY_HEAD)
        if is_unreadable(stored) or aggregate in self.broken:
            self._heads[aggregate] = following(head, stored)
            return
        try:
            verify([stored], after=head)
        except BrokenChain as error:
            raise Violated(f"the chain of hashes is whole: {error}") from error
        self._heads[aggregate] = stored.head

    def _check_job(self, stored: Stored) -> None:
        aggregate, data = stored.event.aggregate, stored.event.data
        if not aggregate.startswith("job."):
            return
        before = self.jobs.get(aggregate)
        if isinstance(data, JobDeleted):
            require(aggregate in self.ended, "only what ended is deleted", (aggregate, data))
            require(before is not None and before.deleted_at is None, "a job is deleted once", (aggregate, data))
            self._check_retention(stored, before)
            self._deleted_at[aggregate.rpartition(".")[2]] = self._now
        elif not isinstance(data, RecordDamaged | JobClosed):
            require(aggregate not in self.ended, "a job ends once", (aggregate, data))
        if isinstance(data, AttemptStarted | JobCompleted | JobFailed | JobRequeued) or (
            isinstance(data, JobCancelled) and data.runner_id is not None
        ):
            held = before is not None and before.state.holds_slot
            is_current = before is not None and (before.attempt, before.runner_id) == (data.attempt, data.runner_id)
            require(held and is_current, "stale attempts are refused", (before, data))
        if isinstance(data, JobAssigned):
            is_waiting = before is not None and before.state is JobState.QUEUED
            require(is_waiting, "only what waits is assigned", (before, data))
        if isinstance(data, JobSubmitted):
            require(before is None, "a job is submitted once", data)
            self._check_key(data)
        after = evolve(before, stored)
        assert after is not None
        self.jobs[aggregate] = after
        if after.state.is_terminal and after.damage is None:
            self.ended.setdefault(aggregate, stored.seq)

    def _check_retention(self, stored: Stored, job: Job | None) -> None:
        if stored.event.actor == RETENTION_ACTOR and job is not None and job.completed_at is not None:
            kept_for = stored.event.time - job.completed_at
            require(kept_for >= KEPT - CLOCK_ERROR, "retention deletes only what is old", (job.id, kept_for))

    def _check_key(self, data: JobSubmitted) -> None:
        key = (data.spec.owner, data.spec.idempotency_key)
        if data.spec.idempotency_key is None:
            return
        earlier = self._jobs_of_key.setdefault(key, [])
        kept = [name for name in earlier if self.jobs[name].deleted_at is None]
        require(not kept, "an idempotency key makes one job at a time", (key, kept))
        earlier.append(aggregates.job(data.tenant, data.job_id))

    def _check_limits(self) -> None:
        state = self.state
        limit, limit_of_owner = state.limit("global"), state.limit("owner")
        if limit is not None:
            require(state.slots_used <= limit, "limits are never exceeded", f"{state.slots_used} of {limit}")
        if limit_of_owner is not None:
            require(
                all(n <= limit_of_owner for n in state.slots_used_by.values()),
                "limits are never exceeded",
                state.slots_used_by,
            )
        for runner in state.runners.values():
            if not runner.state.is_over:
                require(state.free_slots(runner) >= 0, "a runner never gets more than it has slots for", runner)
            held = [gpu for name in state.jobs_by_runner.get(runner.id, ()) for gpu in state.jobs[name].life.gpus]
            require(len(held) == len(set(held)), "a GPU belongs to one job at a time", (runner, held))
            if not runner.state.is_over:
                require(set(held) <= set(runner.gpus), "a job has only GPUs of its runner", (runner, held))

    def check_end(self, history: Sequence[Stored], view: dict[str, Job], published: set[int]) -> None:
        """Check what must hold when everything has come to rest."""
        waiting = [job for name, job in self.jobs.items() if name not in self.ended]
        require(not waiting, "every job ends", waiting)
        require(not self.working, "nothing runs on", self.working)
        state = self.state
        require(
            (state.slots_used, state.jobs_by_runner, len(state.queue)) == (0, {}, 0),
            "no slot leaks",
            state.jobs_by_runner,
        )
        require(
            not (state.orphaned_jobs or state.pending_stops), "no slot leaks", state.orphaned_jobs | state.pending_stops
        )
        require(encode_state(fold(history)) == encode_state(state), "replay equals live")
        differences = list(check_decisions(history))
        require(not differences, "recorded decisions follow from the log", differences[:1])
        require(view == self.jobs, "the view equals the fold", [n for n in self.jobs if view.get(n) != self.jobs[n]])
        accepted = {item.seq for item in history}
        require(published <= accepted, "only accepted events are published", published - accepted)
        unread = {stored.seq for stored in history if is_unreadable(stored)}
        of_jobs = {item.seq for item in history if item.event.aggregate.startswith("job.")}
        require(of_jobs <= published | unread, "every event of a job is published", of_jobs - published - unread)

    def check_files(self, files: Sequence[WrittenBlob]) -> None:
        """Check that deleted jobs have no files, and that retention deleted what is old.

        A file that arrived after the deletion is left to the sweeper.
        """
        deleted = self._deleted_at
        left = [file.key for file in files if file.written_at < deleted.get(file.key.split("/")[1], START)]
        require(not left, "the files of deleted jobs are removed", left)
        require(not self.kept_too_long, "retention deletes what is old", self.kept_too_long)

    @property
    def kept_too_long(self) -> list[JobId]:
        """The jobs that retention has to delete."""
        return [
            job.id
            for job in self.jobs.values()
            if job.completed_at is not None and job.completed_at < START - KEPT and job.deleted_at is None
        ]

    def check_state(self, history: Sequence[Stored], state: SchedulerState) -> None:
        """Check the state that a scheduler reached from a snapshot or from the beginning of the log."""
        is_equal = encode_state(fold(history[: state.seq])) == encode_state(state)
        require(is_equal, "a scheduler's state is the fold of the log", state.seq)


def view_of(jobs: Sequence[Job]) -> dict[str, Job]:
    """The view as the invariants keep it."""
    return {aggregates.job(job.tenant, job.id): job for job in jobs}
