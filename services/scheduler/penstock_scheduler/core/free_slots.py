"""The free slots and GPUs of runners, while one decision gives them out.

A job that requests no amounts takes one slot of the runner with the largest number of free ones. A job with a request
takes the slots of one runner that hold its cores, and GPUs of the same runner.
"""

from heapq import heapify, heappop, heappush

from msgspec import Struct

from penstock_domain.scheduling.capacity import Request
from penstock_domain.scheduling.demands import request_of
from penstock_scheduler.core.demands import fitting
from penstock_scheduler.core.records import RunnerRecord, RunnerStatus
from penstock_scheduler.core.state import SchedulerState
from penstock_schemas.ids import RunnerId


class Place(Struct, frozen=True):
    """What a job takes of a runner."""

    runner_id: RunnerId
    slots: int = 1
    gpus: tuple[str, ...] = ()


class FreeSlots:
    """The slots and GPUs that are free, without those that are reserved for a job that needs several."""

    def __init__(self, state: SchedulerState, gone: frozenset[RunnerId], taken: frozenset[RunnerId]) -> None:
        # A runner that drains keeps jobs that it alone would honour: another one may take its place.
        self._runners = [
            runner for runner in state.runners.values() if runner.id not in gone and not runner.state.is_over
        ]
        active = [runner for runner in self._runners if runner.id not in taken and runner.state is RunnerStatus.ACTIVE]
        self._free = {runner.id: max(0, state.free_slots(runner)) for runner in active}
        self._gpus = {runner.id: state.free_gpus(runner) for runner in active if runner.gpus}
        self._fitting: dict[str, list[RunnerRecord]] = {}
        """Those that take new work, by demand."""
        self._heaps: dict[str, list[tuple[int, RunnerId]]] = {}
        """By demand."""
        self._reserved: set[RunnerId] = set()

    def has(self, demand: str) -> bool:
        """Return whether a runner that fits `demand` has a free slot."""
        heap = self._heap(demand)
        while heap:
            minus_free, runner_id = heap[0]
            free = self._free[runner_id]
            if free == -minus_free:
                return True
            # It gave slots to jobs of another demand meanwhile.
            heappop(heap)
            if free:
                heappush(heap, (-free, runner_id))
        return False

    def take(self, demand: str) -> Place | None:
        """Take what jobs of a demand request; `has` must have found a slot. `None`: no runner has all of it free."""
        request = request_of(demand)
        return self._take_requested(demand, request) if request else self._take_slot(demand)

    def reserve(self, demand: str) -> None:
        """Give nothing more of one runner to others, so that a job gets what it requests once enough is free there.

        It is the runner with the largest number of free slots among those that can ever hold the job. The free slots of
        a reserved runner only grow, so the same one is reserved until the job starts. At most half of the runners that
        the job fits, and at least one, are reserved.
        """
        fits = self._fits(demand)
        open_ones = [runner for runner in fits if runner.id not in self._reserved]
        if not open_ones or len(fits) - len(open_ones) >= max(1, len(fits) // 2):
            return
        chosen = min(open_ones, key=lambda runner: (-self._free[runner.id], runner.id))
        self._reserved.add(chosen.id)
        self._free[chosen.id] = 0

    def _take_slot(self, demand: str) -> Place:
        heap = self._heap(demand)
        _, runner_id = heappop(heap)
        self._free[runner_id] -= 1
        if self._free[runner_id]:
            heappush(heap, (-self._free[runner_id], runner_id))
        return Place(runner_id)

    def _take_requested(self, demand: str, request: Request) -> Place | None:
        options: list[tuple[int, int, RunnerId]] = []
        for runner in self._fits(demand):
            slots, free = runner.capacity.slots_for(request), self._free[runner.id]
            if slots is not None and slots <= free and request.gpus <= len(self._gpus.get(runner.id, ())):
                options.append((slots, -free, runner.id))
        if not options:
            return None
        slots, _, runner_id = min(options)
        self._free[runner_id] -= slots
        gpus = self._gpus.get(runner_id, ())
        self._gpus[runner_id] = gpus[request.gpus :]
        return Place(runner_id, slots, gpus[: request.gpus])

    def _fits(self, demand: str) -> list[RunnerRecord]:
        found = self._fitting.get(demand)
        if found is None:
            found = [runner for runner in fitting(self._runners, demand) if runner.id in self._free]
            self._fitting[demand] = found
        return found

    def _heap(self, demand: str) -> list[tuple[int, RunnerId]]:
        heap = self._heaps.get(demand)
        if heap is None:
            heap = self._heaps[demand] = [
                (-self._free[runner.id], runner.id) for runner in self._fits(demand) if self._free[runner.id]
            ]
            heapify(heap)
        return heap
