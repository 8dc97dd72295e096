"""The registration of a runner: it joins once, may drain, and ends once.

(none) --join--> JOINED --drain--> DRAINING
|                  |
+------ leave -----+--> GONE      (or the scheduler declares it lost)
"""

from enum import Enum
from typing import assert_never

from msgspec import Struct

from penstock_domain.chain import Stored
from penstock_schemas.events import RunnerDraining, RunnerJoined, RunnerLeft, RunnerLost
from penstock_schemas.ids import RunnerId
from penstock_schemas.views import Head


def name_of_runner(runner_id: RunnerId) -> str:
    """Return the name of the runner whose session has this id: the same over all of its sessions."""
    return runner_id.rpartition("-")[0] or runner_id


class Phase(Enum):
    """How far the registration of a runner is."""

    JOINED = "JOINED"
    DRAINING = "DRAINING"
    GONE = "GONE"


class Registration(Struct, frozen=True, kw_only=True):
    """The registration of one runner."""

    phase: Phase
    head: Head


class JoinRunner(Struct, frozen=True, kw_only=True):
    """Make a runner known; it can be given work from then on."""

    joined: RunnerJoined


class DrainRunner(Struct, frozen=True, kw_only=True):
    """Give a runner no further work."""

    runner_id: RunnerId
    reason: str


class LeaveRunner(Struct, frozen=True, kw_only=True):
    """Record that no work of a runner is running any more."""

    runner_id: RunnerId
    reason: str
    is_crash: bool = False


RunnerCommand = JoinRunner | DrainRunner | LeaveRunner
RunnerEventData = RunnerJoined | RunnerDraining | RunnerLeft


def decide(registration: Registration | None, command: RunnerCommand) -> tuple[RunnerEventData, ...]:
    """Return what happens when a runner gives a command about itself.

    Nothing happens when it is so already, when the runner is gone, or when a runner that never joined drains or leaves:
    a command is never refused, because a runner must be able to repeat each of them.
    """
    phase = None if registration is None else registration.phase
    match command:
        case JoinRunner():
            return (command.joined,) if phase is None else ()
        case DrainRunner():
            is_open = phase is Phase.JOINED
            return (RunnerDraining(runner_id=command.runner_id, reason=command.reason),) if is_open else ()
        case LeaveRunner():
            if phase is None or phase is Phase.GONE:
                return ()
            return (RunnerLeft(runner_id=command.runner_id, reason=command.reason, is_crash=command.is_crash),)
        case _:
            assert_never(command)


def evolve(registration: Registration | None, stored: Stored) -> Registration | None:
    """Return the registration after an event; one of another kind changes only its head."""
    known = None if registration is None else registration.phase
    match stored.event.data:
        case RunnerJoined():
            phase: Phase | None = known or Phase.JOINED
        case RunnerDraining():
            phase = Phase.GONE if known is Phase.GONE else Phase.DRAINING
        case RunnerLeft() | RunnerLost():
            phase = Phase.GONE
        case _:
            phase = known
    return None if phase is None else Registration(phase=phase, head=stored.head)
