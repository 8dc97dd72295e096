"""Recommended commands reach the server that the present command was given."""

import click
import pytest
from click.testing import CliRunner

from penstock.terminal.connection import server_options
from penstock.terminal.hints import next_command


@click.command()
@server_options
def shows(**_options: object) -> None:
    """Print a recommended command."""
    click.echo(next_command("penstock ls"))


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ([], "penstock ls"),
        (["--url", "http://127.0.0.1:81"], "penstock ls --url http://127.0.0.1:81"),
        (["--state", "/a b"], "penstock ls --state '/a b'"),
        (["--token", "secret"], "penstock ls"),
    ],
)
def test_the_server_that_was_given_is_repeated(arguments: list[str], command: str) -> None:
    done = CliRunner().invoke(shows, arguments, env={"PENSTOCK_URL": "http://127.0.0.1:82"})
    assert done.output == f"{command}\n"


def test_outside_a_command_nothing_is_added() -> None:
    assert next_command("penstock ls") == "penstock ls"
