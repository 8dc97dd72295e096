"""The state as bytes, to start from instead of the whole log. The same state gives the same bytes."""

import zlib

import msgspec

from penstock_scheduler.core.records import Snapshot
from penstock_scheduler.core.state import STATE_VERSION, SchedulerState

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Snapshot)


class UnreadableSnapshot(Exception):
    """These bytes are no state that this program can start from; the log must be read from its beginning."""


def encode_state(state: SchedulerState) -> bytes:
    """Encode a state, uncompressed."""
    return _encoder.encode(state.snapshot())


def compress(raw: bytes) -> bytes:
    """Return what is stored. It takes a while and needs nothing of the state, so that a thread may do it."""
    return zlib.compress(raw, level=1)


def restore_state(stored: bytes, *, seq: int) -> SchedulerState:
    """Return the state that was compressed to `stored` when the log had been folded up to `seq`.

    Raises:
        UnreadableSnapshot: it is damaged, of another version, or of another sequence.

    """
    try:
        snapshot = _decoder.decode(zlib.decompress(stored))
    except (zlib.error, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnreadableSnapshot(str(error)) from error
    if snapshot.version != STATE_VERSION:
        raise UnreadableSnapshot(f"it has version {snapshot.version}; this program writes {STATE_VERSION}")
    if snapshot.seq != seq:
        raise UnreadableSnapshot(f"it was saved for sequence {seq} and contains {snapshot.seq}")
    return SchedulerState.restore(snapshot)
