"""A group of commands that imports a command only when it is called: `penstock --help` stays quick."""

import importlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import click

from penstock.terminal.interrupts import ExitOnInterrupt


class LazyCommand(NamedTuple):
    """The module of a command, and its line in the overview.

    No Struct: importing msgspec takes a third of the time of --help.
    """

    section: str
    target: str
    """`module:attribute`."""
    summary: str


class LazyGroup(click.Group):
    """Knows its commands by name and summary; the overview is made from these alone."""

    def __init__(
        self, *args: Any, entries: Mapping[str, LazyCommand], **kwargs: Any
    ) -> None:  # Any: click's own arguments
        super().__init__(*args, **kwargs)
        self.entries: Final = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every name, in the order of the overview."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        with ExitOnInterrupt():
            command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.target} is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a misspelt one gets a suggestion."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            close = difflib.get_close_matches(args[0], self.entries, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else " 'penstock --help' lists the commands."
            raise click.UsageError(error.message + hint, ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview, section by section."""
        longest = max(len(name) for name in self.entries)
        for section in dict.fromkeys(entry.section for entry in self.entries.values()):
            rows = [
                (name.ljust(longest), entry.summary) for name, entry in self.entries.items() if entry.section == section
            ]
            with formatter.section(section):
                formatter.write_dl(rows, col_max=14)
