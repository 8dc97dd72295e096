"""Keeps a few processes running: starts them, starts again the ones that died, stops them in a given order.

A process that ends without a request is started again, after a pause that grows with every quick death. One that
dies too often in a row before it serves, or refuses its settings, is given up, and the supervisor notifies its
owner, so that it can stop everything. One that had served is never given up: its work may have ended it, such as a
run that crashes its runner, which the scheduler isolates.
"""

from collections.abc import Callable
from typing import Final

import anyio
from anyio.abc import TaskGroup, TaskStatus
from msgspec import Struct

from penstock.local.processes import Keepable, NotStarted, ending
from penstock.terminal.exit_codes import Exit
from penstock_runtime.runtime import SYSTEM

QUICK_DEATH_S: Final = 10.0
"""A process with a shorter life died quickly."""
MAX_QUICK_DEATHS: Final = 8
"""In a row, before it served; then it is given up."""
FIRST_PAUSE_S: Final = 0.1
LAST_PAUSE_S: Final = 5.0


class GivenUp(Struct, frozen=True):
    """Something that does not stay alive."""

    name: str
    reason: str
    last_lines: tuple[str, ...]
    code: Exit = Exit.ERROR
    """What the supervisor's own command ends with."""


class ProcessSupervisor:
    """Keeps one process running until it is stopped."""

    def __init__(self, kept: Keepable, grace_s: float, report: Callable[[str], None]) -> None:
        self.kept = kept
        self._grace_s = grace_s
        self._report = report
        self._stopping = anyio.Event()
        self._ended = anyio.Event()

    async def keep(self, *, task_status: TaskStatus[None]) -> GivenUp | None:
        """Run it until `stop` is called, through every death of it, or until it is given up.

        Raises:
            NotStarted: it did not start the first time.

        """
        try:
            await self.kept.start()
            task_status.started()
            given_up: GivenUp | None = None
            with anyio.CancelScope(shield=True):  # only `stop` ends it: it is never left running alone
                given_up = await self._keep()
            return given_up  # noqa: RET504  # both type checkers take the scope for one that may swallow a return
        finally:
            self.kept.kill()
            self.kept.close()
            self._ended.set()

    async def _keep(self) -> GivenUp | None:
        quick_deaths = unserved_deaths = 0
        started = SYSTEM.monotonic()
        while True:
            code = await self.kept.wait()
            if self._stopping.is_set():
                return None
            quick_deaths = quick_deaths + 1 if SYSTEM.monotonic() - started < QUICK_DEATH_S else 0
            unserved_deaths = unserved_deaths + 1 if quick_deaths and not self.kept.has_served else 0
            if code == Exit.USAGE:
                return self._given_up("refused its settings", code=Exit.USAGE)
            if unserved_deaths >= MAX_QUICK_DEATHS:
                return self._given_up(f"died {unserved_deaths} times soon after its start; at last it {ending(code)}")
            if quick_deaths.bit_count() <= 1:  # not every time when it goes on
                self._report(f"{self.kept.name} {ending(code)}; starting it again")
            with anyio.move_on_after(min(LAST_PAUSE_S, FIRST_PAUSE_S * 2 ** max(0, quick_deaths - 1))):
                await self._stopping.wait()
                return None
            started = SYSTEM.monotonic()
            try:
                await self.kept.start()
            except NotStarted as error:
                return self._given_up(f"cannot be started again: {error}")
            if self._stopping.is_set():  # `stop` found no process to end
                self.kept.terminate()

    async def stop(self, hurry: anyio.Event) -> None:
        """Request its end, and kill it when its grace is over or `hurry` is set. Twice is harmless."""
        self._stopping.set()
        self.kept.terminate()
        with anyio.move_on_after(self._grace_s):
            await first(self._ended, hurry)
        if not self._ended.is_set():
            if not hurry.is_set():
                self._report(f"{self.kept.name} did not end within {self._grace_s:g} s: killing it")
            self.kept.kill()
            await self._ended.wait()

    def _given_up(self, reason: str, *, code: Exit = Exit.ERROR) -> GivenUp:
        return GivenUp(self.kept.name, reason, self.kept.last_lines, code)


class Supervisor:
    """Keeps several things running in the given task group, which ends when each was stopped."""

    def __init__(self, group: TaskGroup, report: Callable[[str], None]) -> None:
        """Take what is needed; nothing is started yet.

        Args:
            group: runs the supervisors.
            report: takes a sentence for the person at the terminal.

        """
        self.given_up: GivenUp | None = None
        """The first that does not stay alive."""
        self.trouble = anyio.Event()
        """Set together with `given_up`."""
        self.hurry = anyio.Event()
        """Once set, stopping waits for nothing."""
        self._group = group
        self._report = report
        self._supervisors: dict[str, ProcessSupervisor] = {}

    async def start(self, kept: Keepable, *, grace_s: float) -> None:
        """Start something and keep it running; returns when it started.

        Raises:
            NotStarted: it cannot run here.

        """
        supervisor = ProcessSupervisor(kept, grace_s, self._report)
        await self._group.start(self._watch, supervisor)
        self._supervisors[kept.name] = supervisor

    async def stop(self, name: str) -> None:
        """Stop what was started under this name, and wait for its end."""
        supervisor = self._supervisors.get(name)
        if supervisor is not None:
            await supervisor.stop(self.hurry)

    def restart(self, name: str) -> None:
        """End what runs under this name; its supervisor starts it again, as after any death."""
        supervisor = self._supervisors.get(name)
        if supervisor is not None:
            supervisor.kept.terminate()

    def pids(self) -> dict[str, int]:
        """Return the process of everything that has one at the moment."""
        return {
            name: supervisor.kept.pid
            for name, supervisor in self._supervisors.items()
            if supervisor.kept.pid is not None
        }

    async def _watch(self, supervisor: ProcessSupervisor, *, task_status: TaskStatus[None]) -> None:
        given_up = await supervisor.keep(task_status=task_status)
        if given_up is not None and self.given_up is None:
            self.given_up = given_up
            self.trouble.set()


async def first(*events: anyio.Event) -> None:
    """Return when one of the events is set."""
    async with anyio.create_task_group() as group:

        async def wait(event: anyio.Event) -> None:
            await event.wait()
            group.cancel_scope.cancel()

        for one_event in events:
            group.start_soon(wait, one_event)
