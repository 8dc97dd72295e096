"""Checks the event log as an auditor would: nothing missing, nothing changed, every decision as the rules have it."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

import anyio

from penstock_core.chain import BrokenChain, Stored, verify
from penstock_core.ports import EventLog
from penstock_scheduler.core.replay import DecisionCheck
from penstock_schemas.api import JobEvent
from penstock_schemas.events import Event
from penstock_schemas.views import EMPTY_HEAD, Head

SILENCE_S: Final = 10.0
"""When nothing comes for so long though the log goes on, what is left of it cannot be read."""


class Broken(Exception):
    """The log is not what was written, or not all of it; the text names the first thing that does not fit."""


class Audit:
    """Takes the whole log from its beginning, in order. Memory grows with the number of aggregates."""

    def __init__(self) -> None:
        self.events = 0
        self._seq = 0
        self._heads: dict[str, Head] = {}
        self._decisions = DecisionCheck()

    @property
    def aggregates(self) -> int:
        """How many chains were checked."""
        return len(self._heads)

    @property
    def cycles(self) -> int:
        """How many decisions were taken again."""
        return self._decisions.cycles

    def take(self, stored: Stored) -> None:
        """Check the next event.

        Raises:
            Broken: it does not fit.

        """
        if stored.seq != self._seq + 1:
            raise Broken(f"after event {self._seq} comes {stored.seq}: what is between cannot be read or is gone")
        aggregate = stored.event.aggregate
        try:
            verify((stored,), after=self._heads.get(aggregate, EMPTY_HEAD))
        except BrokenChain as error:
            raise Broken(f"event {stored.seq}: {error}") from error
        self._heads[aggregate] = stored.head
        difference = self._decisions.take(stored)
        if difference is not None:
            raise Broken(
                f"event {stored.seq}: the decision that it records does not follow from the log up to "
                f"{difference.recorded.seen}"
            )
        self._seq, self.events = stored.seq, self.events + 1


async def audit(log: EventLog, *, silence_s: float = SILENCE_S) -> Audit:
    """Check a log up to where it ends now.

    Raises:
        Broken: something does not fit.
        PortError: the log cannot be read.

    """
    found, last_seq = Audit(), await log.last_seq()
    async with aclosing(log.read()) as batches:
        while found.events < last_seq:
            try:
                with anyio.fail_after(silence_s):
                    batch = await anext(batches)
            except TimeoutError:
                raise Broken(f"the log goes on to {last_seq}, but nothing after {found.events} can be read") from None
            for stored in batch:
                if stored.seq <= last_seq:
                    found.take(stored)
                elif found.events < last_seq:
                    raise Broken(f"after event {found.events} comes {stored.seq}: what is between cannot be read")
            await anyio.lowlevel.checkpoint()
    return found


def verify_job(events: Sequence[JobEvent]) -> None:
    """Check the events of one job, all of them, as a server gave them.

    Raises:
        Broken: they are not a chain.

    """
    try:
        verify([Stored(each.seq, _event(each), each.hash) for each in events])
    except BrokenChain as error:
        raise Broken(str(error)) from error


def _event(event: JobEvent) -> Event:
    return Event(
        id=event.id,
        aggregate=event.aggregate,
        version=event.version,
        time=event.time,
        actor=event.actor,
        cause=event.cause,
        previous=event.previous,
        schema=event.schema,
        data=event.data,
    )
