"""The state, kept up with the log."""

from collections.abc import Callable
from contextlib import aclosing
from typing import Final

import anyio
import structlog

from penstock_ports import EventLog, LogTruncated, Snapshots, Unavailable
from penstock_scheduler.core.snapshots import UnreadableSnapshot, compress, encode_state, restore_state
from penstock_scheduler.core.state import SchedulerState

SNAPSHOT_NAME: Final = "scheduler"
SLOW_S: Final = 5.0
"""A fold that does not move for this long, although the log goes on, is reported."""

_log = structlog.get_logger("penstock_scheduler")


class Follower:
    """Folds the log for ever; others read `state` without an await in between and wait for it to move."""

    def __init__(self, log: EventLog, snapshots: Snapshots, *, on_progress: Callable[[], None] = lambda: None) -> None:
        self._log = log
        self._on_progress = on_progress
        self._snapshots = snapshots
        self._moved = anyio.Event()
        self.state = SchedulerState()
        self.saved_seq = 0
        """The sequence of the last snapshot that is known."""

    async def restore(self) -> None:
        """Start from the last snapshot; where there is none that can be read, from the beginning of the log."""
        try:
            saved = await self._snapshots.load(SNAPSHOT_NAME)
            if saved is not None:
                seq, raw = saved
                self.state = restore_state(raw, seq=seq)
                self.saved_seq = seq
                _log.info("snapshot_restored", seq=seq, jobs=len(self.state.jobs))
        except (UnreadableSnapshot, Unavailable) as error:
            _log.warning("snapshot_ignored", reason=str(error), hint="the log is replayed from its beginning")

    async def save(self) -> None:
        """Save a snapshot."""
        seq, raw = self.state.seq, encode_state(self.state)
        try:
            stored = await anyio.to_thread.run_sync(compress, raw)
            await self._snapshots.save(SNAPSHOT_NAME, seq, stored)
        except Unavailable as error:
            _log.warning("snapshot_not_saved", seq=seq, reason=str(error))
            return
        self.saved_seq = seq
        _log.info("snapshot_saved", seq=seq, bytes=len(stored))

    async def follow(self) -> None:
        """Fold the log, for ever."""
        async with aclosing(self._log.read(after=self.state.seq)) as batches:
            async for batch in batches:
                self.state.apply_all(batch)
                self._on_progress()
                moved, self._moved = self._moved, anyio.Event()
                moved.set()
                # A long backlog must not keep the heartbeats from beating.
                await anyio.lowlevel.checkpoint()

    @property
    def moved(self) -> anyio.Event:
        """An event that is set when the state moves on from how it is now."""
        return self._moved

    async def reach(self, seq: int) -> None:
        """Wait until everything up to `seq` is folded, for as long as it takes.

        A copy of the log that is behind, as after a kill of all servers, is not its end: the reader accounts for every
        sequence, also for those that cannot be read.
        """
        while self.state.seq < seq:
            self._on_progress()  # it waits for the log, it does not hang
            with anyio.move_on_after(SLOW_S) as slow:
                await self._moved.wait()
            if slow.cancelled_caught:
                _log.warning("log_read_slowly", seq=self.state.seq, last_seq=seq)

    async def require_whole_log(self) -> None:
        """Check that the log goes at least as far as the state.

        Raises:
            LogTruncated: it ends before.
            Unavailable: it does not answer.

        """
        last_seq = await self._log.last_seq()
        if last_seq < self.state.seq:
            raise LogTruncated(
                f"the event log ends at sequence {last_seq}, and {self.state.seq} was read before: acknowledged events "
                "are gone. Nothing is scheduled, because work that the log does not know may still be running. Restore "
                "a backup; to go on with what is left, stop all runners and remove the snapshots of the scheduler"
            )
