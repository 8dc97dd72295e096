"""Who the command line asks as: a token or a name with a password, from options or, better, the environment."""

import base64
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

TOKEN: Final = "penstock.token"
USER: Final = "penstock.user"
"""Where a command keeps what it was told."""

F = TypeVar("F", bound=Callable[..., Any])


def credential_options(command: F) -> F:
    """Give a command `--token` and `--user`."""
    command = click.option(
        "--user",
        envvar="PENSTOCK_USER",
        metavar="NAME[:PASSWORD]",
        expose_value=False,
        callback=_keep(USER),
        help="Who asks; a password that is left out is asked for. [PENSTOCK_USER]",
    )(command)
    return click.option(
        "--token",
        envvar="PENSTOCK_TOKEN",
        metavar="TOKEN",
        expose_value=False,
        callback=_keep(TOKEN),
        help="An API token; others on this machine see options, so prefer the variable. [PENSTOCK_TOKEN]",
    )(command)


def authorization() -> str | None:
    """Return the header that the running command sends; `None` when it was told nothing."""
    context = click.get_current_context(silent=True)
    if context is None:
        return None
    token, user = context.meta.get(TOKEN), context.meta.get(USER)
    if token:
        return f"Bearer {token}"
    if not user:
        return None
    name, colon, password = str(user).partition(":")
    if not colon:
        password = click.prompt(f"Password of {name}", hide_input=True, err=True)
        context.meta[USER] = f"{name}:{password}"
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def _keep(key: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def keep(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        context.meta[key] = value

    return keep
