"""Options that a command receives as one value."""

import click
from click.testing import CliRunner
from msgspec import Struct

from penstock.terminal.options.option_groups import option_group


class Colors(Struct, frozen=True, kw_only=True):
    front: str | None
    back: tuple[str, ...]


colors = option_group(Colors, "chosen", click.option("--front"), click.option("--back", multiple=True))


@click.command()
@click.option("--first")
@colors
@click.option("--last")
def paint(first: str | None, chosen: Colors, last: str | None) -> None:
    """Print the options."""
    click.echo(f"{first} {chosen.front} {chosen.back} {last}")


def test_the_options_arrive_as_one_value() -> None:
    result = CliRunner().invoke(paint, ["--first", "1", "--front", "red", "--back", "a", "--back", "b", "--last", "9"])

    assert result.output == "1 red ('a', 'b') 9\n"


def test_options_that_are_not_given_have_their_defaults() -> None:
    assert CliRunner().invoke(paint, []).output == "None None () None\n"


def test_the_help_text_lists_them_in_the_order_of_the_command() -> None:
    listed = [name for name in CliRunner().invoke(paint, ["--help"]).output.split() if name.startswith("--")]

    assert listed == ["--first", "--front", "--back", "--last", "--help"]
