"""Checks the event log as an auditor would: nothing missing, nothing changed, every decision as the rules have it."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

import anyio
from msgspec import Struct

from penstock_domain.chain import BrokenChain, Stored, following, misfit, verify
from penstock_domain.damage import is_unreadable
from penstock_ports import EventLog, Unavailable
from penstock_scheduler.core.replay import DecisionCheck
from penstock_schemas.api import JobEvent
from penstock_schemas.events import Event, JobClosed, RecordDamaged
from penstock_schemas.views import EMPTY_HEAD, Head

MAX_FINDINGS: Final = 100
"""So many things that do not fit are named; the others are counted."""
SILENCE_S: Final = 20.0
"""When nothing comes for so long though the log goes on, what is left of it cannot be read."""


class Broken(Exception):
    """The events of a job are not the ones that were written, or not all of them."""


class Finding(Struct, frozen=True):
    """One thing in the log that is not as it was written."""

    seq: int
    aggregate: str
    """Empty when it is not known: the message is missing."""
    problem: str

    def __str__(self) -> str:
        return f"sequence {self.seq}{f' ({self.aggregate})' if self.aggregate else ''}: {self.problem}"


class Audit:
    """Takes the whole log from its beginning, in order. Memory grows with the number of aggregates."""

    def __init__(self) -> None:
        self.events = 0
        self.findings: list[Finding] = []
        """The first of what does not fit."""
        self.problems = 0
        """How much does not fit."""
        self._seq = 0
        self._heads: dict[str, Head] = {}
        self._damaged: set[str] = set()
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
        """Check the next event."""
        for missing in range(self._seq + 1, stored.seq):
            self._note(missing, "", "the event is missing")
        self._seq, self.events = stored.seq, self.events + 1
        self._check_chain(stored)
        difference = self._decisions.take(stored)
        if difference is not None:
            problem = f"the decision does not follow from the log up to {difference.recorded.seen}"
            if self.problems:
                problem += "; the damage before it may be the reason"
            self._note(stored.seq, stored.event.aggregate, problem)

    def _check_chain(self, stored: Stored) -> None:
        event = stored.event
        if not event.aggregate:
            problem = misfit(EMPTY_HEAD, stored)
            assert problem is not None, "what is missing fits nowhere"
            self._note(stored.seq, "", problem)
            return
        head = self._heads.get(event.aggregate, EMPTY_HEAD)
        is_closing = event.aggregate in self._damaged and isinstance(event.data, JobClosed)
        problem = misfit(head, stored)
        if is_closing and event.previous == head.hash:
            problem = None  # the folds count the events that they could read
        if problem is not None:
            self._damaged.add(event.aggregate)
            seq = event.data.damaged_seq if isinstance(event.data, RecordDamaged) else stored.seq
            self._note(seq, event.aggregate, problem)
        self._heads[event.aggregate] = following(head, stored) if is_unreadable(stored) else stored.head

    def _note(self, seq: int, aggregate: str, problem: str) -> None:
        self.problems += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(seq, aggregate, problem))


async def audit(log: EventLog, *, silence_s: float = SILENCE_S) -> Audit:
    """Check a log up to where it ends now.

    Raises:
        PortError: the log cannot be read.

    """
    found, last_seq, reached = Audit(), await log.last_seq(), 0
    async with aclosing(log.read()) as batches:
        while reached < last_seq:
            try:
                with anyio.fail_after(silence_s):
                    batch = await anext(batches)
            except TimeoutError:
                raise Unavailable(f"the log goes on to {last_seq}, but nothing after {reached} can be read") from None
            for stored in batch:
                reached = stored.seq
                if reached <= last_seq:
                    found.take(stored)
            await anyio.lowlevel.checkpoint()
    return found


def verify_job(events: Sequence[JobEvent]) -> None:
    """Check the events of one job, all of them, as a server gave them.

    Raises:
        Broken: they are not a chain.

    """
    try:
        verify([Stored(event.seq, _event(event), event.hash) for event in events])
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
