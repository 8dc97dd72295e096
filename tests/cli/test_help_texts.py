"""Every help text is a complete phrase: a capital letter first, words enough, and a full stop at the end."""

import re
from collections.abc import Iterator

import click
import pytest

from penstock.command_line import penstock

FEWEST_WORDS = 3
_BRACKETS = re.compile(r"(\s*\[[^\[\]]*\])+$")
"""Where a value comes from, and the default, follow the phrase."""


def texts(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """Yield each help text below a command, by its place."""
    yield name, (command.help or "").split("\n\n")[0]
    for param in command.params:
        if isinstance(param, click.Option) and param.name != "help":
            yield f"{name} {param.opts[-1]}", param.help or ""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from texts(found, f"{name} {child}")


TEXTS = dict(texts(penstock, "penstock"))


@pytest.mark.parametrize("where", TEXTS)
def test_a_help_text_is_a_complete_phrase(where: str) -> None:
    text = " ".join(TEXTS[where].split())
    phrase = _BRACKETS.sub("", text)
    assert phrase, f"{where} has no help text"
    assert phrase[0].isupper(), f"{text!r} begins with a small letter"
    assert phrase.endswith("."), f"{text!r} does not end with a full stop"
    assert len(re.findall(r"[A-Za-z][A-Za-z'-]+", phrase)) >= FEWEST_WORDS, f"{text!r} is no phrase"


def test_there_are_texts_of_nested_commands() -> None:
    assert "penstock pipeline add --schema" in TEXTS
