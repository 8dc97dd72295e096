"""What `submit` and `plan` send of a workflow, and how far they are with it."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import click
from msgspec import Struct

from penstock import tables
from penstock.bundles import packed
from penstock.declared_software import Declaration, declared_software
from penstock.exits import Exit, Stop
from penstock.folders import BadWorkflow, choose
from penstock_schemas.api import SubmittedSource

QUIET_S: Final = 1.0
"""Whatever is sent within this time needs no progress display."""
REDRAW_S: Final = 0.2


class Sent(Struct, frozen=True):
    """A workflow on its way."""

    source: SubmittedSource
    name: str
    files: Mapping[str, Path] | None = None
    """What is streamed beside the submission: the files where they do not fit into it."""
    declared: tuple[Declaration, ...] = ()
    """Lines that declare software which runners may not provide."""


def from_here(
    workflow: Path, snakefile: str | None, exclude: tuple[str, ...], *, ignore: bool = True, in_place: bool = False
) -> Sent:
    """Return what to send of a workflow on this machine, and say so.

    Files that fit go into the submission, where the same ones are stored once however often they are submitted.

    Raises:
        Stop: it cannot be sent.

    """
    if in_place:
        folder = workflow.absolute()
        return Sent(SubmittedSource(path=str(folder), snakefile=snakefile), folder.name or "workflow")
    try:
        chosen = choose(workflow, snakefile=snakefile, exclude=exclude, ignore=ignore)
        files = packed(chosen)
    except BadWorkflow as error:
        raise Stop(str(error), Exit.USAGE) from error
    left_out = f", {chosen.left_out} left out by {chosen.ignore_file or '--exclude'}" if chosen.left_out else ""
    click.echo(
        f"sending {len(chosen.files)} files, {tables.size(chosen.bytes)}, of {chosen.folder}{left_out}", err=True
    )
    beside = None if files is not None else {path: chosen.folder / path for path in chosen.files}
    source = SubmittedSource(files=files, snakefile=chosen.main)
    declared = declared_software(chosen.folder, chosen.files)
    return Sent(source, chosen.folder.name or "workflow", beside, declared)


class Progress:
    """Shows on a terminal how much was sent, once that takes a while; elsewhere it is silent."""

    def __init__(self) -> None:
        self._is_live = tables.is_live()
        self._draws_at = time.monotonic() + QUIET_S
        self._is_drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._is_drawn:
            click.echo("\r\x1b[K", err=True, nl=False)

    def __call__(self, sent: int, total: int) -> None:
        """Show that so many bytes were sent of so many."""
        now = time.monotonic()
        if not self._is_live or (now < self._draws_at and not (self._is_drawn and sent == total)):
            return
        self._draws_at = now + REDRAW_S
        self._is_drawn = True
        text = f"sent {tables.size(sent)} of {tables.size(total)}, {100 * sent // total}%"
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)
