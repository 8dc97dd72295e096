"""A runner session: from joining to leaving, or until the lease ends and all work is killed."""

import itertools
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from enum import Enum
from functools import partial
from typing import Final, assert_never

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus
from msgspec import Struct

from penstock_domain import aggregates
from penstock_domain.lease import HEARTBEAT_DEADLINE_S, HEARTBEAT_INTERVAL_S, LEASE_CHECK_S
from penstock_execution.sandbox.status import SandboxStatus
from penstock_ports import Heartbeats, PortError
from penstock_runner.attempts.attempt import AttemptRun
from penstock_runner.attempts.dependencies import AttemptDependencies
from penstock_runner.attempts.failures import MAX_MESSAGE_CHARS
from penstock_runner.attempts.returns import return_attempt
from penstock_runner.core.orders import (
    Action,
    AttemptKey,
    AttemptLeft,
    DrainBegun,
    DrainExpired,
    ReturnAttempt,
    RunnerInput,
    RunnerLease,
    SessionState,
    StartAttempt,
    StartOrder,
    StopAttempt,
    handle,
    order_of,
    remaining_s,
    renew,
)
from penstock_runner.registration import RunnerRegistration
from penstock_schemas.events import RecordDamaged, RunnerJoined
from penstock_schemas.ids import RunnerId
from penstock_schemas.jobs import RequeueCause, UnsupportedDirectives
from penstock_schemas.views import RunnerHeartbeat, SandboxLevel

STOP_DEADLINE_S: Final = 6.0
"""After the end of the drain, remaining attempts are stopped and returned within this time."""
LEAVE_DEADLINE_S: Final = 3.0
REPORT_PAUSES_S: Final = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
"""Between tries to return an attempt whose end could not be reported; the last one is repeated."""

_log = structlog.stdlib.get_logger()


class SessionEnd(Enum):
    """How a session ended."""

    LEFT = "left"
    """Its end was requested, and it left."""
    FENCED = "fenced"
    """It lost the right to work, and killed everything."""


class RunnerConfig(Struct, frozen=True, kw_only=True):
    """The properties of a runner, and its deadlines."""

    name: str
    slots: int
    labels: dict[str, str]
    host: str
    software_version: str
    lease_s: float
    drain_timeout_s: float
    sandbox: SandboxStatus = SandboxStatus(level=SandboxLevel.OFF)
    unsupported_directives: UnsupportedDirectives | None = None
    provides: tuple[str, ...] = ()
    """Directives for software that it honours."""
    cores: int = 0
    """Of each slot; 0: not stated."""
    gpus: tuple[str, ...] = ()
    """The ids of its GPUs."""


class Shutdown:
    """A request that a runner ends; it can be made urgent."""

    def __init__(self) -> None:
        self.requested = anyio.Event()
        """Finish the running attempts, start no others, leave."""
        self.urgent = anyio.Event()
        """Stop the running attempts, return them, leave."""

    def request(self) -> None:
        """Request to leave; the second request is urgent."""
        if self.requested.is_set():
            self.urgent.set()
        self.requested.set()


