"""The event loop in virtual time: one seed decides everything, and time costs nothing."""

from random import Random

import anyio
import anyio.to_thread
import pytest

from penstock_testing.virtual_time import OUTSIDE, Process, Stalled, VirtualLoop, run


def steps_of(seed: int) -> list[tuple[str, float]]:
    steps: list[tuple[str, float]] = []

    async def main(loop: VirtualLoop) -> None:
        async def work(name: str) -> None:
            for _ in range(3):
                await anyio.sleep(3600)
                steps.append((name, loop.time()))

        async with anyio.create_task_group() as group:
            for name in "abcdef":
                group.start_soon(work, name)

    run(main, Random(seed))
    return steps


def test_a_seed_decides_the_order_of_tasks() -> None:
    assert steps_of(1) == steps_of(1)
    assert steps_of(1) != steps_of(2)
    assert steps_of(1)[-1][1] == 3 * 3600


def test_a_deadline_passes_in_virtual_time() -> None:
    async def main(loop: VirtualLoop) -> float:
        with anyio.move_on_after(1000):
            await anyio.sleep_forever()
        return loop.time()

    assert run(main, Random(0)) == 1000


def test_a_killed_process_runs_nothing_more_and_a_paused_one_goes_on() -> None:
    steps: list[str] = []

    async def main(loop: VirtualLoop) -> None:
        async def work(name: str) -> None:
            try:
                await anyio.sleep(2)
                steps.append(f"{name} at {loop.time():g}")
            finally:
                steps.append(f"{name} ends")

        killed, paused = Process(loop), Process(loop)
        killed.start(lambda: work("killed"))
        paused.start(lambda: work("paused"))
        await anyio.sleep(1)
        killed.kill()
        paused.pause(9)
        await anyio.sleep(50)
        assert steps == ["paused at 10", "paused ends"]

    run(main, Random(0))


def test_what_a_paused_process_began_outside_itself_goes_on() -> None:
    """A message that it sent is delivered, and a timer of another machine ends."""
    steps: list[float] = []

    async def main(loop: VirtualLoop) -> None:
        async def send() -> None:
            loop.call_later(2, lambda: steps.append(loop.time()), context=OUTSIDE)

        sender = Process(loop)
        sender.start(send)
        await anyio.sleep(1)
        sender.pause(9)
        await anyio.sleep(50)

    run(main, Random(0))
    assert steps == [2.0]


def test_what_would_run_in_a_thread_runs_in_the_loop() -> None:
    async def main(loop: VirtualLoop) -> int:
        return await anyio.to_thread.run_sync(lambda: 7)

    assert run(main, Random(0)) == 7


def test_a_run_that_waits_for_nothing_is_refused() -> None:
    async def main(loop: VirtualLoop) -> None:
        await anyio.sleep_forever()

    with pytest.raises(Stalled):
        run(main, Random(0))
