"""`hash-password`: what is in the list of users in place of a password."""

import sys

import click

from penstock.terminal.exit_codes import Exit, Stop


@click.command("hash-password")
@click.argument("name", required=False)
@click.option(
    "--stdin",
    "from_stdin",
    is_flag=True,
    help="Read the password from the first line of standard input instead of prompting for it.",
)
def hash_password(name: str | None, from_stdin: bool) -> None:
    """Prompt for a password and print its hash; with NAME as an entry of PENSTOCK_BASIC_AUTH_USERS.

    The password is no argument, since other users of the machine can read those. When standard input is no terminal it
    is read from there, as with --stdin.
    """
    try:
        from penstock_gateway.authentication import passwords, users
    except ModuleNotFoundError as error:
        raise Stop(f"this needs {error.name}, which is not installed: pip install 'penstock[gateway]'") from error
    if name is not None and not users.is_name(name):
        raise Stop(f"{name!r} is not a user name: spaces, colons, commas, = and $ are not allowed", Exit.USAGE)
    if from_stdin or not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    if not password:
        raise Stop("the password is empty", Exit.USAGE)
    if len(password) > passwords.MAX_PASSWORD:
        raise Stop(f"the password has more than {passwords.MAX_PASSWORD} characters", Exit.USAGE)
    made = passwords.hash_password(password)
    click.echo(made if name is None else f"{name}:{made}")
