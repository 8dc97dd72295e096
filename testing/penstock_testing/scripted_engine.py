"""An engine whose attempts a test writes: it fills the engine port, and nothing of the runner is replaced."""

from collections.abc import Awaitable, Callable

import anyio

from penstock_execution.engine import Attempt, Emit, Outcome, RemainingLease
from penstock_execution.workspace import RunnerStorage, Workspaces
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.ids import JobId

Script = Callable[[Attempt, Emit, anyio.Event], Awaitable[Outcome]]
"""What an attempt does."""

SUCCEEDED = Outcome(kind=OutcomeKind.SUCCEEDED)
STOPPED = Outcome(kind=OutcomeKind.STOPPED)


async def until_stopped(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
    """Work until the attempt is to stop."""
    await stop.wait()
    return STOPPED


async def succeed(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
    """Succeed at once."""
    return SUCCEEDED


async def ignore_stop(attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
    """Work until it is killed."""
    await anyio.sleep_forever()
    raise AssertionError


class ScriptedEngine:
    """An `Engine` that runs `script` for each attempt and records what ran and what was killed."""

    name = "scripted"
    version = "1"

    def __init__(self, script: Script = until_stopped, *, needs_files: bool = False) -> None:
        self.script = script
        self._needs_files = needs_files
        self.running: set[tuple[JobId, int]] = set()
        self.most_running = 0
        self.started: list[tuple[JobId, int]] = []
        self.killed: list[tuple[JobId, int]] = []
        self.is_open = False

    def workspaces(self, storage: RunnerStorage) -> Workspaces | None:
        """Return folders on this machine, if attempts need files."""
        return storage.local if self._needs_files else None

    async def __aenter__(self) -> "ScriptedEngine":
        """Note that it is ready."""
        self.is_open = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Check that nothing runs any more."""
        assert not self.running
        self.is_open = False

    def extend_lease(self, remaining_s: RemainingLease) -> None:
        """Record the rest of the lease."""
        self.remaining_s = remaining_s

    async def run(self, attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
        """Run the script."""
        key = (attempt.job_id, attempt.attempt)
        assert key not in self.running, "an attempt runs twice"
        self.running.add(key)
        self.started.append(key)
        self.most_running = max(self.most_running, len(self.running))
        try:
            return await self.script(attempt, emit, stop)
        except anyio.get_cancelled_exc_class():
            self.killed.append(key)
            raise
        finally:
            self.running.discard(key)
