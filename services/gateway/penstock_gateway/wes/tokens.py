"""Tokens of pages: opaque, and good for the very list that they were made for.

A seal shows what somebody typed or changed. It is no secret: a token opens nothing that its reader may not list anyway.
"""

import base64
import binascii
import hashlib
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

MAX_CHARS: Final = 400
_SEAL_BYTES: Final = 8

T = TypeVar("T", bound=Struct)


class RunPlace(Struct, frozen=True, array_like=True):
    """Where the next page of a list of runs begins."""

    moment: int
    """The sequence of the log that the list reflects: the end of the log when its first page was requested."""
    last: int
    """The first sequence of the last run that was shown."""
    total: int
    """The list's total, as on the first page; negative when it was not requested."""


class TaskPlace(Struct, frozen=True, array_like=True):
    """Where the next page of a list of tasks begins."""

    delivered: int
    """The tasks of the pages before. Tasks keep their places, new ones come at the end."""


def encode_token(place: Struct, about: bytes) -> str:
    """Return the token for a place in the list that `about` names."""
    raw = msgspec.msgpack.encode(place)
    return base64.urlsafe_b64encode(_seal(raw, about) + raw).decode().rstrip("=")


def decode_token(token: str, shape: type[T], about: bytes) -> T | None:
    """Return the place that a token holds; `None` when it is none, or of another list."""
    if len(token) > MAX_CHARS or not token.isascii() or "=" in token:
        return None
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    seal, raw = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
    if seal != _seal(raw, about):
        return None
    try:
        return msgspec.msgpack.decode(raw, type=shape)
    except msgspec.MsgspecError:
        return None


def _seal(raw: bytes, about: bytes) -> bytes:
    return hashlib.sha256(len(raw).to_bytes(4, "big") + raw + about).digest()[:_SEAL_BYTES]
