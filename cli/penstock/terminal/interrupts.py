"""Ctrl-C while modules are imported. It imports as little as possible, since the entry point imports it first."""

import os
import signal
from types import FrameType

from penstock.terminal.exit_codes import Exit


class ExitOnInterrupt:
    """End the process at once with exit code 130 when Ctrl-C arrives within the block, which only imports modules.

    `KeyboardInterrupt` does not suffice: Python's import system prints a traceback of it at some places and goes on.
    An interrupt that the caller ignores, or that another handler receives, is left alone.
    """

    def __init__(self) -> None:
        self._is_active = False

    def __enter__(self) -> None:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            try:
                signal.signal(signal.SIGINT, _end)
            except ValueError:
                return  # only the main thread may handle signals
            self._is_active = True

    def __exit__(self, *_error: object) -> None:
        if self._is_active:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(Exit.INTERRUPTED)
