"""What goes wrong in a run: processes end or are paused, and the network, the server, the disk and clocks fail."""

from typing import Final

import anyio
from tests.simulation.machines import GatewayMachine, ProjectorMachine, RunnerMachine, SchedulerMachine, Service
from tests.simulation.world import World

from penstock_testing.memory import MemoryHeartbeats
from penstock_testing.virtual_time import at_once

TROUBLES: Final = (
    "scheduler crash",
    "scheduler stop",
    "runner crash",
    "runner leave",
    "projector crash",
    "gateway crash",
    "scheduler pause",
    "scheduler pause",
    "any pause",
    "cut off",
    "runner cut off",
    "outage",
    "clock",
    "log full",
    "oversized",
    "bad disk",
    "snapshot",
)


class Troubles:
    """Begins one trouble after the other. The lists contain the processes of the moment."""

    def __init__(
        self,
        world: World,
        *,
        schedulers: list[SchedulerMachine],
        runners: list[RunnerMachine],
        projectors: list[ProjectorMachine],
        gateways: list[GatewayMachine],
    ) -> None:
        self.world = world
        self.schedulers, self.runners = schedulers, runners
        self.projectors, self.gateways = projectors, gateways

    async def run(self) -> None:
        """Make trouble until the world is calm."""
        world = self.world
        await anyio.sleep(world.random.random() * 2)
        while not world.is_calm:
            self.begin(world.random.choice(TROUBLES))
            await anyio.sleep(world.random.random() * 4)

    def begin(self, kind: str) -> None:
        """Begin one kind of trouble."""
        world, random = self.world, self.world.random
        now = world.loop.time()
        machines: list[Service] = [*self.schedulers, *self.runners, *self.projectors, *self.gateways]
        match kind:
            case "scheduler crash":
                random.choice(self.schedulers).crash()
            case "scheduler stop":
                random.choice(self.schedulers).stop()
            case "runner crash":
                random.choice(self.runners).crash()
            case "runner leave":
                random.choice(self.runners).leave()
            case "projector crash":
                random.choice(self.projectors).crash()
            case "gateway crash":
                random.choice(self.gateways).crash()
            case "scheduler pause":
                # As long as it may take: when it goes on it still takes itself for the leader, for a while.
                scheduler, seconds = random.choice(self.schedulers), random.random() * 20
                scheduler.process.pause(seconds)
                scheduler.readers_stall_until = now + seconds + random.random() * 10
            case "any pause":
                random.choice(machines).process.pause(random.random() * random.choice([2, 15]))
            case "cut off":
                random.choice(machines).cut_off(now + random.random() * 20)
            case "runner cut off":
                random.choice(self.runners).cut_off(now + random.random() * 30)
            case "outage":
                world.outage_until = now + random.random() * 12
                if random.random() < 0.5:
                    # The server was restarted: what it had in memory is gone, while the leader is alive and well.
                    world.cluster.heartbeats = MemoryHeartbeats(clock=world.loop.time)
            case "log full":
                world.full_until = now + random.random() * 10
            case "oversized":
                world.oversize_until = now + random.random() * 10
            case "bad disk":
                world.damage_until = now + random.random() * 5
            case "snapshot":
                self._damage_snapshot()
            case _:
                random.choice(machines).runtime.offset_s += random.uniform(-60, 60)

    def _damage_snapshot(self) -> None:
        snapshots = self.world.cluster.snapshots
        saved = at_once(snapshots.load("scheduler"))
        if saved is not None:
            seq, state = saved
            at_once(snapshots.save("scheduler", seq, state[:-5]))
