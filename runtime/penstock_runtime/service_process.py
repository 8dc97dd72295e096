"""How the scheduler and the projector live as processes: settings, signals, exit codes.

Exit codes: 0 stopped on request, 1 cannot work (the reason is in one line), 2 wrong settings.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, TypeVar

import anyio
import structlog
from msgspec import Struct

from penstock_ports import PortError
from penstock_runtime.background import described
from penstock_runtime.folders.private_folders import create_files_privately
from penstock_runtime.logs import configure_logs
from penstock_runtime.settings import BadSettings, LogLevel, UnusableSetting, read_settings, without_effect

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_SETTINGS: Final = 2

S = TypeVar("S", bound=Struct)
_log = structlog.get_logger("penstock_scheduler")


def main(shape: type[S], serve: Callable[[S], Awaitable[None]], *, service: str) -> None:
    """Read the settings from the environment and serve until a signal ends it."""
    create_files_privately()
    try:
        settings = read_settings(shape, os.environ)
    except BadSettings as error:
        _exit(EXIT_SETTINGS, str(error))
    level: LogLevel = getattr(settings, "log_level", LogLevel.INFO)
    configure_logs(level, service=service)
    for sentence in without_effect(os.environ):
        _log.warning("setting_without_effect", reason=sentence)
    try:
        anyio.run(serve, settings, backend_options={"use_uvloop": True})
    except* UnusableSetting as errors:
        _exit(EXIT_SETTINGS, f"penstock {service}: {'; '.join(str(exception) for exception in errors.exceptions)}")
    except* PortError as errors:
        _exit(EXIT_FAILED, f"penstock {service}: {'; '.join(str(exception) for exception in errors.exceptions)}")
    except* Exception as error:  # noqa: BLE001  # the boundary of the process
        # What it folded may be incomplete: only a new process is certain to be right.
        _log.error("ended_by_a_fault", reason=described(error), exc_info=error)
        raise SystemExit(EXIT_FAILED) from None


async def until_signalled(work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` until it returns, or cancel it on SIGTERM or SIGINT."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_cancel_on_signal, tasks.cancel_scope)
        await work()
        tasks.cancel_scope.cancel()


async def _cancel_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for one_signal in signals:
            _log.info("stopping", signal=one_signal.name)
            scope.cancel()
            return


def _exit(code: int, text: str) -> NoReturn:
    sys.stderr.write(text + "\n")
    raise SystemExit(code)
