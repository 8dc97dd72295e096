"""Text of workflows for a terminal: what a run writes must not move its cursor, set its title or its clipboard."""

import codecs
import re
import sys
from typing import Final

import click

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
MAX_SEQUENCE_CHARS: Final = 64
"""The beginning of a colour is kept until its end arrives, up to here."""
_CONTROL: Final = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
"""Control characters but tab, line feed and carriage return, and those that reverse the order of what follows."""
_COLOUR: Final = r"\x1b\[[0-9;:]*m"
_OBEYED: Final = re.compile(f"({_COLOUR})|{_CONTROL}")
_BEGUN: Final = re.compile(r"\x1b(\[[0-9;:]*)?\Z")


def plain(text: str) -> str:
    """Return one line of text without anything that a terminal would obey, colours included."""
    kept = click.unstyle(text)
    return "".join(item if item.isprintable() or item == "\t" else REPLACEMENT for item in kept)


def plain_lines(text: str) -> str:
    """Return text of several lines without anything that a terminal would obey but the ends of lines."""
    return "\n".join(map(plain, text.split("\n")))


class Coloured:
    """Lets colours and the ends of lines through to a terminal, and nothing else that it would obey.

    Takes text in pieces: a sequence may be cut anywhere.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""

    def from_bytes(self, piece: bytes, *, is_last: bool = False) -> str:
        """Return what to print of the next piece."""
        return self.from_text(self._decoder.decode(piece, final=is_last), is_last=is_last)

    def from_text(self, piece: str, *, is_last: bool = False) -> str:
        """Return what to print of the next piece."""
        piece = self._begun + piece
        begun = None if is_last else _BEGUN.search(piece, max(0, len(piece) - MAX_SEQUENCE_CHARS))
        self._begun = begun.group() if begun else ""
        piece = piece[: len(piece) - len(self._begun)]
        return _OBEYED.sub(lambda found: found.group(1) or REPLACEMENT, piece)


def is_terminal() -> bool:
    """Return whether standard output is a terminal, which executes control sequences."""
    return sys.stdout.isatty()
