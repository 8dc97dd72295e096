"""Appends and reads that go on while servers fail, and the check that nothing was lost, doubled or swapped."""

import random
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import anyio
from msgspec.structs import replace

from penstock_domain.chain import Stored, verify
from penstock_ports import AppendEntry, Conflict, EventLog, JobsView, Unavailable
from penstock_schemas.ids import EventId
from penstock_testing.events import cancellation, new_aggregate, new_job, submission

APPEND_S = 60.0
"""Longer than any outage of a test."""
SETTLE_S = 90.0
EVENTS_OF_A_CHAIN = 5


class Workload:
    """Writers that append chains of events, alone and several at a time, and a reader that follows."""

    def __init__(self, log: EventLog, *, seed: int, after: int = 0) -> None:
        self.acknowledged: dict[int, Stored] = {}
        self.doubtful = 0
        self.read: list[Stored] = []
        self._log = log
        self._after = after
        self._dice = random.Random(seed)
        self._is_over = False
        self._progress = anyio.Event()

    async def run(self, faults: Callable[["Workload"], Awaitable[None]], *, writers: int = 16) -> None:
        """Write and read while `faults` happen; afterwards check everything."""
        last = 0
        with anyio.fail_after(SETTLE_S * 2):
            async with anyio.create_task_group() as readers:
                readers.start_soon(self._follow)
                async with anyio.create_task_group() as tasks:
                    for _ in range(writers):
                        tasks.start_soon(self._write)
                    await faults(self)
                    self._is_over = True
                last = await self._log.last_seq(deadline_s=APPEND_S)
                await self.until(lambda: bool(self.read) and self.read[-1].seq >= last)
                readers.cancel_scope.cancel()
        self._check(last)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for a condition on what was acknowledged or read."""
        while not is_so():
            self._progress = anyio.Event()
            await self._progress.wait()

    async def until_more(self, *, at_least: int, at_most: int) -> None:
        """Wait until a random number of further events are acknowledged."""
        goal = len(self.acknowledged) + self._dice.randint(at_least, at_most)
        await self.until(lambda: len(self.acknowledged) >= goal)

    async def _write(self) -> None:
        while not self._is_over:
            aggregates = [new_aggregate() for _ in range(self._dice.choice((1, 1, 3)))]
            stored = await self._append([submission(aggregate) for aggregate in aggregates])
            for _ in range(EVENTS_OF_A_CHAIN - 1):
                if stored is None or self._is_over:
                    break
                stored = await self._append([cancellation(item) for item in stored])

    async def _append(self, entries: list[AppendEntry]) -> tuple[Stored, ...] | None:
        try:
            stored = await self._log.append(entries, deadline_s=APPEND_S)
        except Unavailable:
            self.doubtful += len(entries)
            return None
        self.acknowledged |= {item.seq: item for item in stored}
        self._progress.set()
        return stored

    async def _follow(self) -> None:
        async with aclosing(self._log.read(after=self._after)) as batches:
            async for batch in batches:
                self.read += batch
                self._progress.set()

    def _check(self, last: int) -> None:
        assert [item.seq for item in self.read] == list(range(self._after + 1, last + 1)), (
            "each sequence once, in order"
        )
        by_seq = {item.seq: item for item in self.read}
        for seq, stored in self.acknowledged.items():
            assert by_seq[seq] == stored, "what was acknowledged is there"
        ids: set[EventId] = {item.event.id for item in self.read}
        assert len(ids) == len(self.read), "nothing is stored twice"
        assert last - self._after - len(self.acknowledged) <= self.doubtful, "what was refused is not there"
        chains: dict[str, list[Stored]] = {}
        for item in self.read:
            chains.setdefault(item.event.aggregate, []).append(item)
        for chain in chains.values():
            verify(chain)


async def race(log: EventLog, aggregate: str, *, goal: int) -> int:
    """Extend one chain in competition with others, to `goal` events; return how many were one's own."""
    won = 0
    while True:
        history = await log.load(aggregate, deadline_s=APPEND_S)
        if len(history) >= goal:
            return won
        entry = cancellation(history[-1]) if history else submission(aggregate)
        try:
            await log.append([entry], deadline_s=APPEND_S)
        except Conflict:
            continue
        won += 1


class Count:
    """A projection that adds one to one job's output files with each step, so that a lost or repeated step is found."""

    def __init__(self, *, jobs: int, goal: int) -> None:
        self._jobs = [new_job(number) for number in range(jobs)]
        self._goal = goal

    async def project(self, view: JobsView) -> None:
        """Take steps, in competition with others, until the goal is reached."""
        while True:
            try:
                if (checkpoint := await view.checkpoint()) >= self._goal:
                    return
                job = self._jobs[checkpoint % len(self._jobs)]
                now = (await view.get_many([job.id])).get(job.id, job)
                await view.write(
                    [replace(now, output_files=now.output_files + 1)], previous=checkpoint, checkpoint=checkpoint + 1
                )
            except (Conflict, Unavailable):
                continue

    async def verify(self, view: JobsView) -> None:
        """Check that each step was done once."""
        found = await view.get_many([job.id for job in self._jobs])
        assert [found[job.id].output_files for job in self._jobs] == [self._goal // len(self._jobs)] * len(self._jobs)
