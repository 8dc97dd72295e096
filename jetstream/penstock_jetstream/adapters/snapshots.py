"""Folded states in pieces, one generation a save.

The pieces of a new generation are stored first, then the manifest that names it, then the pieces of older ones are
dropped: a reader finds a whole state at any moment, and an interrupted save leaves only what the next one clears away.
A manifest takes the place of the one that was there when the save began and of no other. Without that, the later of two
saves that overlap could drop the earlier one's pieces before the earlier one's manifest names them.
"""

import hashlib

import structlog
from msgspec import Struct

from penstock_jetstream import names
from penstock_jetstream.transport import stream_reads, stream_writes
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.messages import Message
from penstock_jetstream.transport.responses import NoAnswer, Refusal
from penstock_jetstream.transport.retry import Retry
from penstock_ports import Unavailable
from penstock_schemas.wire import Undecodable, decode_view, encode

_log: structlog.stdlib.BoundLogger = structlog.get_logger()


class _Manifest(Struct, frozen=True):
    seq: int
    """The state is the fold of the log up to here."""
    generation: str
    size_bytes: int
    sha256: str


class JetStreamSnapshots:
    """A `Snapshots`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def save(self, name: str, seq: int, state: bytes) -> None:
        """Keep `state` in place of the last one, unless somebody else did so meanwhile."""
        revision, _ = await self._manifest(name)
        manifest = _Manifest(
            seq=seq, generation=stream_writes.new_id(), size_bytes=len(state), sha256=hashlib.sha256(state).hexdigest()
        )
        starts = range(0, len(state), names.SNAPSHOT_PIECE_BYTES)
        chunks = (
            Message(
                f"{_pieces(name, manifest.generation)}{number:06}", state[start : start + names.SNAPSHOT_PIECE_BYTES]
            )
            for number, start in enumerate(starts)
        )
        for batch in stream_writes.divided(chunks, limit=names.SNAPSHOT_BATCH_PIECES):
            await self._store(batch)
        if await self._point(name, manifest, revision):
            await self._clear(name, manifest.generation)
        else:
            _log.info("snapshot_superseded", name=name, seq=seq)
            await self._purge({"filter": _pieces(name, manifest.generation) + "*"})

    async def load(self, name: str) -> tuple[int, bytes] | None:
        """Return the last saved state and its sequence."""
        retry = Retry(names.SNAPSHOT_READ_S)
        while True:
            _, manifest = await self._manifest(name)
            if manifest is None:
                return None
            chunks = await stream_reads.read(
                self._connection,
                names.SNAPSHOTS,
                _pieces(name, manifest.generation) + "*",
                deadline_s=retry.remaining_s,
            )
            state = b"".join(piece.payload for piece in chunks)
            if len(state) == manifest.size_bytes and hashlib.sha256(state).hexdigest() == manifest.sha256:
                return manifest.seq, state
            # A newer one took its place meanwhile, or the replica that answers does not have it all yet.
            try:
                await retry.wait(Unavailable(f"snapshot {name} is not whole"))
            except Unavailable:
                _log.error("snapshot_broken", name=name)
                return None

    async def _manifest(self, name: str) -> tuple[int, _Manifest | None]:
        """Return the last manifest, and its place among the messages."""
        held = await stream_reads.last_from_leader(
            self._connection, names.SNAPSHOTS, _manifest(name), deadline_s=names.VIEW_READ_S
        )
        if held is None:
            return 0, None
        try:
            return held.seq, decode_view(held.payload, _Manifest)
        except Undecodable as error:
            _log.error("snapshot_undecodable", name=name, error=str(error))
            return held.seq, None

    async def _point(self, name: str, manifest: _Manifest, revision: int) -> bool:
        """Name a generation in place of the manifest at `revision`; return whether that one was still the last."""
        message = Message(_manifest(name), encode(manifest), {names.EXPECTED_SEQ: str(revision)})
        retry = Retry(names.VIEW_WRITE_S)
        while True:
            try:
                await stream_writes.store(self._connection, [message], deadline_s=retry.attempt_s)
            except NoAnswer as error:
                await retry.wait(error)
            except Refusal as refusal:
                if refusal.err_code in names.WRONG_LAST_SEQUENCE:
                    # After a try without an answer it may be our own that is in the way.
                    _, current = await self._manifest(name)
                    return current == manifest
                if not refusal.is_passing:
                    raise Unavailable(str(refusal)) from refusal
                await retry.wait(refusal)
            else:
                return True

    async def _store(self, messages: list[Message]) -> None:
        await stream_writes.store_until(self._connection, messages, deadline_s=names.VIEW_WRITE_S)

    async def _clear(self, name: str, generation: str) -> None:
        """Drop what is older than a whole generation."""
        first = await stream_reads.next_from_leader(
            self._connection,
            names.SNAPSHOTS,
            _pieces(name, generation) + "*",
            after=0,
            deadline_s=names.VIEW_READ_S,
        )
        if first is not None:
            await self._purge({"filter": _pieces(name, "*") + "*", "seq": first.seq})

    async def _purge(self, what: dict[str, object]) -> None:
        try:
            await self._connection.query(names.STREAM_PURGE + names.SNAPSHOTS, what, deadline_s=names.VIEW_READ_S)
        except Refusal as refusal:
            raise Unavailable(str(refusal)) from refusal


def _manifest(name: str) -> str:
    return f"{names.SNAPSHOTS_PREFIX}{name}.manifest"


def _pieces(name: str, generation: str) -> str:
    return f"{names.SNAPSHOTS_PREFIX}{name}.piece.{generation}."
