"""Messages as streams store and return them."""

from msgspec import Struct


class Message(Struct, frozen=True):
    """A message to store."""

    subject: str
    payload: bytes
    headers: dict[str, str] | None = None


class Held(Struct, frozen=True):
    """A message that a stream holds."""

    seq: int
    subject: str
    payload: bytes
    generation: str | None = None
    """The header `names.GENERATION`."""
