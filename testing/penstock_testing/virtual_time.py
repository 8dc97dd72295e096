"""An asyncio event loop in virtual time, in which one seed decides the order of all that happens.

Production code runs on it unchanged, through anyio. Time passes only when nothing is ready to run, and then at once.
What is ready runs in an order that the seed decides: first callbacks that belong to no task, as they came, then tasks
in random order.

A `Process` is a set of tasks that are paused, resumed and killed together, between any two of their steps. A process
that was killed never runs again: no `finally` and no `except` of it, as after SIGKILL.
"""

import asyncio
import contextvars
import math
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager
from heapq import heappop, heappush
from random import Random
from typing import Any, Final, TypeVar, TypeVarTuple, cast

import anyio
import anyio.lowlevel
import anyio.to_thread

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_current: Final = contextvars.ContextVar["Process | None"]("process", default=None)
OUTSIDE: Final = contextvars.Context()
"""The context of what belongs to no process."""

MAX_ROUNDS: Final = 10_000
"""So often something is ready to run at the same time; more is a loop that never waits."""


class Stalled(AssertionError):
    """The run is not over, and time does not pass any more."""


class Process:
    """Tasks that are paused and killed together."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop
        self._paused_until = 0.0
        self.is_alive = True
        self.is_held = False
        """Whether nothing of it runs now."""
        self._held: list[_Step] = []
        """What is ready to run once the process goes on."""

    def start(self, work: Callable[[], Coroutine[Any, Any, object]]) -> "asyncio.Task[object]":
        """Start a task of this process."""
        context = contextvars.copy_context()
        context.run(_current.set, self)
        return self._loop.create_task(work(), context=context)

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Run a callback as a part of this process, as a signal handler does."""
        context = contextvars.copy_context()
        context.run(_current.set, self)
        self._loop.call_soon(callback, context=context)

    def pause(self, seconds: float) -> None:
        """Let nothing of it run for so long."""
        self._paused_until = max(self._paused_until, self._loop.time() + seconds)
        self.is_held = True
        self._loop.call_at(self._paused_until, self._go_on, context=OUTSIDE)

    def resume(self) -> None:
        """End its pause."""
        self._paused_until = 0.0
        self._go_on()

    def kill(self) -> None:
        """Let nothing of it ever run again."""
        self.is_alive, self.is_held = False, True

    def release(self) -> None:
        """Let it run after the end of the simulation, also when it was killed, so that its tasks can be cancelled."""
        self.is_alive = True
        self.resume()

    def hold(self, step: "_Step") -> None:
        """Keep a step for later."""
        self._held.append(step)

    def _go_on(self) -> None:
        if self.is_alive and self._paused_until <= self._loop.time():
            self.is_held = False
            self._loop.add_ready(self._held)
            self._held = []


