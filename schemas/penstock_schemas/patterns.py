r"""Regular expressions of names, written for Python and shown in the dialect of JSON Schema.

Every pattern ends with `\Z`. In Python `$` also matches before a final line feed, so a name that ends with one would
pass. ECMA-262, whose dialect JSON Schema uses, has no `\Z`; there `$` matches at the very end alone. `as_ecma`
translates.
"""

import unicodedata
from typing import Any, Final, cast

END: Final = r"\Z"
"""The end of the text, and nothing before it."""
INVISIBLE: Final = r"\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
"""Members of a character class: control characters, line separators, and characters that change how others look."""
NAME_PATTERN: Final = rf"^[^{INVISIBLE}\s](?:[^{INVISIBLE}]*[^{INVISIBLE}\s])?{END}"
"""A name that people give: any visible text, blanks within it but not around it."""


def as_ecma(pattern: str) -> str:
    """Return a pattern in the dialect of JSON Schema."""
    return pattern.replace(END, "$")


def with_ecma_patterns(schema: Any) -> Any:
    """Return a JSON Schema, or a document that holds some, with every `pattern` in its own dialect."""
    if isinstance(schema, dict):
        members = cast("dict[str, Any]", schema).items()
        return {
            key: as_ecma(value) if key == "pattern" and isinstance(value, str) else with_ecma_patterns(value)
            for key, value in members
        }
    if isinstance(schema, list | tuple):
        return [with_ecma_patterns(item) for item in cast("list[Any]", schema)]
    return schema


def is_normal(text: str) -> bool:
    """Return whether a text is in Unicode's form NFC, so that no other text looks the same by composition alone."""
    return unicodedata.is_normalized("NFC", text)
