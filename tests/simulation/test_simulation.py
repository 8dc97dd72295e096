"""Many runs of the whole system, and the proof that a mistake would be noticed."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.simulation.invariants import Violated
from tests.simulation.story import Story
from tests.simulation.world import Faults

from penstock_scheduler.core.leader import Batch, Leader
from penstock_scheduler.leading import End, Term

pytestmark = pytest.mark.simulation

CHUNKS = 40
SEEDS_PER_CHUNK = 50
MAX_SEEDS_TO_NOTICE = 300
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_fault_breaks_an_invariant(chunk: int) -> None:
    for seed in range(chunk * SEEDS_PER_CHUNK, (chunk + 1) * SEEDS_PER_CHUNK):
        Story(seed).run()


def digest_of(story: Story) -> str:
    """Return the digest of all that a run stored."""
    stored = story.run().cluster.log.stored
    return hashlib.sha256("".join(item.hash for item in stored).encode()).hexdigest()


def test_a_seed_makes_the_same_run_each_time() -> None:
    first, second = Story(7), Story(7)
    assert digest_of(first) == digest_of(second)
    assert first.steps == second.steps


def test_a_seed_makes_the_same_run_in_every_process() -> None:
    """Neither addresses nor the hashes of strings decide anything."""
    code = "from tests.simulation.test_simulation import Story, digest_of; print(digest_of(Story(11)))"
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


class TestMistakesAreNoticed:
    """A mutation must break the invariant that guards it; `tests.scheduler.simulation` has others."""

    def test_a_leader_goes_on_after_an_append_of_unknown_outcome(self, monkeypatch: pytest.MonkeyPatch) -> None:
        original = Term._append  # pyright: ignore[reportPrivateUsage]  # the mutated branch

        async def append(self: Term, leader: Leader, batch: Batch) -> End | None:
            end = await original(self, leader, batch)
            return None if end is End.DOUBT else end

        monkeypatch.setattr(Term, "_append", append)
        is_noticed(lambda seed: Story(seed, faults=Faults(lost_share=0.4)), "the chain of hashes is whole")


def is_noticed(make: Callable[[int], Story], name: str) -> None:
    """Check that one of the first seeds breaks the invariant of this name, and that its message names the seed."""
    violations = ((seed, _violation_of(make(seed))) for seed in range(MAX_SEEDS_TO_NOTICE))
    seed, text = next(((seed, text) for seed, text in violations if text), (-1, ""))
    assert seed >= 0, f"{MAX_SEEDS_TO_NOTICE} runs did not notice it"
    assert text.startswith(name)
    assert f"python -m tests.simulation {seed}]" in text


def _violation_of(story: Story) -> str:
    try:
        story.run()
    except Violated as violated:
        return str(violated)
    return ""
