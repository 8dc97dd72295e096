"""JSON pointers as URI fragments."""

import pytest

from penstock_domain.json_pointers import pointer


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ((), "#"),
        (("source", "files", 0), "#/source/files/0"),
        (("a/b", "c~d"), "#/a~1b/c~0d"),
        (("~1",), "#/~01"),
    ],
)
def test_tokens_are_escaped(tokens: tuple[str | int, ...], expected: str) -> None:
    assert pointer(*tokens) == expected
