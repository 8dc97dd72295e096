"""The common part of all commands that use a server: options, client and error messages."""

import contextlib
import os
from collections.abc import Callable, Generator, Iterable
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from penstock.client import instance_record
from penstock.client.client import Client
from penstock.client.job_lists import Ambiguous
from penstock.client.transport import ClientError, RequestRefused, ResourceNotFound, Unreachable
from penstock.terminal.credentials import authorization, credential_options
from penstock.terminal.exit_codes import Exit, Stop
from penstock_schemas.api import Violation

DEFAULT_URL: Final = "http://127.0.0.1:8000"
UNAUTHENTICATED: Final = 401
DENIED: Final = frozenset({UNAUTHENTICATED, 403})
CREDENTIALS_HINT: Final = "set PENSTOCK_TOKEN or PENSTOCK_TOKEN_FILE, or give --user"
_BAD_INPUT: Final = frozenset({400, 409, 413, 415, 422})

F = TypeVar("F", bound=Callable[..., Any])


class Format(Enum):
    """How a listing is printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


def server_options(command: F) -> F:
    """Give a command `--url`, `--state`, and the options for credentials."""
    command = credential_options(command)
    command = click.option(
        "--state",
        type=click.Path(path_type=Path, file_okay=False),
        help="The state folder of the 'penstock up' to connect to.",
    )(command)
    return click.option(
        "--url", envvar="PENSTOCK_URL", metavar="URL", help="The address of the server. [PENSTOCK_URL]"
    )(command)


def format_option(command: F) -> F:
    """Give a command `-o`."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice([item.value for item in Format]),
        default=Format.TABLE.value,
        help="The format of the answer: table for people, json or jsonl (one object per line) for programs.",
        callback=_as_format,
    )(command)


def _as_format(_ctx: click.Context, _param: click.Parameter, value: str) -> Format:
    return Format(value)


def server_url(url: str | None, state: Path | None) -> str:
    """Return the server's address: the given one, else the one on this machine, else the default."""
    if url:
        if not url.startswith(("http://", "https://")):
            raise Stop(f"{url!r} is not the address of a server: expected something like {DEFAULT_URL}", Exit.USAGE)
        return url
    found = instance_record.find(state or instance_record.default_state(os.environ))
    if found is None and state is not None:
        raise Stop(f"no Penstock runs on {state}: start it with 'penstock up --state {state}'", Exit.UNREACHABLE)
    return found.url if found else DEFAULT_URL


@contextlib.contextmanager
def connected(url: str | None, state: Path | None, *, deadline_s: float = 10.0) -> Generator[Client]:
    """Give a client; its errors leave as `Stop`, with what to do and the right exit code."""
    is_known = not url and instance_record.find(state or instance_record.default_state(os.environ)) is not None
    place = server_url(url, state)
    with Client(place, deadline_s=deadline_s, authorization=authorization(), is_known=is_known) as client:
        try:
            yield client
        except Unreachable as error:
            hint = "start one with 'penstock up'" if url is None else "is the address right, and does the server run?"
            raise Stop(f"{error}\n  {hint}", Exit.UNREACHABLE) from error
        except ResourceNotFound as error:
            raise Stop(str(error), Exit.NOT_FOUND) from error
        except RequestRefused as error:
            if error.status in DENIED:
                hint = f"\n  {CREDENTIALS_HINT}" if error.status == UNAUTHENTICATED else ""
                raise Stop(refusal(error) + hint, Exit.DENIED) from error
            raise Stop(refusal(error), Exit.USAGE if error.status in _BAD_INPUT else Exit.ERROR) from error
        except Ambiguous as error:
            raise Stop(str(error), Exit.USAGE) from error
        except ClientError as error:
            raise Stop(str(error)) from error


def refusal(error: RequestRefused) -> str:
    """Write a refusal in words: what is wrong first, and then where."""
    problem = error.problem
    if problem is None:
        return f"the server answered {error.status} without a reason ({error})"
    violations = [_violation(one_error) for one_error in problem.errors]
    if len(violations) == 1:
        lines = violations
    elif violations:
        is_listed = all(one_error.detail in problem.detail for one_error in problem.errors)
        summary = problem.detail.partition(": ")[0] if is_listed else problem.detail or problem.title
        lines = [summary + ":", *(f"  {violation}" for violation in violations)]
    else:
        lines = [problem.detail or problem.title]
    if error.status >= 500 and problem.instance:
        lines.append(f"  the server's log knows more under {problem.instance}")
    return "\n".join(lines)


def _violation(violation: Violation) -> str:
    """Write a violation, with its place in the way in which people name places: `parameters.samples`."""
    place = violation.pointer.removeprefix("#").strip("/").replace("/", ".").replace("~1", "/").replace("~0", "~")
    # What is wrong with the workflow itself has its place in the text: who gave a folder knows no field `source`.
    return f"{violation.detail} (in {place})" if place not in ("", "source") else violation.detail


def print_json(value: object) -> None:
    """Print a Struct, or a list of them, indented."""
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def print_line(value: msgspec.Struct) -> None:
    """Print one object on a separate line."""
    click.echo(msgspec.json.encode(value).decode())


def print_for_program(form: Format, value: object, items: Iterable[msgspec.Struct]) -> bool:
    """Print for a program, if that was requested; return whether it was.

    Args:
        form: what was requested.
        value: printed whole as JSON.
        items: each printed on a line as JSON lines.

    """
    if form is Format.JSON:
        print_json(value)
    elif form is Format.JSONL:
        for item in items:
            print_line(item)
    return form is not Format.TABLE
