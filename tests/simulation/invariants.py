"""What must hold after each step, and at the end. Each has a name, which a failure shows."""

from collections.abc import Sequence

from penstock_domain import aggregates
from penstock_domain.chain import BrokenChain, Stored, verify
from penstock_domain.job.evolve import evolve
from penstock_scheduler.core.replay import check_decisions
from penstock_scheduler.core.snapshots import encode_state
from penstock_scheduler.core.state import SchedulerState, fold
from penstock_schemas.events import (
    AttemptStarted,
    CycleDecided,
    JobAssigned,
    JobCancelled,
    JobCompleted,
    JobDeleted,
    JobFailed,
    JobRequeued,
    JobSubmitted,
)
from penstock_schemas.ids import DEFAULT_TENANT, JobId, RunnerId
from penstock_schemas.jobs import JobState
from penstock_schemas.views import EMPTY_HEAD, Head, Job

ENDS = JobCompleted | JobFailed | JobCancelled


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
        self._heads: dict[str, Head] = {}
        self._jobs_of_key: dict[tuple[str, str | None], list[str]] = {}

    def stored(self, batch: Sequence[Stored]) -> None:
        """Check what one append added."""
        for stored in batch:
            self._check_chain(stored)
            self._check_job(stored)
        self.state.apply_all(batch)
        if isinstance(batch[0].event.data, CycleDecided):
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
        try:
            verify([stored], after=self._heads.get(aggregate, EMPTY_HEAD))
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
        else:
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
        if isinstance(data, ENDS):
            self.ended[aggregate] = stored.seq

    def _check_key(self, data: JobSubmitted) -> None:
        key = (data.spec.owner, data.spec.idempotency_key)
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
        of_jobs = {item.seq for item in history if item.event.aggregate.startswith("job.")}
        require(of_jobs <= published, "every event of a job is published", of_jobs - published)


def view_of(jobs: Sequence[Job]) -> dict[str, Job]:
    """The view as the invariants keep it."""
    return {aggregates.job(job.tenant, job.id): job for job in jobs}
