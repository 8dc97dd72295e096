"""Events and views to bytes and back: the only place where they are encoded."""

import hashlib
from typing import Any, Final, TypeVar

import msgspec

from penstock_schemas.events import EVENT_TYPES, Event
from penstock_schemas.upcasting import NoUpcaster, upcast

T = TypeVar("T")

# Besides its own errors, msgspec lets bytes that are no UTF-8 (a ValueError) and endless nesting out as they are. An
# upcaster sees whatever was stored, so it may stumble in any of the ways that Python has for a wrong shape.
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_NOT_LIFTED: Final = (*_UNREADABLE, NoUpcaster, LookupError, TypeError, AttributeError)

_encoder = msgspec.json.Encoder()
_event_decoder = msgspec.json.Decoder(Event)


class Undecodable(Exception):
    """Stored bytes that this program cannot read; the message says why."""


class _Header(msgspec.Struct):
    schema: int
    data: dict[str, Any]


_header_decoder = msgspec.json.Decoder(_Header)


def encode(value: msgspec.Struct) -> bytes:
    """Encode an event or a view as JSON, without spaces and in the order of its fields."""
    return _encoder.encode(value)


def decode_event(raw: bytes) -> Event:
    """Decode an event, lifting an old shape to the current one.

    Raises:
        Undecodable: it is no event, of an unknown type, or newer than this program.

    """
    try:
        event = _event_decoder.decode(raw)
    except _UNREADABLE:
        return _decode_old(raw)
    return event if event.schema == type(event.data).SCHEMA else _decode_old(raw)


def decode_view(raw: bytes, shape: type[T]) -> T:
    """Decode a view.

    Raises:
        Undecodable: it is no `shape`.

    """
    try:
        return msgspec.json.decode(raw, type=shape)
    except _UNREADABLE as error:
        raise Undecodable(f"no {shape.__name__}: {error}") from error


def digest(raw: bytes) -> str:
    """Return the SHA-256 of `raw`, hexadecimal: the link to it in the next event of the aggregate."""
    return hashlib.sha256(raw).hexdigest()


def _decode_old(raw: bytes) -> Event:
    try:
        header = _header_decoder.decode(raw)
        name = header.data.get("type")
        shape = EVENT_TYPES.get(str(name))
        if shape is None:
            raise Undecodable(f"unknown event type {name!r}")
        data = upcast(header.data, stored=header.schema, current=shape.SCHEMA)
        envelope = msgspec.json.decode(raw, type=dict[str, Any])
        return msgspec.convert({**envelope, "schema": shape.SCHEMA, "data": data}, Event)
    except _NOT_LIFTED as error:
        raise Undecodable(f"{type(error).__name__}: {error}") from error
