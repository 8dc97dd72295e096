"""What every implementation of a port checks before it stores anything: appends and the keys of blobs."""

from collections.abc import Sequence

from penstock_domain import aggregates
from penstock_ports import MAX_APPEND_BYTES, MAX_APPEND_ENTRIES, MAX_EVENT_BYTES, AppendEntry, Fence, TooLarge
from penstock_schemas.wire import encode


def check_append(entries: Sequence[AppendEntry], fence: Fence | None) -> tuple[bytes, ...]:
    """Return the encoded events of a well-formed append.

    Raises:
        ValueError: it has no entry, an aggregate that has no subject, or expectations that the port does not allow.
        TooLarge: it has too many entries, or an event has too many bytes.

    """
    if not entries:
        raise ValueError("an append needs an entry")
    if len(entries) > MAX_APPEND_ENTRIES:
        raise TooLarge(f"{len(entries)} entries in one append; it takes {MAX_APPEND_ENTRIES}")
    if fence is not None and entries[0].expected is not None:
        raise ValueError("the first entry of a fenced append has the fence and no other expectation")
    seen: set[str] = set()
    for entry in entries:
        aggregate = entry.event.aggregate
        aggregates.check(aggregate)
        if aggregate in seen and entry.expected is not None:
            raise ValueError(f"{aggregate}: only its first entry in an append may carry an expectation")
        if aggregate not in seen and entry.expected is None and fence is None:
            raise ValueError(f"{aggregate}: its first entry in an append without a fence must carry an expectation")
        seen.add(aggregate)
    encoded = tuple(_encode(entry) for entry in entries)
    size_bytes = sum(map(len, encoded))
    if size_bytes > MAX_APPEND_BYTES:
        raise TooLarge(f"{size_bytes:,} bytes in one append; it takes {MAX_APPEND_BYTES:,}")
    return encoded


def check_key(key: str) -> None:
    """Check that `key` is a relative path of printable text without `.`, `..` and empty parts.

    Raises:
        ValueError: it is not.

    """
    if not key.isprintable() or any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError(
            f"{key!r} is not the key of a blob: it must be a relative path of printable text without '..', '.' or '//'"
        )


def _encode(entry: AppendEntry) -> bytes:
    raw = encode(entry.event)
    if len(raw) > MAX_EVENT_BYTES:
        name = type(entry.event.data).__name__
        raise TooLarge(f"{name} on {entry.event.aggregate} has {len(raw):,} bytes; an event takes {MAX_EVENT_BYTES:,}")
    return raw
