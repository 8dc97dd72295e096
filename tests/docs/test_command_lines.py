"""Every `penstock` command that the documentation quotes is one that the command line takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.docs.test_text import FENCE, markdown_files
from tools.reference import ROOT

from penstock.command_line import penstock

QUOTED = re.compile(r"`(penstock [^`\n]+)`")
PROMPT = re.compile(r"^(?:\$|#) (?=\S)")
SHELL = re.compile(r"^(?:\||\|\||&&|&|;|\d?>{1,2}.*|<)$")
ASSIGNMENT = re.compile(r"^[A-Z_]+=")


def quoted_commands(path: Path) -> Iterator[str]:
    """Yield what follows a prompt in blocks of console, and code in the text."""
    text = path.read_text()
    for block in FENCE.findall(text):
        if not block.startswith("```console"):
            continue
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            if PROMPT.match(line) and "penstock" in line:
                yield PROMPT.sub("", line)
    yield from QUOTED.findall(FENCE.sub("", text))


def penstock_arguments(command: str) -> Iterator[list[str]]:
    """Yield the arguments of each `penstock` in a line of shell."""
    words: list[str] = []
    for word in [*shlex.split(command, comments=True), ";"]:
        if not SHELL.match(word):
            words.append(word.removesuffix(";"))
            continue
        while words and ASSIGNMENT.match(words[0]):
            words.pop(0)
        if words[:1] == ["penstock"]:
            yield words[1:]
        words = []


def refuse_unknown(arguments: list[str]) -> None:
    """Parse arguments as click would, without looking whether files exist."""
    context = click.Context(penstock, info_name="penstock")
    if not arguments or arguments[0].startswith("-"):
        penstock.make_parser(context).parse_args(list(arguments))
        return
    name, *rest = arguments
    command = penstock.get_command(context, name)
    assert command is not None, f"there is no command {name!r}"
    child = click.Context(command, info_name=name, parent=context)
    values, _, _ = command.make_parser(child).parse_args(list(rest))
    for parameter in command.get_params(child):
        if isinstance(parameter.type, click.Choice) and values.get(parameter.name or "") is not None:
            parameter.type_cast_value(child, values[parameter.name or ""])


COMMANDS = [
    pytest.param(arguments, id=f"{path.relative_to(ROOT)}: {' '.join(arguments)}"[:120])
    for path in markdown_files()
    for command in quoted_commands(path)
    for arguments in penstock_arguments(command)
]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_quoted_command_parses(arguments: list[str]) -> None:
    refuse_unknown(arguments)


def test_there_are_quoted_commands() -> None:
    assert len(COMMANDS) >= 30


def test_a_wrong_command_would_be_found() -> None:
    with pytest.raises(AssertionError):
        refuse_unknown(["sumbit", "x"])
    with pytest.raises(click.UsageError):
        refuse_unknown(["submit", "x", "--wach"])
