"""Tasks that run beside a service's main work, each within a separate boundary.

A fault in one of them is logged with the task's name, and the task starts again after a pause that doubles with each
fault in a row. So no fault ends the process, none is silent, and none makes a loop without a pause.
"""

from collections.abc import Awaitable, Callable
from typing import Final, cast

import anyio
import structlog
from msgspec import Struct

from penstock_runtime.runtime import SYSTEM

FIRST_PAUSE_S: Final = 0.5
LAST_PAUSE_S: Final = 60.0
STABLE_S: Final = 10.0
"""A task that ran for so long after a fault has recovered."""
MAX_FAULT_CHARS: Final = 200

_log = structlog.get_logger()

Work = Callable[[], Awaitable[object]]


class Fault(Struct, frozen=True):
    """Why a background task does not do its work."""

    task: str
    reason: str
    in_a_row: int
    is_essential: bool
    """Whether the service cannot do its own work without the task."""

    def __str__(self) -> str:
        times = "" if self.in_a_row == 1 else f" {self.in_a_row} times in a row"
        return f"the background task {self.task} failed{times} ({self.reason})"


class BackgroundTasks:
    """Keeps background tasks running and knows which of them fail.

    Args:
        clock: seconds that only grow.

    """

    def __init__(self, *, clock: Callable[[], float] = SYSTEM.monotonic) -> None:
        self._clock = clock
        self._faults: dict[str, Fault] = {}
        self._started_at: dict[str, float] = {}

    async def keep(self, name: str, work: Work, *, is_essential: bool = True) -> None:
        """Run `work` until it returns; run it again after every exception that leaves it.

        Args:
            name: the task's name in the log and in `faults`.
            work: can start again after any fault.
            is_essential: whether the service cannot do its own work without it.

        """
        while True:
            self._started_at[name] = self._clock()
            try:
                await work()
            except Exception as error:  # noqa: BLE001  # the boundary of a background task
                fault = self._note(name, error, is_essential=is_essential)
            else:
                self._faults.pop(name, None)
                return
            pause_s = min(LAST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(fault.in_a_row - 1, 16))
            self._started_at[name] = self._clock() + pause_s
            await anyio.sleep(pause_s)

    def faults(self) -> tuple[Fault, ...]:
        """Return the tasks that failed and have not run for `STABLE_S` since, in the order of their names."""
        return tuple(self._faults[name] for name in sorted(self._faults) if not self._is_stable(name))

    def _is_stable(self, name: str) -> bool:
        return self._clock() - self._started_at[name] >= STABLE_S

    def _note(self, name: str, error: Exception, *, is_essential: bool) -> Fault:
        before = self._faults.get(name)
        in_a_row = 1 if before is None or self._is_stable(name) else before.in_a_row + 1
        fault = Fault(name, described(error), in_a_row, is_essential)
        self._faults[name] = fault
        _log.error("background_task_failed", task=name, in_a_row=in_a_row, reason=fault.reason, exc_info=error)
        return fault


def described(error: BaseException) -> str:
    """Return what happened in one line: of a group of exceptions, the first."""
    if isinstance(error, BaseExceptionGroup):
        return described(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])
    text = " ".join(str(error).split())[:MAX_FAULT_CHARS]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
