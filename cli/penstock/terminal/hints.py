"""Commands that messages recommend."""

import shlex
from typing import Final

import click
from click.core import ParameterSource

_PLACES: Final = ("url", "state")
"""The options that choose the server."""


def next_command(command: str) -> str:
    """Return a command that reaches the same server as the present one when it is pasted into the same terminal.

    `--url` and `--state` are repeated where they were given; what the environment sets still holds there.
    """
    context = click.get_current_context(silent=True)
    if context is None:
        return command
    options = [
        f" --{name} {shlex.quote(str(context.params[name]))}"
        for name in _PLACES
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    return command + "".join(options)
