"""The contract of event logs. A test module subclasses it and provides the fixture `log`, an empty log.

The tests that are marked `three_nodes` are worth running on a cluster as well.
"""

from contextlib import aclosing

import anyio
import pytest

from penstock_domain.chain import Stored, verify
from penstock_ports import MAX_APPEND_ENTRIES, MAX_EVENT_BYTES, Conflict, EventLog, Fence, Fenced, TooLarge, Unavailable
from penstock_schemas.views import EMPTY_HEAD
from penstock_testing.events import cancellation, cycle, election, new_aggregate, submission

DEADLINE_S = 20.0


async def read_all(log: EventLog, *, after: int = 0, aggregates: str = ">", count: int) -> list[Stored]:
    """Return the first events after a sequence, at least `count`."""
    found: list[Stored] = []
    with anyio.fail_after(DEADLINE_S):
        async with aclosing(log.read(after=after, aggregates=aggregates)) as batches:
            async for batch in batches:
                found += batch
                if len(found) >= count:
                    break
    return found


class EventLogContract:
    """What every `EventLog` does."""

    @pytest.mark.three_nodes
    async def test_an_append_is_read_back_as_it_was_stored(self, log: EventLog) -> None:
        """An append is read back as it was stored."""
        aggregate = new_aggregate()
        (first,) = await log.append([submission(aggregate)])
        (second,) = await log.append([cancellation(first)])
        history = await log.load(aggregate)
        assert history == (first, second)
        verify(history)
        assert await log.head(aggregate) == second.head
        assert await read_all(log, count=2) == [first, second]
        assert await log.last_seq() == second.seq == 2

    async def test_nothing_is_known_of_an_aggregate_without_events(self, log: EventLog) -> None:
        """Nothing is known of an aggregate without events."""
        assert await log.load(new_aggregate()) == ()
        assert await log.head(new_aggregate()) == EMPTY_HEAD
        assert await log.last_seq() == 0

    @pytest.mark.three_nodes
    async def test_an_aggregate_that_moved_on_refuses(self, log: EventLog) -> None:
        """An aggregate that moved on refuses."""
        aggregate = new_aggregate()
        (first,) = await log.append([submission(aggregate)])
        with pytest.raises(Conflict):
            await log.append([submission(aggregate)])
        await log.append([cancellation(first)])
        with pytest.raises(Conflict):
            await log.append([cancellation(first)])
        assert await log.last_seq() == 2

    @pytest.mark.three_nodes
    async def test_several_entries_are_stored_all_or_none(self, log: EventLog) -> None:
        """Several entries are stored all or none."""
        taken, fresh = new_aggregate(), new_aggregate()
        (first,) = await log.append([submission(taken)])
        with pytest.raises(Conflict):
            await log.append([submission(fresh), submission(taken)])
        assert await log.load(fresh) == ()
        stored = await log.append([submission(fresh), cancellation(first)])
        assert [item.seq for item in stored] == [2, 3]
        assert await log.load(fresh) == stored[:1]
        assert await log.load(taken) == (first, stored[1])

    async def test_an_append_may_add_several_events_to_an_aggregate(self, log: EventLog) -> None:
        """An append may add several events to an aggregate."""
        aggregate = new_aggregate()
        submitted = submission(aggregate)
        head = Stored(seq=0, event=submitted.event, hash="unknown")
        stored = await log.append([submitted, cancellation(head, expected=None)])
        assert await log.load(aggregate) == stored
        assert len(stored) == 2

    @pytest.mark.three_nodes
    async def test_a_fence_holds_off_a_former_leader(self, log: EventLog) -> None:
        """A fence holds off a former leader."""
        (lease,) = await log.append([election()])
        aggregate = new_aggregate()
        fence = Fence(aggregate="scheduler.lease", seq=lease.seq)
        decided = await log.append([cycle(), submission(aggregate)], fence=fence)
        assert await log.load(aggregate) == decided[1:]
        await log.append([cycle(decided[0].head)], fence=fence)
        await log.append([election(lease.head)])
        other = new_aggregate()
        for entries in ([cycle(), submission(other)], [cycle()]):
            with pytest.raises(Fenced):
                await log.append(entries, fence=fence)
        assert await log.load(other) == ()

    @pytest.mark.three_nodes
    async def test_within_a_valid_fence_a_conflict_is_a_conflict(self, log: EventLog) -> None:
        """Within a valid fence a conflict is a conflict."""
        (lease,) = await log.append([election()])
        aggregate = new_aggregate()
        await log.append([submission(aggregate)])
        with pytest.raises(Conflict) as caught:
            await log.append([cycle(), submission(aggregate)], fence=Fence(aggregate="scheduler.lease", seq=lease.seq))
        assert not isinstance(caught.value, Fenced)
        assert await log.last_seq() == 2

    @pytest.mark.three_nodes
    async def test_what_is_too_large_is_refused_before_anything_is_stored(self, log: EventLog) -> None:
        """What is too large is refused before anything is stored."""
        with pytest.raises(TooLarge):
            await log.append([submission(new_aggregate(), padding_bytes=MAX_EVENT_BYTES)])
        with pytest.raises(TooLarge):
            await log.append([submission(new_aggregate()) for _ in range(MAX_APPEND_ENTRIES + 1)])
        await log.append([submission(new_aggregate(), padding_bytes=MAX_EVENT_BYTES - 2000)])
        assert len(await log.append([submission(new_aggregate()) for _ in range(MAX_APPEND_ENTRIES)])) == 1000
        assert await log.last_seq() == 1001

    async def test_an_append_without_an_expectation_is_a_mistake(self, log: EventLog) -> None:
        """An append without an expectation is a mistake."""
        (first,) = await log.append([submission(new_aggregate())])
        with pytest.raises(ValueError, match="expectation"):
            await log.append([cancellation(first, expected=None)])
        with pytest.raises(ValueError, match="entry"):
            await log.append([])
        with pytest.raises(ValueError, match="fence"):
            await log.append([cancellation(first)], fence=Fence(aggregate="scheduler.lease", seq=1))

    @pytest.mark.three_nodes
    async def test_load_waits_for_the_required_version(self, log: EventLog) -> None:
        """Load waits for the required version."""
        aggregate = new_aggregate()
        (first,) = await log.append([submission(aggregate)])
        with pytest.raises(Unavailable):
            await log.load(aggregate, min_version=2, deadline_s=0.1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log.append, [cancellation(first)])
            assert len(await log.load(aggregate, min_version=2, deadline_s=DEADLINE_S)) == 2

    @pytest.mark.three_nodes
    async def test_concurrent_appends_are_each_stored_once_or_refused(self, log: EventLog) -> None:
        """Concurrent appends are each stored once or refused."""
        contested = [new_aggregate() for _ in range(5)]
        results: list[bool] = []

        async def append(aggregate: str) -> None:
            try:
                await log.append([submission(aggregate)])
            except Conflict:
                results.append(False)
            else:
                results.append(True)

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                for aggregate in contested:
                    tasks.start_soon(append, aggregate)
                tasks.start_soon(append, new_aggregate())
        assert results.count(True) == 5 + 20
        assert results.count(False) == 95
        assert await log.last_seq() == 25

    async def test_a_reader_begins_at_the_given_sequence(self, log: EventLog) -> None:
        """A reader begins at the given sequence."""
        stored = [(await log.append([submission(new_aggregate())]))[0] for _ in range(10)]
        assert await read_all(log, after=7, count=3) == stored[7:]

    async def test_a_reader_takes_only_the_requested_aggregates(self, log: EventLog) -> None:
        """A reader takes only the requested aggregates."""
        (lease,) = await log.append([election()])
        (job,) = await log.append([submission(new_aggregate())])
        (later,) = await log.append([election(lease.head)])
        assert await read_all(log, aggregates="scheduler.lease", count=2) == [lease, later]
        assert await read_all(log, aggregates="scheduler.>", count=2) == [lease, later]
        assert await read_all(log, aggregates="job.*.*", count=1) == [job]

    @pytest.mark.three_nodes
    async def test_a_waiting_reader_gets_what_is_appended(self, log: EventLog) -> None:
        """A waiting reader gets what is appended."""
        found: list[Stored] = []
        async with anyio.create_task_group() as tasks:

            async def follow() -> None:
                found.extend(await read_all(log, count=3))

            tasks.start_soon(follow)
            for _ in range(3):
                await log.append([submission(new_aggregate())])
        assert [item.seq for item in found] == [1, 2, 3]

    @pytest.mark.three_nodes
    async def test_the_tail_is_what_an_append_must_expect(self, log: EventLog) -> None:
        """The tail is what an append must expect."""
        aggregate = new_aggregate()
        assert await log.tail(aggregate) == 0
        (first,) = await log.append([submission(aggregate)])
        assert await log.tail(aggregate) == first.seq
        await log.append([cancellation(first)])
        assert await log.tail(aggregate) == await log.last_seq() == 2
