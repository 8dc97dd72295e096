"""A runner's own life in the log: joined, draining, left."""

from typing import Final

import anyio
import structlog

from penstock_domain import aggregates
from penstock_domain.chain import link
from penstock_ports import AppendEntry, Conflict, EventLog, LogFull, Unavailable, Unreadable
from penstock_runner.attempts.job_log import RETRY_PAUSE_S
from penstock_runtime.runtime import SYSTEM, Runtime
from penstock_schemas.events import EventData, RunnerDraining, RunnerJoined, RunnerLeft, RunnerLost
from penstock_schemas.ids import EventId, RunnerId
from penstock_schemas.views import EMPTY_HEAD

_log: structlog.stdlib.BoundLogger = structlog.get_logger("penstock_runner")
_GONE: Final = (RunnerLeft, RunnerLost)


class RunnerRegistration:
    """Writes one runner's life. It waits for an unreachable log for as long as it takes: the caller bounds that."""

    def __init__(self, log: EventLog, runner_id: RunnerId, *, runtime: Runtime = SYSTEM) -> None:
        self._log = log
        self._runtime = runtime
        self._runner_id = runner_id
        self._aggregate = aggregates.runner(runner_id)
        self.is_joined = False

    async def join(self, joined: RunnerJoined) -> None:
        """Say that the runner is ready; it can be given work from now on."""
        await self._append(joined)
        self.is_joined = True

    async def drain(self) -> None:
        """Say that it takes nothing new."""
        await self._append(RunnerDraining(runner_id=self._runner_id, reason="asked to stop"))

    async def leave(self, reason: str, *, is_crash: bool = False) -> None:
        """Say that none of its work is running any more; nothing happens if it never joined or is known to be gone."""
        await self._append(RunnerLeft(runner_id=self._runner_id, reason=reason, is_crash=is_crash))

    async def _append(self, data: EventData) -> None:
        while True:
            try:
                return await self._append_once(data)
            except Conflict:
                continue  # the scheduler said something of this runner: read it
            except Unreadable as error:
                # Nobody can append to what nobody can read. The scheduler gives a silent runner up.
                _log.error("runner_events_damaged", runner_id=self._runner_id, reason=str(error))
                return None
            except (Unavailable, LogFull):
                await anyio.sleep(RETRY_PAUSE_S)

    async def _append_once(self, data: EventData) -> None:
        history = await self._log.load(self._aggregate)
        said = [stored.event.data for stored in history]
        is_said = any(type(item) is type(data) for item in said)
        is_gone = any(isinstance(item, _GONE) for item in said)
        if is_said or is_gone or (not said and not isinstance(data, RunnerJoined)):
            return
        head = history[-1].head if history else EMPTY_HEAD
        event = link(
            head,
            self._aggregate,
            data,
            event_id=EventId(self._runtime.new_id()),
            time=self._runtime.now(),
            actor=f"runner:{self._runner_id}",
        )
        await self._log.append([AppendEntry(event, head.seq)])
