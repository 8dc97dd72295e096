"""The materialized jobs in a dictionary."""

from collections.abc import AsyncGenerator, Iterable, Sequence

from penstock_ports import Conflict, PositionLost
from penstock_runtime.notify import Notifier
from penstock_schemas.ids import JobId
from penstock_schemas.views import Job


class MemoryJobs:
    """A `JobsView`."""

    def __init__(self) -> None:
        self._checkpoint = 0
        self._position = 0
        self._jobs: dict[JobId, tuple[int, Job]] = {}
        """In the order of the last change."""
        self._written = Notifier()

    async def checkpoint(self) -> int:
        """Return the last sequence that is folded in."""
        return self._checkpoint

    async def position(self) -> int:
        """Return the position of the last change."""
        return self._position

    async def write(self, jobs: Iterable[Job], *, previous: int, checkpoint: int) -> None:
        """Store `jobs` and move the checkpoint."""
        if self._checkpoint != previous:
            raise Conflict(f"the checkpoint is at {self._checkpoint}, not at {previous}")
        self._checkpoint = checkpoint
        for job in jobs:
            self._position += 1
            self._jobs.pop(job.id, None)
            self._jobs[job.id] = (self._position, job)
        self._written.beat()

    async def get(self, job_id: JobId) -> Job | None:
        """Return a job as last projected."""
        entry = self._jobs.get(job_id)
        return None if entry is None else entry[1]

    async def get_many(self, job_ids: Sequence[JobId]) -> dict[JobId, Job]:
        """Return those that exist."""
        return {job_id: self._jobs[job_id][1] for job_id in job_ids if job_id in self._jobs}

    async def changes(self, *, after: int = 0) -> AsyncGenerator[tuple[int, tuple[Job, ...]], None]:
        """Yield (position, jobs) for ever."""
        if after > self._position:
            raise PositionLost(f"the view ends at {self._position}, before {after}")
        while True:
            changed = self._changed_after(after)
            if changed:
                after = self._position
                yield after, changed
            else:
                await self._written.wait()

    def _changed_after(self, after: int) -> tuple[Job, ...]:
        newest_first: list[Job] = []
        for position, job in reversed(self._jobs.values()):
            if position <= after:
                break
            newest_first.append(job)
        return tuple(reversed(newest_first))
