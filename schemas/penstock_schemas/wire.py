"""Events and views to bytes and back: the only place where they are encoded."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from penstock_schemas.events import EVENT_TYPES, Event

T = TypeVar("T")

# Besides its own errors, msgspec lets bytes that are not UTF-8 (a ValueError) and endless nesting out as they are.
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)

encode: Final[Callable[[msgspec.Struct], bytes]] = msgspec.json.Encoder().encode
"""Encodes an event or a view as JSON, without spaces and in the order of its fields."""
_event_decoder = msgspec.json.Decoder(Event)


class Undecodable(Exception):
    """Stored bytes that this program cannot read; the message gives the reason."""


class _Header(msgspec.Struct):
    schema: int
    data: dict[str, Any]


_header_decoder = msgspec.json.Decoder(_Header)


def decode_event(raw: bytes) -> Event:
    """Decode an event.

    Raises:
        Undecodable: it is not an event, of an unknown type, or of another version of its type's shape.

    """
    try:
        event = _event_decoder.decode(raw)
    except _UNREADABLE as error:
        raise Undecodable(_reason(raw, error)) from error
    if event.schema != type(event.data).SCHEMA:
        raise Undecodable(_other_version(type(event.data).__name__, event.schema, type(event.data).SCHEMA))
    return event


def decode_view(raw: bytes, shape: type[T]) -> T:
    """Decode a view.

    Raises:
        Undecodable: it is not a `shape`.

    """
    try:
        return msgspec.json.decode(raw, type=shape)
    except _UNREADABLE as error:
        raise Undecodable(f"not a {shape.__name__}: {error}") from error


def _reason(raw: bytes, error: Exception) -> str:
    """Return why `raw` is not an event: its type and version explain more than the decoder's message."""
    try:
        header = _header_decoder.decode(raw)
    except _UNREADABLE:
        return f"{type(error).__name__}: {error}"
    name = str(header.data.get("type"))
    shape = EVENT_TYPES.get(name)
    if shape is None:
        return f"unknown event type {name!r}"
    if header.schema != shape.SCHEMA:
        return _other_version(name, header.schema, shape.SCHEMA)
    return f"{type(error).__name__}: {error}"


def _other_version(name: str, stored: int, current: int) -> str:
    hint = ": upgrade it" if stored > current else ""
    return f"{name} is stored in version {stored}; this program reads version {current}{hint}"
