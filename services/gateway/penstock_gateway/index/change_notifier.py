"""Waiting for the next change of one job."""

import anyio
from msgspec import Struct

from penstock_schemas.ids import JobId


class Change(Struct, frozen=True):
    """The next change of a job, waited for."""

    job_id: JobId
    event: anyio.Event


class ChangeNotifier:
    """Wakes the tasks that wait for a job, and all when the server ends."""

    def __init__(self) -> None:
        self._changes: dict[JobId, Change] = {}
        self._is_draining = False

    @property
    def is_draining(self) -> bool:
        """Whether the server is about to end: all waiting must end."""
        return self._is_draining

    def beat(self, job_id: JobId) -> None:
        """Wake everyone who waits for this job."""
        change = self._changes.pop(job_id, None)
        if change is not None:
            change.event.set()

    def drain(self) -> None:
        """Wake everyone, and let nobody wait from now on."""
        self._is_draining = True
        for change in self._changes.values():
            change.event.set()
        self._changes.clear()

    def next(self, job_id: JobId) -> Change:
        """Return the job's next change; what happens from now on is not missed."""
        change = Change(job_id, anyio.Event())
        return self._changes.setdefault(job_id, change)

    async def wait(self, change: Change, timeout_s: float) -> None:
        """Wait for a change, no longer than `timeout_s`."""
        if self._is_draining:
            return
        with anyio.move_on_after(timeout_s):
            await change.event.wait()
            return
        if self._changes.get(change.job_id) is change:
            del self._changes[change.job_id]  # others who wait for it look again by themselves
