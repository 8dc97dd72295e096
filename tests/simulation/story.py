"""One run of the whole system: what happens when, from one seed."""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

import anyio
import pytest
import structlog
from tests.simulation.clients import Client
from tests.simulation.invariants import KEPT, START, Violated, require, view_of
from tests.simulation.machines import GatewayMachine, ProjectorMachine, RunnerMachine, SchedulerMachine, Service
from tests.simulation.past import Past
from tests.simulation.troubles import Troubles
from tests.simulation.world import Faults, World

import penstock_gateway.maintenance.retention
import penstock_runner.runner
import penstock_runner.session
import penstock_scheduler.leading
import penstock_scheduler.scheduler
from penstock_domain.lease import MAX_LEASE_S
from penstock_gateway.maintenance.deletions import NOTES
from penstock_schemas.jobs import JobState
from penstock_testing.virtual_time import VirtualLoop, at_once
from penstock_testing.virtual_time import run as run_in_virtual_time

JOBS: Final = 8
TROUBLE_S: Final = 40.0
"""Things go wrong for so long; then they calm down, and everything must come to its end."""
MAX_FILES: Final = 10_000
END_S: Final = 800.0
CHECK_S: Final = 0.5
SNAPSHOT_EVERY: Final = 30
SWEEP_INTERVAL_S: Final = 5.0
WATCH_EVERY_S: Final = 0.5
LEASE_CHECK_S: Final = 2.0
"""A lease is checked when it ends; between, only because of machines that were suspended, which none is here."""
OPERATOR_INTERVAL_S: Final = 15.0
CANCEL_SHARE: Final = 0.3
HOLD_SHARE: Final = 0.2
DELETE_SHARE: Final = 0.2
"""Of the jobs whose clients do this."""
RERUN: Final = "rerun with: python -m tests.simulation"


ServiceT = TypeVar("ServiceT", bound=Service)


