"""`hash-password`: what stands in the list of users in place of a password."""

import sys

import click

from penstock.exits import Exit, Stop


@click.command("hash-password")
@click.argument("name", required=False)
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the password from standard input: its first line.")
def hash_password(name: str | None, from_stdin: bool) -> None:
    """Ask for a password and print its hash; with NAME as an entry of PENSTOCK_BASIC_AUTH_USERS."""
    try:
        from penstock_gateway.authentication import passwords
    except ModuleNotFoundError as error:
        raise Stop(f"this needs {error.name}, which is not installed: pip install 'penstock[gateway]'") from error
    if from_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    if not password:
        raise Stop("the password is empty", Exit.USAGE)
    made = passwords.hash_password(password)
    click.echo(made if name is None else f"{name}:{made}")
