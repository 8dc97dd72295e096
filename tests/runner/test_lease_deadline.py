"""The deadline that supervisors read from shared memory."""

import time
from collections.abc import Iterator

import pytest

from penstock_execution.processes.lease_deadline import Deadline


@pytest.fixture
def deadline() -> Iterator[Deadline]:
    made = Deadline.create()
    yield made
    made.close()


def test_a_new_deadline_never_passes(deadline: Deadline) -> None:
    assert not deadline.has_passed()


def test_it_passes_when_nothing_of_the_lease_is_left(deadline: Deadline) -> None:
    deadline.extend(lambda: 60.0)
    assert not deadline.has_passed()
    deadline.extend(lambda: 0.0)
    assert deadline.has_passed()
    deadline.extend(lambda: -5.0)
    assert deadline.has_passed()


def test_a_pause_while_it_is_extended_makes_it_earlier(deadline: Deadline, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease ends at 10, and so does the deadline, at every pause between reading the clock and the lease."""
    clock = [4.0]

    def boot_time(_clock: int) -> float:
        return clock[0]

    monkeypatch.setattr(time, "clock_gettime", boot_time)

    def remaining_s() -> float:
        clock[0] += 3.0  # the process was stopped here
        return 10.0 - clock[0]

    deadline.extend(remaining_s)
    assert deadline.has_passed(), "4 + 3 s are over"
