"""Appends that arrive while another one is on its way leave together, as one atomic batch with one sync of the disk.

This is for a single node. A cluster groups by itself.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

import anyio
import structlog

from penstock_jetstream import names
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.messages import Message
from penstock_jetstream.transport.responses import NoAnswer
from penstock_jetstream.transport.stream_writes import store
from penstock_ports import PortError, Unavailable

_log: structlog.stdlib.BoundLogger = structlog.get_logger()


class GroupCommit:
    """Sends appends in groups, one group at a time. Run `run()` beside it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: deque[_Waiting] = deque()
        self._arrived = anyio.Event()

    async def store(self, messages: Sequence[Message], *, deadline_s: float) -> int:
        """Store `messages` together with other appends that wait; one try. Return the first one's sequence.

        Raises:
            Together: a group was refused that had others in it too; nothing was stored, try alone.
            Refusal, TooLarge: these messages were refused; nothing was stored.
            NoAnswer: whether they were stored is not known.
            TimeoutError: the same, after `deadline_s`.
            Unavailable: too many are waiting; nothing was stored.

        """
        if len(self._waiting) >= names.MAX_WAITING_APPENDS:
            raise Unavailable(f"{len(self._waiting)} appends are waiting")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(messages, loop.create_future())
        # A timer costs a tenth of a cancel scope, and there is one for every append.
        deadline = loop.call_later(deadline_s, waiting.fail, TimeoutError())
        self._waiting.append(waiting)
        self._arrived.set()
        try:
            outcome = await waiting.outcome
        finally:
            deadline.cancel()
            if not waiting.is_sent:
                self._waiting.remove(waiting)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def run(self) -> None:
        """Send groups. Ends by cancellation."""
        while True:
            while not self._waiting:
                self._arrived = anyio.Event()
                await self._arrived.wait()
            await self._send(self._take_group())

    def _take_group(self) -> list["_Waiting"]:
        """Take those that may leave together: no two with the same subject, within the bounds of a batch."""
        group: list[_Waiting] = []
        left: list[_Waiting] = []
        subjects: set[str] = set()
        messages = size_bytes = 0
        while self._waiting:
            waiting = self._waiting.popleft()
            if group and (
                messages + len(waiting.messages) > names.MAX_BATCH_MESSAGES
                or size_bytes + waiting.size_bytes > names.MAX_BATCH_BYTES
            ):
                left.append(waiting)
                break
            if not subjects.isdisjoint(waiting.subjects):
                left.append(waiting)
                continue
            subjects |= waiting.subjects
            messages += len(waiting.messages)
            size_bytes += waiting.size_bytes
            waiting.is_sent = True
            group.append(waiting)
        self._waiting.extendleft(reversed(left))
        return group

    async def _send(self, group: Sequence["_Waiting"]) -> None:
        messages = [message for item in group for message in item.messages]
        try:
            ack = await store(self._connection, messages, deadline_s=names.ATTEMPT_S)
        except NoAnswer as error:
            for item in group:
                item.fail(NoAnswer(str(error)))
        except PortError as error:
            for item in group:
                item.fail(error if len(group) == 1 else Together(str(error)))
        except Exception as error:  # noqa: BLE001
            # The boundary of a group: a failed append does not stop the next group.
            _log.error("group_not_sent", appends=len(group), exc_info=error)
            for item in group:
                item.fail(error if len(group) == 1 else Together(str(error)))
        else:
            seq = ack.seq - len(messages) + 1
            for item in group:
                item.succeed(seq)
                seq += len(item.messages)


class Together(Exception):
    """A group was refused because of one in it."""


class _Waiting:
    """An append that waits for its group."""

    __slots__ = ("is_sent", "messages", "outcome", "size_bytes", "subjects")

    def __init__(self, messages: Sequence[Message], outcome: "asyncio.Future[int | Exception]") -> None:
        self.messages = messages
        self.outcome = outcome
        """The first sequence, or why there is none."""
        self.subjects = frozenset([message.subject for message in messages])
        self.size_bytes = sum([len(message.payload) for message in messages])
        self.is_sent = False

    def succeed(self, seq: int) -> None:
        if not self.outcome.done():
            self.outcome.set_result(seq)

    def fail(self, error: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_result(error)
