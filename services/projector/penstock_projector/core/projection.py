"""Events folded into the view of jobs, in pieces that one write can take."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from penstock_domain.aggregates import job_of
from penstock_domain.chain import Stored
from penstock_domain.job.evolve import evolve
from penstock_schemas.events import JobSubmitted
from penstock_schemas.ids import JobId
from penstock_schemas.views import Job

MAX_JOBS_A_WRITE: Final = 500
"""So many jobs change in one write at most."""
MAX_CACHED_JOBS: Final = 20_000


class Write(Struct, frozen=True):
    """What one write stores."""

    jobs: tuple[Job, ...]
    checkpoint: int


class Projection:
    """The jobs as last written, as far as they are remembered: those that go on, the most recently used."""

    def __init__(self, max_jobs: int = MAX_CACHED_JOBS) -> None:
        self._max_jobs = max_jobs
        self._jobs: OrderedDict[JobId, Job] = OrderedDict()

    def missing(self, piece: Sequence[Stored]) -> tuple[JobId, ...]:
        """Return the jobs that must be read before `piece` can be folded."""
        wanted: dict[JobId, None] = {}
        begun: set[JobId] = set()
        for stored in piece:
            job_id = job_id_of(stored)
            if job_id is None or job_id in begun or job_id in self._jobs:
                continue
            if isinstance(stored.event.data, JobSubmitted):
                begun.add(job_id)
            else:
                wanted[job_id] = None
        return tuple(wanted)

    def fold(self, piece: Sequence[Stored], read: Mapping[JobId, Job]) -> Write:
        """Return what to write after `piece`; nothing is remembered until `written`."""
        changed: dict[JobId, Job] = {}
        for stored in piece:
            job_id = job_id_of(stored)
            if job_id is None:
                continue
            before = changed.get(job_id) or self._jobs.get(job_id) or read.get(job_id)
            if before is not None and stored.seq <= before.head.seq:
                continue
            after = evolve(before, stored)
            if after is not None:
                changed[job_id] = after
        return Write(tuple(changed.values()), piece[-1].seq)

    def written(self, write: Write) -> None:
        """Remember what was written. Jobs that ended are not looked at again."""
        for job in write.jobs:
            if job.state.is_terminal:
                self._jobs.pop(job.id, None)
            else:
                self._jobs[job.id] = job
                self._jobs.move_to_end(job.id)
        while len(self._jobs) > self._max_jobs:
            self._jobs.popitem(last=False)

    def forget(self) -> None:
        """Forget everything: somebody else wrote."""
        self._jobs.clear()


def divided(batch: Sequence[Stored]) -> Iterator[Sequence[Stored]]:
    """Cut a reader's batch where too many jobs would change in one write."""
    start = 0
    jobs: set[JobId] = set()
    for place, stored in enumerate(batch):
        job_id = job_id_of(stored)
        if job_id is None or job_id in jobs:
            continue
        if len(jobs) == MAX_JOBS_A_WRITE:
            yield batch[start:place]
            start = place
            jobs.clear()
        jobs.add(job_id)
    if start < len(batch):
        yield batch[start:]


def job_id_of(stored: Stored) -> JobId | None:
    """Return the job that an event belongs to; `None` when it is another aggregate's."""
    place = job_of(stored.event.aggregate)
    return None if place is None else place[1]
