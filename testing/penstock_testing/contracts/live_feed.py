"""The contract of live feeds. A test module subclasses it and provides these fixtures.

- `live`: the feed.
- `received`: returns the sequences of the first events that a subscriber received, as many as it is called with. The
  subscription was there before the test began.
"""

from collections.abc import Awaitable, Callable

from penstock_domain.chain import Stored, digest
from penstock_ports import LiveFeed
from penstock_schemas.wire import encode
from penstock_testing.events import new_aggregate, submission

Received = Callable[[int], Awaitable[list[int]]]


def stored(seq: int) -> Stored:
    """Return the submission of another job, as the log has it."""
    event = submission(new_aggregate()).event
    return Stored(seq=seq, event=event, hash=digest(encode(event)))


class LiveFeedContract:
    """What every `LiveFeed` does."""

    async def test_events_of_jobs_arrive_in_order(self, live: LiveFeed, received: Received) -> None:
        """Events of jobs arrive in order, whether they were published together or not."""
        await live.publish([])
        await live.publish([stored(3), stored(4)])
        await live.publish([stored(7)])
        assert await received(3) == [3, 4, 7]

    async def test_an_event_that_is_published_twice_is_recognised_by_its_sequence(
        self, live: LiveFeed, received: Received
    ) -> None:
        """A projector that was interrupted publishes events again."""
        event = stored(5)
        await live.publish([event])
        await live.publish([event, stored(6)])
        assert await received(3) == [5, 5, 6]
