"""The jobs that wait, indexed so that a decision touches only those that it starts."""

from collections.abc import Iterator
from datetime import datetime
from heapq import heappop, heappush
from typing import Final

from penstock_domain.scheduling.demands import engine_of
from penstock_scheduler.core.order import Key, OrderedQueue
from penstock_scheduler.core.records import LiveJob, Owner

_NOTHING: Final = OrderedQueue()


class Queue:
    """Waiting jobs: in a lane for each demand and owner, or separate until their back-off ends.

    An owner at the limit is suspended: the heads of a demand leave out the owner's lanes, which cost nothing then.
    """

    def __init__(self) -> None:
        self._jobs: dict[int, LiveJob] = {}
        """By the sequence of their submission."""
        self._lanes: dict[tuple[str, Owner], OrderedQueue] = {}
        self._heads: dict[str, OrderedQueue] = {}
        """By demand: the first key of each lane whose owner is not suspended."""
        self._suspended: set[Owner] = set()
        self._backing_off: list[tuple[datetime, int]] = []
        """A heap; an entry counts only while the job still waits for that time."""

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[LiveJob]:
        """Yield every waiting job, in no order."""
        return iter(self._jobs.values())

    def at(self, key: Key) -> LiveJob:
        """Return the waiting job with this key."""
        return self._jobs[key[1]]

    def add(self, job: LiveJob) -> None:
        """Add a job that waits."""
        self._jobs[job.created_seq] = job
        if job.not_before is None:
            self._enter_lane(job)
        else:
            heappush(self._backing_off, (job.not_before, job.created_seq))

    def remove(self, job: LiveJob) -> None:
        """Remove `job`, which did not change since it was added."""
        del self._jobs[job.created_seq]
        if job.not_before is None:
            self._leave_lane(job)
        else:
            self._drop_stale()

    def release(self, now: datetime) -> None:
        """Let the jobs whose back-off is over by `now` into their lanes."""
        while self._backing_off and self._backing_off[0][0] <= now:
            job = self._waiting_for(*heappop(self._backing_off))
            if job is not None:
                job.not_before = None
                self._enter_lane(job)
        self._drop_stale()

    def due(self, now: datetime) -> list[Key]:
        """Return the keys of the jobs that `release(now)` would admit, in order."""
        over, _ = self._split(now)
        jobs = (self._waiting_for(*self._backing_off[place]) for place in over)
        return sorted({job.key for job in jobs if job is not None})

    def next_due(self, now: datetime) -> datetime | None:
        """Return when the next back-off ends, later than `now`."""
        _, lasting = self._split(now)
        return min((self._backing_off[place][0] for place in lasting), default=None)

    def _split(self, now: datetime) -> tuple[list[int], list[int]]:
        """Return the places of the entries whose time has come, and the topmost of the others."""
        over: list[int] = []
        lasting: list[int] = []
        frontier = [0] if self._backing_off else []
        while frontier:
            place = frontier.pop()
            if self._backing_off[place][0] > now:
                lasting.append(place)  # and so are all below it in the heap
            else:
                over.append(place)
                frontier += [child for child in (2 * place + 1, 2 * place + 2) if child < len(self._backing_off)]
        return over, lasting

    def demands(self) -> list[str]:
        """Return the demands of jobs that wait, and of some that waited, in order."""
        return sorted(self._heads)

    def heads(self, demand: str) -> OrderedQueue:
        """Return the first keys of the lanes of `demand`."""
        return self._heads.get(demand, _NOTHING)

    def lane(self, job: LiveJob) -> OrderedQueue:
        """Return the lane that `job` would be in."""
        return self._lanes.get((job.demand, job.account), _NOTHING)

    def lanes_of(self, engine: str) -> list[OrderedQueue]:
        """Return every lane of `engine`, those of suspended owners included."""
        return [lane for (demand, _), lane in self._lanes.items() if engine_of(demand) == engine]

    def waiting_by_engine(self) -> dict[str, int]:
        """Return how many jobs wait for each engine, without those whose back-off lasts."""
        counts: dict[str, int] = {}
        for (demand, _), lane in self._lanes.items():
            engine = engine_of(demand)
            counts[engine] = counts.get(engine, 0) + len(lane)
        return counts

    def suspend(self, owner: Owner) -> None:
        """Leave the lanes of `owner` out of the heads."""
        if owner not in self._suspended:
            self._suspended.add(owner)
            for demand, heads in self._heads.items():
                lane = self._lanes.get((demand, owner))
                if lane is not None and (first := lane.first()) is not None:
                    heads.remove(first)

    def resume(self, owner: Owner) -> None:
        """Take the lanes of `owner` into the heads again."""
        if owner in self._suspended:
            self._suspended.remove(owner)
            for demand, heads in self._heads.items():
                lane = self._lanes.get((demand, owner))
                if lane is not None and (first := lane.first()) is not None:
                    heads.add(first)

    def suspended_owners(self) -> frozenset[Owner]:
        """Return the suspended owners."""
        return frozenset(self._suspended)

    def _enter_lane(self, job: LiveJob) -> None:
        owner = job.account
        lane = self._lanes.get((job.demand, owner))
        if lane is None:
            lane = self._lanes[job.demand, owner] = OrderedQueue()
        before, key = lane.first(), job.key
        lane.add(key)
        if before is None or key < before:
            heads = self._heads.setdefault(job.demand, OrderedQueue())
            if owner not in self._suspended:
                if before is not None:
                    heads.remove(before)
                heads.add(key)

    def _leave_lane(self, job: LiveJob) -> None:
        owner = job.account
        lane = self._lanes[job.demand, owner]
        was_first = lane.first() == job.key
        lane.remove(job.key)
        after = lane.first()
        if was_first and owner not in self._suspended:
            heads = self._heads[job.demand]
            heads.remove(job.key)
            if after is not None:
                heads.add(after)
        if after is None:
            del self._lanes[job.demand, owner]

    def _waiting_for(self, not_before: datetime, created_seq: int) -> LiveJob | None:
        job = self._jobs.get(created_seq)
        return job if job is not None and job.not_before == not_before else None

    def _drop_stale(self) -> None:
        while self._backing_off and self._waiting_for(*self._backing_off[0]) is None:
            heappop(self._backing_off)
