"""Text of workflows on a terminal, in pieces as it arrives."""

import re

from hypothesis import given
from hypothesis import strategies as st

from penstock.terminal.terminal_text import MAX_SEQUENCE_CHARS, REPLACEMENT, Coloured, plain, plain_lines

FRAGMENTS = st.sampled_from(
    ["\x1b", "[", "31", ";", "m", "J", "]0;title", "\x07", "\x9b", "a", "\n", "\r", "\t", "\u202e", "é"]
)
TEXTS = st.lists(FRAGMENTS, max_size=20).map("".join)


@given(TEXTS, st.lists(st.integers(min_value=0, max_value=100), max_size=6))
def test_only_colours_and_ends_of_lines_are_obeyed_wherever_the_text_is_cut(text: str, cuts: list[int]) -> None:
    raw = text.encode()
    ends = [*sorted(cuts), len(raw)]
    coloured, printed, start = Coloured(), "", 0
    for end in ends:
        printed += coloured.from_bytes(raw[start:end])
        start = max(start, end)
    printed += coloured.from_bytes(b"", is_last=True)
    assert printed == Coloured().from_text(text, is_last=True)
    left = re.sub(r"\x1b\[[0-9;:]*m", "", printed)
    assert not re.search(r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u202e]", left)


@given(TEXTS)
def test_a_line_has_nothing_that_is_obeyed(text: str) -> None:
    assert all(item.isprintable() or item == "\t" for item in plain(text))
    assert plain_lines(text).count("\n") == text.count("\n")


def test_colours_stay() -> None:
    assert Coloured().from_text("\x1b[1;31mred\x1b[0m\n") == "\x1b[1;31mred\x1b[0m\n"


def test_the_beginning_of_a_colour_is_not_kept_for_ever() -> None:
    coloured = Coloured()
    printed = "".join(coloured.from_text(piece) for piece in ["\x1b[", *["1"] * (2 * MAX_SEQUENCE_CHARS)])
    assert printed.startswith(REPLACEMENT)
