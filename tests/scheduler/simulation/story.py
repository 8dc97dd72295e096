"""One run of the whole system: what happens when, from one seed."""

from functools import partial
from uuid import UUID

from tests.scheduler.simulation.actors import Client, ProjectorActor, RunnerActor, SchedulerActor
from tests.scheduler.simulation.invariants import Violated, require, view_of
from tests.scheduler.simulation.world import NO_MUTATION, START, Actor, Mutation, World, at_once

from penstock_domain import aggregates
from penstock_domain.chain import link
from penstock_ports import AppendEntry
from penstock_schemas.events import LimitSet
from penstock_schemas.ids import JobId
from penstock_schemas.views import EMPTY_HEAD
from penstock_testing.memory import MemoryHeartbeats

JOBS = 8
TROUBLE_S = 40.0
"""So long things go wrong; then they calm down, and everything must come to its end."""
END_S = 800.0
TROUBLES = (
    "scheduler",
    "runner",
    "leave",
    "projector",
    "pause",
    "pause",
    "nap",
    "cut off",
    "cut off",
    "outage",
    "clock",
)
RERUN = "rerun with: python -m tests.scheduler.simulation"


class Story:
    """The actors of one run, and what befalls them."""

    def __init__(self, seed: int, mutation: Mutation = NO_MUTATION) -> None:
        self.seed = seed
        self.world = World(seed, mutation)
        random = self.world.random
        self.job_ids = [JobId(str(UUID(int=number + 1))) for number in range(JOBS)]
        self.schedulers: list[SchedulerActor] = []
        self.runners: list[RunnerActor] = []
        self.projectors: list[ProjectorActor] = []
        self._limit("global", random.choice([None, 2, 3]))
        self._limit("owner", random.choice([None, 1, 2]))
        for _ in range(2):
            self.schedulers.append(self._new_scheduler())
        for number in range(3):
            self.runners.append(RunnerActor(self.world, f"r{number}", random.randint(1, 2), None))
        for _ in range(random.randint(1, 2)):
            self.projectors.append(ProjectorActor(self.world))
        for job_id in self.job_ids:
            self.world.after(random.random() * 25, partial(self._submit, job_id))
        self.world.after(random.random() * 2, self._trouble)
        self.world.after(0.5, self._restart_the_dead)

    def run(self) -> World:
        """Run to the end, or to the first invariant that does not hold.

        Raises:
            Violated: naming it, and saying how to see it again.

        """
        world = self.world
        try:
            world.run_until(lambda: world.time >= TROUBLE_S, deadline_s=TROUBLE_S)
            self._calm_down()
            is_over = world.run_until(self._is_at_rest, deadline_s=END_S)
            require(is_over or bool(world.invariants.ended), "every job ends", "nothing moves")
            world.invariants.check_end(
                world.log.stored, view_of(list(at_once(world.view.get_many(self.job_ids)).values())), world.published
            )
        except Violated as error:
            raise Violated(f"{error} [at {world.time:.2f} s of seed {self.seed}; {RERUN} {self.seed}]") from error
        return world

    def _is_at_rest(self) -> bool:
        world = self.world
        return (
            len(world.invariants.ended) == JOBS
            and not world.invariants.working
            and at_once(world.view.checkpoint()) == len(world.log.stored)
        )

    def _submit(self, job_id: JobId) -> None:
        random, client = self.world.random, Client(self.world)
        client.start(client.submit(job_id, random.choice(["ada", "bob"]), random.choice([0, 0, 0, 5])))
        if self.world.chance(0.3):
            canceller = Client(self.world)
            self.world.after(random.random() * 20, lambda: canceller.start(canceller.cancel(job_id)))
        if self.world.chance(0.2):
            holder = Client(self.world)
            self.world.after(random.random() * 10, lambda: holder.start(holder.hold(job_id)))

    def _trouble(self) -> None:
        """Let one thing go wrong, and the next one a little later."""
        world, random = self.world, self.world.random
        if world.is_calm:
            return
        actors: list[Actor] = [*self.schedulers, *self.runners, *self.projectors]
        match random.choice(TROUBLES):
            case "scheduler":
                random.choice(self.schedulers).crash()
            case "runner":
                random.choice(self.runners).crash()
            case "leave":
                runner = random.choice(self.runners)
                if not runner.is_leaving:
                    runner.start(runner.leave())
            case "projector":
                random.choice(self.projectors).crash()
            case "pause":
                # As long as it may take: when it wakes it still believes that it leads, for a while.
                scheduler = random.choice(self.schedulers)
                scheduler.paused_until = world.time + random.random() * 20
                scheduler.deaf_until = scheduler.paused_until + random.random() * 10
            case "nap":
                # A runner's lease allows for this much.
                random.choice(actors).paused_until = world.time + random.random() * 2
            case "cut off":
                random.choice(actors).cut_off_until = world.time + random.random() * 20
            case "outage":
                world.outage_until = world.time + random.random() * 12
                if random.random() < 0.5:
                    # The server was restarted: what it had in memory is gone, while the leader is alive and well.
                    world.heartbeats = MemoryHeartbeats(clock=lambda: world.time)
            case _:
                random.choice(actors).clock_offset_s += random.uniform(-60, 60)
        world.after(random.random() * 4, self._trouble)

    def _restart_the_dead(self) -> None:
        """Do what a supervisor does."""
        random = self.world.random
        for place, scheduler in enumerate(self.schedulers):
            if not scheduler.is_alive and (self.world.is_calm or random.random() < 0.3):
                self.schedulers[place] = self._new_scheduler()
        for place, runner in enumerate(self.runners):
            if not runner.is_alive and (self.world.is_calm or random.random() < 0.2):
                # Half of them find their predecessor's state folder and say that it is gone; of the others the
                # scheduler notices by itself.
                predecessor = runner if random.random() < 0.5 else None
                self.runners[place] = RunnerActor(self.world, runner.name, runner.slots, predecessor)
        for place, projector in enumerate(self.projectors):
            if not projector.is_alive and (self.world.is_calm or random.random() < 0.3):
                self.projectors[place] = ProjectorActor(self.world)
        self.world.after(0.5, self._restart_the_dead)

    def _calm_down(self) -> None:
        self.world.is_calm = True
        for actor in (*self.schedulers, *self.runners, *self.projectors):
            actor.paused_until = 0.0

    def _new_scheduler(self) -> SchedulerActor:
        return SchedulerActor(self.world, f"s-{self.world.new_id()[-8:]}")

    def _limit(self, name: str, slots: int | None) -> None:
        event = link(
            EMPTY_HEAD,
            aggregates.limit(name),
            LimitSet(name=name, slots=slots),
            event_id=self.world.new_id(),
            time=START,
            actor="test",
        )
        self.world.append([AppendEntry(event, 0)])
