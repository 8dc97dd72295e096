"""Many runs of the whole system, and the proof that a mistake would be noticed."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path
from uuid import UUID

import pytest
from tests.simulation.invariants import Violated
from tests.simulation.story import Story
from tests.simulation.world import Faults

from penstock_domain.chain import Stored
from penstock_domain.damage import is_unreadable
from penstock_gateway.maintenance.deletions import NOTES, Deletions
from penstock_projector.projector import Projector
from penstock_scheduler.core.leader import Batch, Leader
from penstock_scheduler.core.records import Snapshot
from penstock_scheduler.core.state import SchedulerState
from penstock_scheduler.leading import End, Term
from penstock_schemas.access import Principal
from penstock_schemas.commands import DeleteJob
from penstock_schemas.events import JobDeleted, JobEventData
from penstock_schemas.ids import JobId
from penstock_schemas.views import JobLifecycle

pytestmark = pytest.mark.simulation

CHUNKS = 40
SEEDS_PER_CHUNK = 50
MAX_SEEDS_TO_NOTICE = 300
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_fault_breaks_an_invariant(chunk: int) -> None:
    for seed in range(chunk * SEEDS_PER_CHUNK, (chunk + 1) * SEEDS_PER_CHUNK):
        Story(seed).run()


@pytest.mark.parametrize("chunk", range(4))
def test_no_lost_event_breaks_an_invariant(chunk: int) -> None:
    """The server loses some of the events: what belongs to them ends, and nothing waits for ever."""
    for seed in range(chunk * 10, (chunk + 1) * 10):
        Story(seed, faults=Faults(missing_share=0.5)).run()


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
    """A mutation must break the invariant that guards it. The troubles are those that the guarded rule is for."""

    def test_the_log_ignores_the_fence(self) -> None:
        faults = Faults(is_fence_ignored=True, lost_share=0.2)
        is_noticed(lambda seed: Story(seed, faults=faults), "the chain of hashes is whole", first_seed=52)

    def test_a_leader_continues_after_an_unknown_outcome(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A batch arrives late and does not conflict with the batches that were decided without it.

        The expected versions refuse most of them, since the next decision contains the same assignments. A batch that
        orders a stop is not refused when the attempt ended meanwhile.
        """
        original = Term._append  # pyright: ignore[reportPrivateUsage]  # the mutated branch

        async def append(self: Term, leader: Leader, batch: Batch) -> End | None:
            end = await original(self, leader, batch)
            return None if end is End.UNKNOWN_OUTCOME else end

        monkeypatch.setattr(Term, "_append", append)
        monkeypatch.setattr("tests.simulation.troubles.TROUBLES", ("clock",))
        monkeypatch.setattr("tests.simulation.story.CANCEL_SHARE", 1.0)
        faults = Faults(delayed_batch_share=0.5)
        is_noticed(lambda seed: Story(seed, faults=faults), "the chain of hashes is whole", first_seed=94)

    def test_a_lease_is_longer_than_the_scheduler_waits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tests.simulation.troubles.TROUBLES", ("runner cut off",))
        monkeypatch.setattr("tests.simulation.machines.MAX_WORK_S", 60.0)
        is_noticed(lambda seed: Story(seed, lease_s=60.0), "no two attempts at the same time", first_seed=38)

    def test_a_projector_ignores_where_the_checkpoint_was(self, monkeypatch: pytest.MonkeyPatch) -> None:
        original = Projector._write  # pyright: ignore[reportPrivateUsage]  # the mutated branch

        async def write(self: Projector, piece: Sequence[Stored], _previous: int) -> int:
            return await original(self, piece, await self._cluster.jobs.checkpoint())  # pyright: ignore[reportPrivateUsage]

        monkeypatch.setattr(Projector, "_write", write)
        monkeypatch.setattr("tests.simulation.troubles.TROUBLES", ("any pause", "projector crash", "cut off"))
        is_noticed(Story, "the view equals the fold", first_seed=41)

    def test_an_idempotency_key_does_not_decide_the_job_id(self, monkeypatch: pytest.MonkeyPatch) -> None:
        numbers = count(1)

        def ids(_principal: Principal, _key: str) -> Iterator[JobId]:
            return (JobId(str(UUID(int=number))) for number in numbers)

        monkeypatch.setattr("penstock_gateway.jobs.submission.submissions.job_ids_of", ids)
        is_noticed(Story, "an idempotency key makes one job at a time", first_seed=0)

    def test_a_restored_snapshot_lacks_the_limits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        original = SchedulerState.restore

        def restore(snapshot: Snapshot) -> SchedulerState:
            snapshot.limits = {}
            return original(snapshot)

        monkeypatch.setattr(SchedulerState, "restore", restore)
        is_noticed(Story, "limits are never exceeded", first_seed=1)

    def test_a_job_is_deleted_before_its_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def delete(job: JobLifecycle, command: DeleteJob) -> tuple[JobEventData, ...]:
            return () if job.deleted_at is not None else (JobDeleted(reason=command.reason),)

        monkeypatch.setattr("penstock_domain.job.decide._delete", delete)
        is_noticed(Story, "only what ended is deleted", first_seed=2)

    def test_interrupted_deletions_are_not_resumed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def sweep(deletions: Deletions) -> None:
            for info in await deletions._blobs.list(NOTES):  # pyright: ignore[reportPrivateUsage]  # the mutated branch
                await deletions._blobs.delete(info.key)  # pyright: ignore[reportPrivateUsage]

        monkeypatch.setattr(Deletions, "sweep", sweep)
        is_noticed(Story, "the files of deleted jobs are removed", first_seed=8)

    def test_retention_deletes_too_early(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tests.simulation.machines.KEPT", timedelta(days=1))
        is_noticed(Story, "retention deletes only what is old", first_seed=0)

    def test_the_projector_skips_events_that_cannot_be_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        original = Projector._write  # pyright: ignore[reportPrivateUsage]  # the mutated branch

        async def write(self: Projector, piece: Sequence[Stored], previous: int) -> int:
            readable = [stored for stored in piece if not is_unreadable(stored)]
            return await original(self, readable, previous) if readable else previous

        monkeypatch.setattr(Projector, "_write", write)
        is_noticed(Story, "the view equals the fold", first_seed=2)


def is_noticed(make: Callable[[int], Story], name: str, *, first_seed: int) -> None:
    """Check that a seed breaks the invariant of this name, and that its message names the seed.

    Args:
        make: makes the run of a seed.
        name: of the invariant.
        first_seed: the seed that is known to notice it. After a change of the product another seed may notice it: then
            the seeds that follow are tried.

    """
    violations = ((seed, _violation_of(make(seed))) for seed in range(first_seed, first_seed + MAX_SEEDS_TO_NOTICE))
    seed, text = next(((seed, text) for seed, text in violations if text.startswith(name)), (-1, ""))
    assert seed >= 0, f"{MAX_SEEDS_TO_NOTICE} runs did not notice it"
    assert f"python -m tests.simulation {seed}]" in text


def _violation_of(story: Story) -> str:
    try:
        story.run()
    except Violated as violated:
        return str(violated)
    return ""