class Story:
    """One run.

    Args:
        seed: decides everything.
        faults: how often the network fails, and which mutation of the server there is.
        lease_s: of the runners.

    """

    def __init__(self, seed: int, *, faults: Faults | None = None, lease_s: float = MAX_LEASE_S) -> None:
        self.seed = seed
        self.faults = faults or Faults()
        self.lease_s = lease_s
        self.steps = 0

    def run(self) -> World:
        """Run to the end, or to the first invariant that does not hold.

        Raises:
            Violated: naming it, and how to see it again.

        """
        self._folder = Path(tempfile.mkdtemp(dir=_memory_folder()))
        try:
            with _made_small(self):
                return run_in_virtual_time(self._main, Random(self.seed))
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def kill_orphans(self, marker: str) -> int:
        """Kill what a predecessor's process left behind."""
        return self.world.kill_orphans(marker)

    async def _main(self, loop: VirtualLoop) -> World:
        self.world = world = World(self.seed, loop, self.faults)
        self.services: list[Service] = []
        """Every process that ever was."""
        try:
            past = Past(world)
            past.set_limit("global", world.random.choice([None, 2, 3]))
            past.set_limit("owner", world.random.choice([None, 1, 2]))
            past.add_ended_job(START - KEPT - timedelta(days=1))
            past.add_ended_job(START - KEPT + timedelta(days=1))
            self.schedulers = [self._begin(SchedulerMachine(world)) for _ in range(2)]
            self.runners = [
                self._new_runner(f"r{number}", world.random.randint(1 if number else 2, 2)) for number in range(3)
            ]
            self.projectors = [self._begin(ProjectorMachine(world)) for _ in range(world.random.randint(1, 2))]
            self.gateways = [self._new_gateway(self._folder / f"g{number}") for number in range(2)]
            self.clients = [
                Client(world, self.gateways, world.random.choice(["ada", "bob"]), f"key-{number}")
                for number in range(JOBS)
            ]
            await self._play()
        except Violated as error:
            raise Violated(f"{error} [at {loop.time():.2f} s of seed {self.seed}; {RERUN} {self.seed}]") from error
        finally:
            self.steps = loop.steps
            with anyio.CancelScope(shield=True):
                await self._tear_down()
        return world

    async def _play(self) -> None:
        world = self.world
        troubles = Troubles(
            world,
            schedulers=self.schedulers,
            runners=self.runners,
            projectors=self.projectors,
            gateways=self.gateways,
        )
        async with anyio.create_task_group() as group:
            for client in self.clients:
                group.start_soon(self._use, client)
            group.start_soon(troubles.run)
            group.start_soon(self._supervise)
            group.start_soon(self._operate)
            await self._until(lambda: False, deadline_s=TROUBLE_S)
            self._calm_down()
            is_over = await self._until(self._is_at_rest, deadline_s=END_S)
            world.check(lambda: require(is_over or bool(world.invariants.ended), "every job ends", "nothing moves"))
            world.check(self._check_end)
            group.cancel_scope.cancel()
        if world.violation is not None:
            raise world.violation

    async def _until(self, is_over: Callable[[], bool], *, deadline_s: float) -> bool:
        """Wait; return whether it was over before the deadline."""
        world = self.world
        while not is_over():
            if world.loop.time() >= deadline_s:
                return False
            await anyio.sleep(CHECK_S)
            for fault in world.loop.faults:
                world.note_fault("a task", fault)
            if world.violation is not None:
                return False
        return True

    def _is_at_rest(self) -> bool:
        world = self.world
        return (
            all(client.is_done for client in self.clients)
            and len(world.invariants.ended) == len(world.invariants.jobs)
            and not world.invariants.working
            and at_once(world.cluster.jobs.checkpoint()) == len(world.cluster.log.stored)
            and not at_once(world.blobs.list(NOTES))
            and not world.invariants.kept_too_long
        )

    def _check_end(self) -> None:
        world = self.world
        ids = [job.id for job in world.invariants.jobs.values()]
        view = at_once(world.cluster.jobs.get_many(ids))
        world.invariants.check_end(
            world.cluster.log.stored,
            view_of(list(view.values())),
            {stored.seq for stored in world.cluster.live.published if stored.event.aggregate.startswith("job.")},
        )
        world.invariants.check_files(at_once(world.blobs.page("jobs", limit=MAX_FILES)))
        for scheduler in self.schedulers:
            world.invariants.check_state(world.cluster.log.stored, scheduler.scheduler.state)

    # Clients.

    async def _use(self, client: Client) -> None:
        world, random = self.world, self.world.random
        await anyio.sleep(random.random() * 25)
        actions: list[tuple[float, Callable[[], Coroutine[Any, Any, None]]]] = []
        if world.chance(CANCEL_SHARE):
            actions.append((random.random() * 20, client.cancel))
        if world.chance(HOLD_SHARE):
            actions.append((random.random() * 10, client.hold))
        if world.chance(DELETE_SHARE):
            actions.append((random.random() * 30, client.delete))
        async with anyio.create_task_group() as group:
            group.start_soon(client.run)
            for after_s, action in actions:
                group.start_soon(_later, after_s, action)

    async def _operate(self) -> None:
        """Close damaged jobs, and release what is held at the end.

        A gateway may have held a job long after its client released it.
        """
        world = self.world
        while True:
            await anyio.sleep(OPERATOR_INTERVAL_S)
            for job in list(world.invariants.jobs.values()):
                if job.damage is not None and not world.chance(0.5):
                    await self.clients[0].close(job.id)
                elif job.state is JobState.HELD and world.is_calm:
                    client = next(client for client in self.clients if client.owner == job.spec.owner)
                    await client.release(job.id)

    # Processes.

    async def _supervise(self) -> None:
        """Start processes again that ended, as a supervisor does."""
        world, random = self.world, self.world.random
        while True:
            await anyio.sleep(0.5)
            for place, scheduler in enumerate(self.schedulers):
                if not scheduler.is_alive and (world.is_calm or random.random() < 0.3):
                    self.schedulers[place] = self._begin(SchedulerMachine(world))
            for place, runner in enumerate(self.runners):
                if not runner.is_alive and (world.is_calm or random.random() < 0.2):
                    # Half of them find their predecessor's state folder and report that it is gone; of the others the
                    # scheduler notices by itself.
                    folder = runner.folder if random.random() < 0.5 else None
                    self.runners[place] = self._new_runner(runner.name, runner.slots, folder)
            for place, projector in enumerate(self.projectors):
                if not projector.is_alive and (world.is_calm or random.random() < 0.3):
                    self.projectors[place] = self._begin(ProjectorMachine(world))
            for place, gateway in enumerate(self.gateways):
                if not gateway.is_alive and (world.is_calm or random.random() < 0.3):
                    self.gateways[place] = self._new_gateway(gateway.folder)

    def _calm_down(self) -> None:
        self.world.is_calm = True
        for service in (*self.schedulers, *self.runners, *self.projectors, *self.gateways):
            if service.process.is_alive:
                service.process.resume()

    def _begin(self, service: ServiceT) -> ServiceT:
        self.services.append(service)
        service.begin()
        return service

    def _new_runner(self, name: str, slots: int, folder: Path | None = None) -> RunnerMachine:
        if folder is None:
            folder = self._folder / f"{name}-{len(self.services)}"
            folder.mkdir()
        return self._begin(RunnerMachine(self.world, name, slots, folder, self.lease_s))

    def _new_gateway(self, folder: Path) -> GatewayMachine:
        return self._begin(GatewayMachine(self.world, folder))

    async def _tear_down(self) -> None:
        """End every task, also of processes that were killed."""
        self.world.is_over = True
        for service in self.services:
            service.process.release()
            service.stop()
        await asyncio.gather(*(task for service in self.services for task in service.tasks), return_exceptions=True)
        for service in self.services:
            if isinstance(service, GatewayMachine):
                service.index.close()


async def _later(seconds: float, action: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await anyio.sleep(seconds)
    await action()


def _memory_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


@contextmanager
def _made_small(story: Story) -> Generator[None, None, None]:
    """Change constants that a short run would not reach, or that only cost steps; start no process and log nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(penstock_scheduler.leading, "SNAPSHOT_EVERY", SNAPSHOT_EVERY)
        patch.setattr(penstock_scheduler.scheduler, "SNAPSHOT_AT_STOP", 1)
        patch.setattr(penstock_scheduler.scheduler, "WATCH_EVERY_S", WATCH_EVERY_S)
        patch.setattr(penstock_runner.session, "LEASE_CHECK_S", LEASE_CHECK_S)
        patch.setattr(penstock_gateway.maintenance.retention, "SWEEP_INTERVAL_S", SWEEP_INTERVAL_S)
        patch.setattr(penstock_runner.runner, "sweep", story.kill_orphans)
        before = structlog.get_config()
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=False
        )
        try:
            yield
        finally:
            structlog.configure(**before)
