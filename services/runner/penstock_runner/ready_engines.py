"""The engines of a runner while they are ready: an engine that fails stops neither the runner nor other engines."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import anyio
import structlog
from anyio.abc import TaskStatus

from penstock_execution.engine import Attempt, Emit, Engine, EngineFault, Outcome, RemainingLease
from penstock_execution.workspace import Workspaces
from penstock_runtime.background import described

READY_DEADLINE_S: Final = 90.0
"""How long an engine may take to become ready, in each try."""
READY_PAUSES_S: Final = (0.5, 1.0, 2.0)
"""Before the next try to make an engine ready; after the last try it is left out."""
END_DEADLINE_S: Final = 15.0
"""How long all engines together may take to stop what they keep warm."""

_log = structlog.stdlib.get_logger()

WorkspacesOf = Callable[[Engine], Workspaces | None]


class ReadyEngine:
    """An engine that is ready, as attempts use it.

    Args:
        engine: it was entered.
        workspaces: where the files of its attempts are; `None`: it has no files.

    """

    def __init__(self, engine: Engine, workspaces: Workspaces | None = None) -> None:
        self.name = engine.name
        self.version = str(engine.version)
        self.workspaces = workspaces
        self._engine = engine
        self._is_extended = True

    def extend_lease(self, remaining_s: RemainingLease) -> None:
        """Let its attempts run for the rest of the lease.

        Where the engine fails to do so, its attempts end with the lease that they have; those of others continue.
        """
        try:
            self._engine.extend_lease(remaining_s)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the boundary of a plug-in
            if self._is_extended:  # not at every heartbeat
                _log.error("engine_lease_not_extended", engine=self.name, reason=described(error), exc_info=error)
            self._is_extended = False
        else:
            self._is_extended = True

    async def run(self, attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
        """Run an attempt to its end, as `Engine.run`; a call of `sys.exit` is a fault of the engine."""
        try:
            return await self._engine.run(attempt, emit, stop)
        except SystemExit as error:
            raise EngineFault(f"the engine {self.name!r} called sys.exit({error.code!r})") from error


@asynccontextmanager
async def ready_engines(
    engines: Sequence[Engine], workspaces_of: WorkspacesOf, stopping: anyio.Event
) -> AsyncGenerator[Mapping[str, ReadyEngine]]:
    """Make engines ready and yield those that are, by name; stop them afterwards.

    An engine that does not become ready in several tries is left out. Each one is entered and left in a separate task,
    so that a fault of what it keeps warm reaches no other task.

    Args:
        engines: to make ready, one after the other.
        workspaces_of: returns the workspaces of an engine.
        stopping: once it is set, no further try is made.

    Raises:
        EngineFault: none of them becomes ready.

    """
    ready: dict[str, ReadyEngine] = {}
    faults: list[str] = []
    async with anyio.create_task_group() as group:
        lifetimes = [_EngineLifetime(engine, workspaces_of) for engine in engines]

        async def start(lifetime: _EngineLifetime) -> ReadyEngine:
            with anyio.fail_after(READY_DEADLINE_S):
                started: ReadyEngine = await group.start(lifetime.run)
            return started

        for lifetime in lifetimes:
            try:
                ready[lifetime.engine.name] = await _try(lifetime, start, stopping)
            except EngineFault as fault:
                faults.append(str(fault))
        if faults and not ready and not stopping.is_set():
            raise EngineFault("; ".join(faults))
        try:
            yield ready
        finally:
            with anyio.move_on_after(END_DEADLINE_S, shield=True):
                for lifetime in lifetimes:
                    lifetime.ending.set()
                for lifetime in lifetimes:
                    await lifetime.ended.wait()
            group.cancel_scope.cancel()


class _EngineLifetime:
    """The task in which an engine is entered, kept ready and left."""

    def __init__(self, engine: Engine, workspaces_of: WorkspacesOf) -> None:
        self.engine = engine
        self.ending = anyio.Event()
        """Set when the engine is to be left."""
        self.ended = anyio.Event()
        """Set when nothing of the engine is kept ready."""
        self.ended.set()
        self._workspaces_of = workspaces_of

    async def run(self, *, task_status: TaskStatus[ReadyEngine]) -> None:
        """Make the engine ready, and leave it once `ending` is set.

        Raises:
            EngineFault: it does not become ready.

        """
        is_ready = False
        self.ended = anyio.Event()
        try:
            async with self.engine:
                ready = ReadyEngine(self.engine, self._workspaces_of(self.engine))
                is_ready = True
                task_status.started(ready)
                await self.ending.wait()
        except (Exception, SystemExit) as error:  # the boundary of a plug-in
            if not is_ready:
                raise EngineFault(described(error)) from error
            _log.error("engine_failed", engine=self.engine.name, reason=described(error), exc_info=error)
        finally:
            self.ended.set()


async def _try(
    lifetime: _EngineLifetime, start: Callable[[_EngineLifetime], Awaitable[ReadyEngine]], stopping: anyio.Event
) -> ReadyEngine:
    """Make an engine ready in several tries.

    Raises:
        EngineFault: it does not become ready.

    """
    name, reason = lifetime.engine.name, "the runner stops"
    for next_try_in_s in (*READY_PAUSES_S, None):
        try:
            return await start(lifetime)
        except TimeoutError:
            reason = f"it did not become ready within {READY_DEADLINE_S:.0f} s"
        except EngineFault as fault:
            reason = str(fault)
        _log.error("engine_not_ready", engine=name, reason=reason, next_try_in_s=next_try_in_s)
        with anyio.move_on_after(next_try_in_s or 0.0):
            await stopping.wait()
            break
    raise EngineFault(f"the engine {name!r} is left out: {reason}")
