"""Jobs that this gateway wrote and that the index's file does not have yet."""

from itertools import islice

from penstock_schemas.ids import JobId
from penstock_schemas.views import Job


class PendingWrites:
    """The newest form of each job that waits to be written, and the batch that is being written."""

    def __init__(self) -> None:
        self._waiting: dict[JobId, Job] = {}
        self._written: dict[JobId, Job] = {}

    def __bool__(self) -> bool:
        """Return whether anything waits or is being written."""
        return bool(self._waiting or self._written)

    @property
    def waiting(self) -> tuple[Job, ...]:
        """The jobs that wait."""
        return tuple(self._waiting.values())

    def add(self, job: Job) -> bool:
        """Add a job, unless a form as new waits already; return whether it was added."""
        known = self._waiting.get(job.id)
        if known is not None and known.head.seq >= job.head.seq:
            return False
        self._waiting[job.id] = job
        return True

    def get(self, job_id: JobId) -> Job | None:
        """Return a job that waits or is being written."""
        return self._waiting.get(job_id) or self._written.get(job_id)

    def remove(self, job: Job) -> None:
        """Remove a job that the file has in this form from another source, unless a newer form waits."""
        known = self._waiting.get(job.id)
        if known is not None and known.head.seq <= job.head.seq:
            del self._waiting[job.id]

    def begin(self, limit: int) -> tuple[Job, ...]:
        """Return the next batch to be written; `end` or `undo` follows."""
        self._written = {job_id: self._waiting.pop(job_id) for job_id in tuple(islice(self._waiting, limit))}
        return tuple(self._written.values())

    def end(self) -> None:
        """Forget the batch: the file has it."""
        self._written = {}

    def undo(self) -> None:
        """Let the batch wait again; a newer form that arrived meanwhile replaces an older one."""
        self._waiting = {**self._written, **self._waiting}
        self._written = {}
