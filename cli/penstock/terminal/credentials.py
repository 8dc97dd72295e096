"""Credentials of the command line: a token or name and password, from options or, better, a file or the environment.

What is typed counts before the environment, and only one thing may be typed.
"""

import base64
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from penstock.terminal.exit_codes import Exit, Stop

MAX_TOKEN: Final = 16 * 1024
"""Characters of a token; no server takes a longer one."""
_GIVEN: Final = "penstock.terminal.credentials"
"""Where a command keeps the given credentials."""

F = TypeVar("F", bound=Callable[..., Any])


class Way(Enum):
    """How credentials are given; of those in the environment, the first counts."""

    TOKEN = "--token"
    TOKEN_FILE = "--token-file"
    USER = "--user"


def credential_options(command: F) -> F:
    """Give a command `--token`, `--token-file` and `--user`."""
    command = click.option(
        "--user",
        envvar="PENSTOCK_USER",
        metavar="NAME[:PASSWORD]",
        expose_value=False,
        callback=_keep(Way.USER),
        help="The user name to log in with; a missing password is prompted for. [PENSTOCK_USER]",
    )(command)
    command = click.option(
        "--token-file",
        envvar="PENSTOCK_TOKEN_FILE",
        metavar="FILE",
        expose_value=False,
        callback=_keep(Way.TOKEN_FILE),
        help="The file that holds the API token; - reads standard input. [PENSTOCK_TOKEN_FILE]",
    )(command)
    return click.option(
        "--token",
        envvar="PENSTOCK_TOKEN",
        metavar="TOKEN",
        expose_value=False,
        callback=_keep(Way.TOKEN),
        help="The API token to use. Other users can see options, so prefer a file or the variable. [PENSTOCK_TOKEN]",
    )(command)


def authorization() -> str | None:
    """Return the header that the running command sends; `None` without credentials.

    Raises:
        Stop: a token's file cannot be read, or it holds no token.
        click.UsageError: several were typed.

    """
    context = click.get_current_context(silent=True)
    given: dict[Way, tuple[str, bool]] = {} if context is None else context.meta.get(_GIVEN, {})
    typed = [way for way, (_, is_typed) in given.items() if is_typed]
    if len(typed) > 1:
        raise click.UsageError(f"{' and '.join(sorted(way.value for way in typed))} cannot be given together")
    way = next((item for item in typed or Way if item in given), None)
    if way is None:
        return None
    value = given[way][0]
    match way:
        case Way.TOKEN:
            return _bearer(value, "the token")
        case Way.TOKEN_FILE:
            return _bearer(_read(value), "standard input" if value == "-" else value)
        case Way.USER:
            name, colon, password = value.partition(":")
            if not colon:
                password = click.prompt(f"Password of {name}", hide_input=True, err=True)
                given[way] = (f"{name}:{password}", True)
            return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def _bearer(text: str, place: str) -> str:
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Stop(f"{place} holds no API token: expected its one line and nothing else", Exit.USAGE)
    return f"Bearer {token}"


def _read(name: str) -> str:
    try:
        if name == "-":
            return sys.stdin.read(MAX_TOKEN)
        with Path(name).expanduser().open() as file:
            return file.read(MAX_TOKEN)
    except OSError as error:
        raise Stop(f"the token's file {name} cannot be read: {error.strerror}", Exit.USAGE) from error
    except UnicodeDecodeError as error:
        raise Stop(f"the token's file {name} is not UTF-8 text", Exit.USAGE) from error


def _keep(way: Way) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def keep(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value:
            source = context.get_parameter_source(parameter.name or "")
            context.meta.setdefault(_GIVEN, {})[way] = (value, source is click.core.ParameterSource.COMMANDLINE)

    return keep