class _Step(asyncio.TimerHandle):
    """A callback that the loop has to run, at once or at a time; its own handle, since there are thousands in a run."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "number", "process")

    def __init__(  # pyright: ignore[reportMissingSuperCall] - the base class looks up the debug mode for each
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> None:
        self._when = when
        self.callback, self.args = callback, args
        self.context = contextvars.copy_context() if context is None else context
        self.is_cancelled = False
        self.process: Process | None = self.context.get(_current)
        self.number: int = getattr(getattr(callback, "__self__", None), "penstock_number", 0)

    def cancel(self) -> None:
        """Do not run it, and keep nothing that it refers to."""
        self.is_cancelled = True
        self.callback, self.args = _nothing, ()

    def cancelled(self) -> bool:
        """Return whether it must not run."""
        return self.is_cancelled

    def __repr__(self) -> str:
        return f"<step {self.callback} at {self._when}>"


def _nothing() -> None:
    """Do nothing."""


class _Task(asyncio.Task[Any]):
    """A task that has a number: tasks are sorted by it before they are shuffled."""

    def __init__(self, coro: Any, *, number: int, loop: Any, context: contextvars.Context | None) -> None:
        self.penstock_number = number  # before its first step is scheduled
        super().__init__(coro, loop=loop, context=context)


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop; `random` decides the order of tasks."""

    _stopping: bool
    """The base class sets it, and ends when it is set."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._now = 0.0
        self._random = random
        self._steps: list[_Step] = []
        self._timers: list[tuple[float, int, _Step]] = []
        self._count = 0
        self._rounds = 0
        """Since time passed last."""
        self.steps = 0
        """How many were run."""
        self.faults: list[BaseException] = []
        """What left a callback, or a task that nobody waits for."""
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._note_fault)

    def time(self) -> float:
        """Return the virtual time, in seconds from 0."""
        return self._now

    def add_ready(self, steps: list[_Step]) -> None:
        """Run what was held."""
        self._steps.extend(steps)

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Run a callback next."""
        step = _Step(self._now, callback, args, context)
        self._steps.append(step)
        return step

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback at a time."""
        step = _Step(when, callback, args, context)
        self._count += 1
        if when < math.inf:
            heappush(self._timers, (when, self._count, step))
        return step

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback after some time."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Run a callback next; there are no threads."""
        return self.call_soon(callback, *args, context=context)

    def _make_task(self, loop: Any, coro: Any, context: Any = None) -> "asyncio.Task[Any]":
        self._count += 1
        return _Task(coro, number=self._count, loop=loop, context=context)

    def _note_fault(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            self.faults.append(error)

    def _run_once(self) -> None:
        while not self._stopping:
            self._run_round()

    def _run_round(self) -> None:
        if not self._steps:
            self._advance()
        elif self._rounds > MAX_ROUNDS:
            raise Stalled(f"time does not advance: {self._steps[0]}")
        self._rounds += 1
        timers, batch = self._timers, self._steps
        self._steps = []
        while timers and timers[0][0] <= self._now:
            batch.append(heappop(timers)[2])
        for step in self._in_random_order(batch) if len(batch) > 1 else batch:
            if step.is_cancelled:
                continue
            process = step.process
            if process is not None and process.is_held:
                process.hold(step)
                continue
            self.steps += 1
            try:
                step.context.run(step.callback, *step.args)
            except Exception as error:  # noqa: BLE001  # the boundary of a callback
                self.faults.append(error)

    def _advance(self) -> None:
        timers = self._timers
        while timers and timers[0][2].is_cancelled:
            heappop(timers)
        if not timers:
            raise Stalled("nothing is left to wait for")
        self._now = max(self._now, timers[0][0])
        self._rounds = 0

    def _in_random_order(self, batch: list[_Step]) -> list[_Step]:
        """Shuffle tasks; what was made ready from a set comes in the order of its addresses, so sort first."""
        batch.sort(key=_number_of)
        places: dict[int, float] = {0: -1.0}
        for step in batch:
            if step.number not in places:
                places[step.number] = self._random.random()
        batch.sort(key=lambda step: places[step.number])
        return batch

    def _process_events(self, event_list: Any) -> None:
        """Do nothing: there is no input and no output."""

    def _timer_handle_cancelled(self, handle: Any) -> None:
        """Do nothing: a cancelled timer goes when its time comes."""

    def _write_to_self(self) -> None:
        """Do nothing: there is no selector to wake."""


def _number_of(step: _Step) -> int:
    return step.number


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]], random: Random) -> T:
    """Run `main` to its end in virtual time."""
    loop = VirtualLoop(random)
    try:
        with _shortened():
            asyncio.set_event_loop(loop)
            return loop.run_until_complete(main(loop))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


@contextmanager
def _shortened() -> Generator[None, None, None]:
    """Run what would run in a thread in the loop, as one step, and let tasks sleep without a search for the loop."""
    run_sync, sleep = anyio.to_thread.run_sync, anyio.sleep

    async def run_inline(function: Callable[..., T], *args: Any, **_: Any) -> T:
        await anyio.lowlevel.checkpoint()
        return function(*args)

    async def sleep_in_loop(delay: float) -> None:
        loop = asyncio.get_running_loop()
        if not delay > 0:
            return await sleep(delay)
        woken = loop.create_future()
        step = loop.call_later(delay, _settle, woken)
        try:
            await woken
        finally:
            step.cancel()

    anyio.to_thread.run_sync = cast("Any", run_inline)
    anyio.sleep = sleep_in_loop
    try:
        yield
    finally:
        anyio.to_thread.run_sync, anyio.sleep = run_sync, sleep


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def at_once(awaitable: Awaitable[T]) -> T:
    """Return what a port in memory answers: it waits for nothing."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as done:
        return cast("T", done.value)
    raise AssertionError("a port in memory waited")
