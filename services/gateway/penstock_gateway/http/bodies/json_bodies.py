"""JSON bodies become Structs once, within bounds that are checked before the text becomes objects.

The checks are a few scans of the bytes in C, so that a text of many megabytes takes milliseconds and no memory
beyond copies of it. They assume valid JSON: the decoder refuses invalid text anyway.

How a text is reduced to its structure: escaped backslashes and quotes go first, then every byte that is no quote and no
mark of JSON. Between the quotes of what is left are the strings; without them only `{`, `}`, `[`, `]` and `,` stay.
"""

import functools
import json
from collections import Counter
from collections.abc import Hashable
from typing import Any, Final, TypeVar, cast

import anyio
import anyio.to_thread
import msgspec

from penstock_gateway.http.bodies.json_violations import decode_slowly, first_of, listed, unstorable
from penstock_gateway.http.problems import Invalid
from penstock_schemas.api import Violation

T = TypeVar("T")

ASIDE_BYTES: Final = 16 << 10
"""A larger body is decoded in a worker thread, so that it holds up no other request."""
_ESCAPED_NUL: Final = b"\\u0000"
MAX_DEPTH: Final = 64
"""Arrays and objects within one another: every reader of the log has to follow."""
MAX_VALUES: Final = 100_000
"""Members of objects and arrays, all together, and texts: an event has room for fewer."""
MAX_DIGITS: Final = 300
"""Of a number; a double cannot hold more anyway."""
MAX_LONG_NUMBERS: Final = 20_000
"""Times 16 digits, in numbers of 16 digits and more: some of them take 5 µs to decode, where others take 0.03 µs."""
MAX_EXTREME_NUMBERS: Final = 1_000
"""Numbers with an exponent of three digits: those close to the bounds of a double take up to 85 µs."""

_TOO_DEEP: Final = f"arrays and objects nest deeper than {MAX_DEPTH} levels; make the value flatter"
_MARKS: Final = b'"{}[],'
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_NO_MARKS: Final = bytes(set(range(256)) - set(_MARKS))
_IN_NUMBERS: Final = bytes(
    0x30 if chr(byte) in "0123456789" else ord("e") if chr(byte) in "eE" else 0x20 for byte in range(256)
)
_TOO_MANY_DIGITS: Final = b"0" * (MAX_DIGITS + 1)
_LONG: Final = b"0" * 16
_EXTREME: Final = b"e000"


