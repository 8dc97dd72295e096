"""A thousand runs of the whole system, and the proof that a mistake would show."""

import pytest
from tests.scheduler.simulation.invariants import Violated
from tests.scheduler.simulation.story import Story
from tests.scheduler.simulation.world import Mutation

CHUNKS = 20
SEEDS_A_CHUNK = 50
MOST_SEEDS_TO_NOTICE = 300


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_nothing_that_goes_wrong_breaks_an_invariant(chunk: int) -> None:
    for seed in range(chunk * SEEDS_A_CHUNK, (chunk + 1) * SEEDS_A_CHUNK):
        Story(seed).run()


def test_a_seed_makes_the_same_run_each_time() -> None:
    first, second = Story(7).run(), Story(7).run()
    assert [each.hash for each in first.log.stored] == [each.hash for each in second.log.stored]
    assert first.steps == second.steps


@pytest.mark.parametrize(
    ("mutation", "name"),
    [
        (Mutation(is_fence_ignored=True), "the chain of hashes is whole"),
        (Mutation(self_fence_s=60.0), "no two attempts at the same time"),
        (Mutation(is_doubt_ignored=True, lost_share=0.4), "the chain of hashes is whole"),
        (Mutation(is_checkpoint_ignored=True), "the view equals the fold"),
    ],
    ids=["no fence", "lease longer than the patience", "doubt ignored", "rival projectors"],
)
def test_a_mistake_is_noticed(mutation: Mutation, name: str) -> None:
    seed, violated = first_violation(mutation)
    assert violated.startswith(name)
    assert f"python -m tests.scheduler.simulation {seed}]" in violated


def first_violation(mutation: Mutation) -> tuple[int, str]:
    for seed in range(MOST_SEEDS_TO_NOTICE):
        try:
            Story(seed, mutation).run()
        except Violated as violated:
            return seed, str(violated)
    pytest.fail(f"{MOST_SEEDS_TO_NOTICE} runs did not notice it")
