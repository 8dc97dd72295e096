"""Long work for one run leaves the event loop to others in between."""

import itertools

import anyio
import anyio.lowlevel

from penstock_execution.processes.turns import TURN_S, Turns


async def test_others_have_their_turn_during_long_work() -> None:
    now_s = 0.0
    turns = Turns(clock=lambda: now_s)
    others: list[float] = []
    is_over = False

    async def other() -> None:
        while not is_over:
            others.append(now_s)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(other)
        for _ in range(100):
            now_s += TURN_S / 4
            await turns.step()
        is_over = True
    waited = [after - before for before, after in itertools.pairwise(others)]
    assert len(others) > 20
    assert max(waited) < 2 * TURN_S


async def test_short_work_is_not_held_up() -> None:
    now_s = 0.0
    turns = Turns(clock=lambda: now_s)
    for _ in range(10):
        now_s += 1_000.0  # waited for
        turns.begin()
        now_s += TURN_S / 2
        with anyio.fail_after(TURN_S * 1_000):
            await turns.step()
