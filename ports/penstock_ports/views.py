"""Projections of the log, which can be built again: jobs, and snapshots of states."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Protocol

from penstock_schemas.ids import JobId
from penstock_schemas.views import Job


class JobsView(Protocol):
    """The materialized jobs: one entry a job, written by the projector alone."""

    async def checkpoint(self) -> int:
        """Return the last sequence of the log that is folded in; 0 for none."""
        ...

    async def position(self) -> int:
        """Return the position of the last change, 0 for none.

        A reader that got it, or a later one, from `changes` has every job that the view held at this call.
        """
        ...

    async def write(self, jobs: Iterable[Job], *, previous: int, checkpoint: int) -> None:
        """Store `jobs` and move the checkpoint from `previous` to `checkpoint`, all or nothing.

        More jobs than `MAX_APPEND_ENTRIES - 1`, or very large ones, go in several steps, the checkpoint moving with the
        last: after a failure some of them may be ahead of it. So a fold skips events at or before a job's head.

        Raises:
            Conflict: another projector moved the checkpoint; start again from `checkpoint()`.

        """
        ...

    async def get(self, job_id: JobId) -> Job | None:
        """Return a job as last projected."""
        ...

    async def get_many(self, job_ids: Sequence[JobId]) -> dict[JobId, Job]:
        """Return those that exist."""
        ...

    def changes(self, *, after: int = 0) -> AsyncGenerator[tuple[int, tuple[Job, ...]], None]:
        """Yield (position, jobs) for ever: every job whose entry changed after `after`, oldest change first.

        The position is the view's own, to be given back as `after`; it is no sequence of the log. A job that changed
        several times may come once, in its last form. Close it as a reader of the log.

        Raises:
            PositionLost: `after` is no position of this view.

        """
        ...


class Snapshots(Protocol):
    """Folded states, to start from; each can be thrown away."""

    async def save(self, name: str, seq: int, state: bytes) -> None:
        """Keep `state`, the fold of the log up to `seq`, in place of the last one.

        When several save at once, one of their states is kept, whole; the others are dropped.

        Raises:
            Unavailable: it is not known whether it is kept.

        """
        ...

    async def load(self, name: str) -> tuple[int, bytes] | None:
        """Return the last saved state and its sequence."""
        ...
