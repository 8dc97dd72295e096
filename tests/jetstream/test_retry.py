"""Trying again within a deadline: waits grow, and none begins that would end after it."""

import anyio
import pytest

from penstock_jetstream import names
from penstock_jetstream.transport.retry import Retry
from penstock_ports import LogFull, Unavailable


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the waits that were made, while time passes at once."""
    made: list[float] = []

    async def sleep(delay_s: float) -> None:
        made.append(delay_s)

    monkeypatch.setattr(anyio, "sleep", sleep)
    monkeypatch.setattr(anyio, "current_time", lambda: sum(made))
    return made


async def test_waits_grow_and_the_last_one_is_repeated(waits: list[float]) -> None:
    retry = Retry(100.0)
    for _ in range(len(names.RETRY_WAIT_S) + 2):
        await retry.wait(Unavailable("away"))
    assert waits == [*names.RETRY_WAIT_S, names.RETRY_WAIT_S[-1], names.RETRY_WAIT_S[-1]]
    assert waits == sorted(waits)


async def test_no_wait_ends_after_the_deadline(waits: list[float]) -> None:
    deadline_s = 1.0
    retry = Retry(deadline_s)
    failure = LogFull("no room")

    async def wait_for_ever() -> None:
        while True:
            await retry.wait(failure)

    with pytest.raises(Unavailable, match="no room") as caught:
        await wait_for_ever()
    assert caught.value.__cause__ is failure
    assert deadline_s - names.RETRY_WAIT_S[-1] <= sum(waits) < deadline_s


async def test_a_try_gets_what_is_left_and_no_more_than_its_bound(waits: list[float]) -> None:
    long, short = Retry(10 * names.ATTEMPT_S), Retry(names.ATTEMPT_S / 2)
    assert (long.attempt_s, short.attempt_s) == (names.ATTEMPT_S, names.ATTEMPT_S / 2)
    waits.append(20 * names.ATTEMPT_S)
    assert (long.remaining_s, long.attempt_s, short.attempt_s) == (0.0, 0.0, 0.0)
