"""How messages travel: frames in a pipe.

A frame is a length of four bytes, most significant first, and as many bytes of JSON: one message. Its length has a
bound that is checked before anything of it is kept.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final, cast

import msgspec

from penstock_engines.snakemake.messages import AnyMessage, InvalidEvent, Message

MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
MAX_REASON_CHARS: Final = 200
"""What is shown of an invalid message."""

_LENGTH: Final = struct.Struct(">I")

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyMessage)


def encode_frame(message: Message) -> bytes:
    """Return the frame that carries `message`."""
    try:
        body = _encoder.encode(message)
    except UnicodeEncodeError:
        body = _encoder.encode(_encodable(msgspec.to_builtins(message)))
    return _LENGTH.pack(len(body)) + body


def _encodable(value: Any) -> Any:  # Any: builtin values, however nested
    """Return builtin values in which no text has bytes of a file name that are no UTF-8."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            fields = cast("dict[str, Any]", value)
            return {_encodable(key): _encodable(one_field) for key, one_field in fields.items()}
        case list() | tuple():
            return [_encodable(item) for item in cast("list[Any]", value)]
        case _:
            return value


class FrameReader:
    """Takes bytes as they arrive and gives the messages that are whole."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, chunk: bytes) -> Iterator[AnyMessage]:
        """Yield the messages that `chunk` completes.

        Raises:
            InvalidEvent: it is no frame; nothing after it can be read.

        """
        self._pending += chunk
        while len(self._pending) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._pending)
            if length > MAX_FRAME_BYTES:
                raise InvalidEvent(f"a message of {length:,} bytes, beyond {MAX_FRAME_BYTES:,}")
            end = _LENGTH.size + length
            if len(self._pending) < end:
                return
            body = bytes(self._pending[_LENGTH.size : end])
            del self._pending[:end]
            try:
                message = _decoder.decode(body)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise InvalidEvent(_printable(str(error))) from None
            yield message


def _printable(text: str) -> str:
    """Return the beginning of an error that quotes what arrived, as plain text in one line."""
    return "".join(item if item.isprintable() else "?" for item in text[:MAX_REASON_CHARS])
