"""Ctrl-C while modules are imported, and while a command waits.

It imports as little as possible, since the entry point imports it first.
"""

import os
import signal
from types import FrameType
from typing import Final

from penstock.terminal.exit_codes import Exit

REPEAT_S: Final = 0.5
"""After so long an interrupt that had no effect is raised again."""


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


class LastingInterrupt:
    """Let Ctrl-C leave the block, which waits for a server, with `KeyboardInterrupt` whenever it arrives.

    Python discards an exception that a finalizer raises: when Ctrl-C arrives while a response is closed that nothing
    refers to any more, the block would go on. So the exception is raised again until the block has ended.
    An interrupt that the caller ignores, or that another handler receives, is left alone.
    """

    def __init__(self) -> None:
        self._is_active = False

    def __enter__(self) -> None:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            try:
                signal.signal(signal.SIGALRM, _interrupt)
            except ValueError:
                return  # only the main thread may handle signals
            self._is_active = True
            signal.signal(signal.SIGINT, _interrupt)

    def __exit__(self, *_error: object) -> None:
        if self._is_active:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    signal.setitimer(signal.ITIMER_REAL, REPEAT_S)
    raise KeyboardInterrupt


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(Exit.INTERRUPTED)
