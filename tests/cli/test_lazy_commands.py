"""A group imports a command only when it is called."""

import sys

import click
import pytest
from click.testing import CliRunner

from penstock.terminal.lazy_commands import LazyCommand, LazyGroup

TARGET = "tests.cli.lazy_target"


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> LazyGroup:
    monkeypatch.delitem(sys.modules, TARGET, raising=False)
    entries = {
        "greet": LazyCommand("People", f"{TARGET}:greet", "Print a greeting."),
        "wrong": LazyCommand("Others", f"{TARGET}:NO_COMMAND", "Is no command."),
    }
    return LazyGroup("tool", entries=entries)


def test_the_overview_imports_no_command(group: LazyGroup) -> None:
    result = CliRunner().invoke(group, ["--help"])
    assert result.exit_code == 0
    assert result.output.index("People:") < result.output.index("greet") < result.output.index("Others:")
    assert "Print a greeting." in result.output
    assert TARGET not in sys.modules


def test_a_command_is_imported_and_run(group: LazyGroup) -> None:
    assert CliRunner().invoke(group, ["greet", "Ada"]).output == "hello Ada\n"
    assert TARGET in sys.modules


@pytest.mark.parametrize(
    ("name", "hint"),
    [("gret", "Did you mean 'greet'?"), ("zzz", "'penstock --help' lists the commands.")],
)
def test_a_misspelt_command_gets_a_suggestion(group: LazyGroup, name: str, hint: str) -> None:
    result = CliRunner().invoke(group, [name])
    assert result.exit_code == 2
    assert hint in result.output


def test_an_entry_that_leads_to_something_else_is_a_fault(group: LazyGroup) -> None:
    with pytest.raises(TypeError, match="NO_COMMAND is no command"):
        group.get_command(click.Context(group), "wrong")
    assert group.get_command(click.Context(group), "missing") is None
