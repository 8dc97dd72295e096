r"""Bounds of a JSON text, checked before it becomes objects.

The checks are a few passes over the bytes in C, so that a text of many megabytes takes milliseconds and no memory
beyond copies of it. They assume valid JSON: what is not valid is refused by the decoder anyway.

How a text is reduced to its structure: escaped backslashes and quotes go first, then every byte that is no quote and no
mark of JSON. Between the quotes of what is left are the strings; without them only `{`, `}`, `[`, `]` and `,` stay.
"""

from typing import Final

MAX_DEPTH: Final = 64
"""Arrays and objects within one another: every reader of the log has to follow."""
MAX_VALUES: Final = 100_000
"""Members of objects and arrays, all together, and texts: an event has room for fewer."""
MAX_DIGITS: Final = 300
"""Of a number; a double cannot hold more anyway."""

_TOO_DEEP: Final = f"arrays and objects nest deeper than {MAX_DEPTH} levels; make the value flatter"
_MARKS: Final = b'"{}[],'
_NO_MARKS: Final = bytes(set(range(256)) - set(_MARKS))
_DIGITS_AS_ZERO: Final = bytes(0x30 if 0x30 <= each <= 0x39 else 0x20 for each in range(256))
_TOO_MANY_DIGITS: Final = b"0" * (MAX_DIGITS + 1)


def fault_of_text(raw: bytes) -> str | None:
    """Return what is too much in a JSON text; `None` when nothing is."""
    has_digits = len(raw) > MAX_DIGITS and _TOO_MANY_DIGITS in raw.translate(_DIGITS_AS_ZERO)
    opened = raw.count(b"{") + raw.count(b"[")
    is_small = opened <= MAX_DEPTH and opened + raw.count(b",") + raw.count(b'"') <= MAX_VALUES
    if is_small and not has_digits:
        return None
    unescaped = raw.replace(rb"\\", b"").replace(rb"\"", b"")
    fault = None if is_small else _fault_of_structure(unescaped)
    if fault is None and has_digits and _TOO_MANY_DIGITS in _between_strings(unescaped).translate(_DIGITS_AS_ZERO):
        return f"a number has more than {MAX_DIGITS} digits"
    return fault


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
    for _ in range(MAX_DEPTH):
        inner = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if len(inner) == len(brackets):  # the rest does not match: the decoder will refuse it
            break
        brackets = inner
    else:
        return _TOO_DEEP if brackets else None
    return _TOO_DEEP if brackets.count(b"{") + brackets.count(b"[") > MAX_DEPTH else None
