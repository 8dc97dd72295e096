"""The handlers of Ctrl-C: while modules are imported, and while a command waits."""

import io
import os
import signal
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from penstock.terminal import interrupts
from penstock.terminal.interrupts import ExitOnInterrupt, LastingInterrupt


@pytest.fixture(autouse=True)
def default_handler() -> Generator[None]:
    """Give each test the handler that Python installs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def handler_within() -> Any:
    """Return the handler that is installed within the block."""
    with ExitOnInterrupt():
        return signal.getsignal(signal.SIGINT)


def test_the_default_handler_is_replaced_within_the_block_only() -> None:
    assert handler_within() is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_interrupt_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert handler_within() is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_another_thread_leaves_the_handler_alone() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(handler_within).result() is signal.default_int_handler


class Response(io.IOBase):
    """Ctrl-C arrives while it is closed."""

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_that_a_finalizer_discards_is_raised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "REPEAT_S", 0.05)
    was_discarded = False

    def wait() -> None:
        nonlocal was_discarded
        with LastingInterrupt():
            Response()  # its finalizer closes it
            was_discarded = True
            time.sleep(20)  # interrupted

    with pytest.raises(KeyboardInterrupt):
        wait()
    assert was_discarded
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_lasting_interrupt_leaves_other_handlers_alone() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with LastingInterrupt():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