class RunnerSession:
    """One session of a runner."""

    def __init__(
        self,
        terms: RunnerConfig,
        place: AttemptDependencies,
        heartbeats: Heartbeats,
        shutdown: Shutdown,
    ) -> None:
        self._terms = terms
        self._place = place
        self._heartbeats = heartbeats
        self._register = RunnerRegistration(place.log, place.runner_id, runtime=place.runtime)
        self._shutdown = shutdown
        self._clock = place.runtime.boot_time
        self._state = SessionState(slots=terms.slots)
        self._lease: RunnerLease | None = None
        """Set by the first heartbeat that was acknowledged."""
        self._life = anyio.CancelScope()
        self._runs: dict[AttemptKey, AttemptRun] = {}
        self._open = 0
        """Attempts that are running or being returned, whose end is not reported yet."""
        self._changed = anyio.Event()
        self._ending = SessionEnd.FENCED
        self._is_leaving = False
        self._beats = 0

    @property
    def runner_id(self) -> RunnerId:
        """The id of the runner in the log."""
        return self._place.runner_id

    async def run(self) -> SessionEnd:
        """Join, work, and leave or be fenced. When it returns or raises, none of its work is running."""
        with self._life:
            async with anyio.create_task_group() as group:
                group.start_soon(self._end_before_joining)
                await group.start(self._beat)
                group.start_soon(self._watch_lease)
                await self._register.join(self._joined())
                _log.info("ready", runner_id=self.runner_id, slots=self._terms.slots, engines=self._engines())
                group.start_soon(self._fence_after, self._register.until_ended, "the log has the end of this runner")
                until_lost = partial(self._register.until_lost, lambda: not self._open)
                group.start_soon(self._fence_after, until_lost, "the log lost the registration of this runner")
                async with anyio.create_task_group() as work:
                    work.start_soon(self._follow_orders, work)
                    await self._shutdown.requested.wait()
                    await self._drain(work)
                    work.cancel_scope.cancel()
                await self._leave()
                self._ending = SessionEnd.LEFT
                group.cancel_scope.cancel()
        return self._ending

    # The lease.

    async def _beat(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        while True:
            sent_at_s = self._clock()
            try:
                with anyio.fail_after(HEARTBEAT_DEADLINE_S):
                    await self._heartbeats.beat(self._heartbeat(), deadline_s=HEARTBEAT_DEADLINE_S)
            except (PortError, TimeoutError) as error:
                _log.warning("heartbeat_not_acknowledged", runner_id=self.runner_id, error=str(error))
            else:
                if self._lease is None:
                    self._lease = RunnerLease(self._terms.lease_s, sent_at_s)
                    task_status.started()
                self._lease = renew(self._lease, sent_at_s, now_s=self._clock())
                for engine in self._place.engines.values():
                    engine.extend_lease(partial(self._remaining_s, self._lease))
            await anyio.sleep(max(0.0, HEARTBEAT_INTERVAL_S - (self._clock() - sent_at_s)))

    def _remaining_s(self, lease: RunnerLease) -> float:
        return remaining_s(lease, self._clock())

    async def _watch_lease(self) -> None:
        while True:
            left_s = 0.0 if self._lease is None else remaining_s(self._lease, self._clock())
            if not left_s:
                break
            # In steps: a machine that was suspended wakes up with timers that are too late.
            await anyio.sleep(min(left_s, LEASE_CHECK_S))
        self._fence("no heartbeat was acknowledged for the length of the lease")

    async def _fence_after(self, wait: Callable[[], Awaitable[None]], reason: str) -> None:
        await wait()
        if not self._is_leaving:
            self._fence(reason)

    def _fence(self, reason: str) -> None:
        _log.error("fenced", runner_id=self.runner_id, killed=len(self._runs), reason=reason)
        self._ending = SessionEnd.FENCED
        self._life.cancel()

    # Work.

    async def _follow_orders(self, group: TaskGroup) -> None:
        async with aclosing(self._place.log.read(aggregates=aggregates.assign(self.runner_id))) as batches:
            async for batch in batches:
                for stored in batch:
                    if isinstance(stored.event.data, RecordDamaged):
                        # Its job is not known, and this runner must not keep a slot for it.
                        self._fence(f"order {stored.seq} to this runner is damaged")
                    order = order_of(stored)
                    if order is None:
                        _log.error("order_unknown", seq=stored.seq, type=type(stored.event.data).__name__)
                    else:
                        self._handle(order, group)

    def _handle(self, runner_input: RunnerInput, group: TaskGroup) -> None:
        self._state, actions = handle(self._state, runner_input)
        for action in actions:
            self._do(action, group)

    def _do(self, action: Action, group: TaskGroup) -> None:
        match action:
            case StartAttempt():
                run = AttemptRun(self._place, action.order)
                self._runs[run.key] = run
                self._open += 1
                group.start_soon(self._run, run, group)
            case ReturnAttempt():
                self._open += 1
                group.start_soon(self._return, action.order, action.cause, action.reason)
            case StopAttempt():
                self._runs[action.key].halt(action.cause)
            case _:
                assert_never(action)

    async def _run(self, run: AttemptRun, group: TaskGroup) -> None:
        try:
            await run.run()
        except Exception as error:  # noqa: BLE001 - the boundary of an attempt: the others go on
            await self._return_until_reported(run.order, error)
        # Only now is the slot free, here as in the log.
        del self._runs[run.key]
        self._handle(AttemptLeft(run.key), group)
        self._close_one()

    async def _return(self, order: StartOrder, cause: RequeueCause, reason: str) -> None:
        try:
            await return_attempt(self._place, order, cause, reason)
        except Exception as error:  # noqa: BLE001 - as above
            await self._return_until_reported(order, error)
        self._close_one()

    async def _return_until_reported(self, order: StartOrder, error: Exception) -> None:
        """Return an attempt whose start or end could not be reported; retry until that is stored.

        No other service frees its slot while this session runs. When the session ends first, the scheduler takes the
        job back from a runner that is gone.
        """
        for pause_s in itertools.chain(REPORT_PAUSES_S, itertools.repeat(REPORT_PAUSES_S[-1])):
            _log.error(
                "attempt_not_reported",
                job_id=order.job_id,
                attempt=order.attempt,
                next_try_in_s=pause_s,
                exc_info=error,
            )
            await anyio.sleep(pause_s)
            reason = f"fault of the runner: {type(error).__name__}: {error}"[:MAX_MESSAGE_CHARS]
            try:
                await return_attempt(self._place, order, RequeueCause.LOST, reason)
            except Exception as again:  # noqa: BLE001 - as above
                error = again
            else:
                return

    def _close_one(self) -> None:
        self._open -= 1
        if not self._open:
            self._changed.set()

    # The end.

    async def _end_before_joining(self) -> None:
        await self._shutdown.requested.wait()
        if not self._register.is_joined:
            self._ending = SessionEnd.LEFT
            self._life.cancel()

    async def _drain(self, group: TaskGroup) -> None:
        _log.info("draining", runner_id=self.runner_id, running=len(self._runs))
        self._handle(DrainBegun(), group)
        with anyio.move_on_after(LEAVE_DEADLINE_S):
            await self._register.drain()
        with anyio.move_on_after(self._terms.drain_timeout_s) as drain_scope:
            async with anyio.create_task_group() as waiting:
                waiting.start_soon(self._cut_short, drain_scope)
                await self._finish_all()
                waiting.cancel_scope.cancel()
        if self._open:
            self._handle(DrainExpired(), group)
            with anyio.move_on_after(STOP_DEADLINE_S):
                await self._finish_all()

    async def _leave(self) -> None:
        """Record the end of the runner, when nothing is running. This also frees slots that were not returned."""
        self._is_leaving = True
        with anyio.move_on_after(LEAVE_DEADLINE_S):
            await self._register.leave("stopped")
        try:
            with anyio.move_on_after(LEAVE_DEADLINE_S):
                await self._heartbeats.silence(self.runner_id)
        except PortError as error:
            _log.warning("heartbeat_not_silenced", runner_id=self.runner_id, error=str(error))
        _log.info("left", runner_id=self.runner_id, not_reported=self._open)

    async def _cut_short(self, drain_scope: anyio.CancelScope) -> None:
        await self._shutdown.urgent.wait()
        drain_scope.cancel()

    async def _finish_all(self) -> None:
        while self._open:
            self._changed = anyio.Event()
            await self._changed.wait()

    # The description of the runner.

    def _engines(self) -> dict[str, str]:
        return {engine.name: engine.version for engine in self._place.engines.values()}

    def _heartbeat(self) -> RunnerHeartbeat:
        self._beats += 1
        return RunnerHeartbeat(
            runner_id=self.runner_id,
            count=self._beats,
            time=self._place.runtime.now(),
            name=self._terms.name,
            slots=self._terms.slots,
            busy=self._terms.slots - self._state.free,
            cores=self._terms.cores,
            gpus=len(self._terms.gpus),
            engines=self._engines(),
            draining=self._state.draining,
            sandbox=self._terms.sandbox.level,
            sandbox_lacks=self._terms.sandbox.lacks,
            unsupported_directives=self._terms.unsupported_directives,
            provides=self._terms.provides,
        )

    def _joined(self) -> RunnerJoined:
        return RunnerJoined(
            runner_id=self.runner_id,
            name=self._terms.name,
            slots=self._terms.slots,
            engines=self._engines(),
            labels=self._terms.labels,
            host=self._terms.host,
            software_version=self._terms.software_version,
            cores=self._terms.cores,
            gpus=self._terms.gpus,
            provides=self._terms.provides,
        )