def decode(raw: bytes, shape: type[T], *, what: str = "the body", is_lenient: bool = False) -> T:
    """Decode a body, or another text called `what`.

    Args:
        raw: the text.
        shape: what it is to be decoded to. A whole number may be written with a fraction of 0, `1.0`.
        what: what the text is called in messages.
        is_lenient: whether fields that `shape` does not have are ignored.

    Raises:
        Invalid: it is no JSON, no `shape`, has too many values, or holds what cannot be stored; with the violations.

    """
    fault = fault_of_text(raw)
    if fault is not None:
        raise Invalid([Violation(pointer="#", detail=fault)])
    try:
        value = cast("T", _decoder(cast("Hashable", shape)).decode(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        value = decode_slowly(raw, shape, what, is_lenient=is_lenient)
    repeated = _repeated_key(raw)
    if repeated is not None:
        detail = f"Duplicate key `{repeated[:80]}` in one object; send each key once"
        raise Invalid([Violation(pointer="#", detail=detail)])
    if _ESCAPED_NUL in raw:
        violations = first_of(unstorable(msgspec.json.decode(raw)))
        if violations:
            raise Invalid(listed(violations))
    return value


async def decode_aside(raw: bytes, shape: type[T], *, what: str = "the body", is_lenient: bool = False) -> T:
    """Decode as `decode` does, a large text in a worker thread.

    Raises:
        Invalid: as `decode`.

    """
    if len(raw) <= ASIDE_BYTES:
        return decode(raw, shape, what=what, is_lenient=is_lenient)
    return await anyio.to_thread.run_sync(lambda: decode(raw, shape, what=what, is_lenient=is_lenient))


@functools.cache
def _decoder(shape: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cast("type[Any]", shape))


def _repeated_key(raw: bytes) -> str | None:
    """Return a key that one object has twice. Parsers differ in which value they take."""
    # Each member has a colon in the text, so no key is repeated where decoding left as many members as there are
    # colons. Colons in strings only lead to the slower way.
    if len(raw) <= ASIDE_BYTES and raw.count(b":") == _count_members(msgspec.json.decode(raw)):
        return None
    repeated: list[str] = []

    def look(pairs: list[tuple[str, object]]) -> None:
        if len(pairs) != len({key for key, _ in pairs}):
            repeated.extend(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)

    json.loads(raw, object_pairs_hook=look)
    return repeated[0] if repeated else None


def _count_members(value: object) -> int:
    """Return how many members all objects of a JSON value have."""
    count, unread = 0, [value]
    while unread:
        value = unread.pop()
        if isinstance(value, dict):
            members = cast("dict[str, object]", value)
            count += len(members)
            unread.extend(members.values())
        elif isinstance(value, list):
            unread.extend(cast("list[object]", value))
    return count


def fault_of_text(raw: bytes) -> str | None:
    """Return what is too much in a JSON text; `None` when nothing is."""
    opened = raw.count(b"{") + raw.count(b"[")
    is_small = opened <= MAX_DEPTH and opened + raw.count(b",") + raw.count(b'"') <= MAX_VALUES
    has_numbers = len(raw) > MAX_DIGITS and _fault_of_numbers(raw) is not None
    if is_small and not has_numbers:
        return None
    unescaped = raw.replace(rb"\\", b"").replace(rb"\"", b"")
    fault = None if is_small else _fault_of_structure(unescaped)
    return _fault_of_numbers(_between_strings(unescaped)) if fault is None and has_numbers else fault


def _fault_of_numbers(text: bytes) -> str | None:
    """Return what is too much in the numbers of a text without strings; with strings, it may be in those."""
    numbers = text.translate(_IN_NUMBERS, delete=b".+-")
    if _TOO_MANY_DIGITS in numbers:
        return f"a number has more than {MAX_DIGITS} digits"
    if numbers.count(_EXTREME) > MAX_EXTREME_NUMBERS:
        what = f"{MAX_EXTREME_NUMBERS:,} numbers have an exponent of three digits"
    elif numbers.count(_LONG) > MAX_LONG_NUMBERS:
        what = f"{MAX_LONG_NUMBERS:,} numbers have {len(_LONG)} digits or more"
    else:
        return None
    return f"more than {what}; send large data as a file of the workflow"


def _between_strings(unescaped: bytes) -> bytes:
    return b'"'.join(unescaped.split(b'"')[::2])


def _fault_of_structure(unescaped: bytes) -> str | None:
    marks = unescaped.translate(None, delete=_NO_MARKS)
    if marks.count(b'"') // 2 <= 2 * MAX_VALUES:  # each value at most once, and its key
        structure = _between_strings(marks).translate(None, delete=b'"')
        values = structure.count(b",") + structure.count(b"{") + structure.count(b"[")
        if values <= MAX_VALUES:
            return _fault_of_depth(structure.translate(None, delete=b","))
    return f"there are more than {MAX_VALUES:,} keys and values; send large data as a file of the workflow"


def _fault_of_depth(brackets: bytes) -> str | None:
    """Return whether brackets nest too deeply: each round takes the innermost ones away."""
    brackets = brackets.translate(_ONE_KIND)  # with two kinds, a round could take two levels away
    for _ in range(MAX_DEPTH):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):  # the rest does not match: the decoder will refuse it
            break
        brackets = inner
    else:
        return _TOO_DEEP if brackets else None
    return _TOO_DEEP if brackets.count(b"[") > MAX_DEPTH else None
