"""The handler of Ctrl-C while modules are imported."""

import signal
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from penstock.terminal.interrupts import ExitOnInterrupt


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
