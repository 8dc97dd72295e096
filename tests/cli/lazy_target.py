"""A command that the test of lazy groups imports by name."""

import click

NO_COMMAND = "text"


@click.command()
@click.argument("name")
def greet(name: str) -> None:
    """Print a greeting."""
    click.echo(f"hello {name}")
