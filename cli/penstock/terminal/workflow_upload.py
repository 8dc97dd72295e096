"""What `submit` and `plan` send of a workflow, and how far they are with it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import click
from msgspec import Struct

from penstock.terminal import tables
from penstock.terminal.exit_codes import Exit, Stop
from penstock.terminal.options.option_groups import option_group
from penstock.terminal.reports import left_out_lines, printable
from penstock.upload.bundles import packed
from penstock.upload.folder_entries import FolderEntry
from penstock.upload.folders import Chosen, choose
from penstock.upload.workflow_places import BadWorkflow
from penstock_domain.quantities import counted
from penstock_domain.source_tree import path_text
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.api import SubmittedSource

CONFIRM_BYTES: Final = 256 << 20
"""More than this is sent after a question only, unless the user chose otherwise."""
QUIET_S: Final = 1.0
"""A transfer within this time needs no progress display."""
REDRAW_S: Final = 0.2


class Sent(Struct, frozen=True):
    """A workflow on its way."""

    source: SubmittedSource
    name: str
    files: Mapping[str, FolderEntry] | None = None
    """What is streamed beside the submission: the files where they do not fit into it."""


class Choice(Struct, frozen=True, kw_only=True):
    """What the user chose to send of a folder."""

    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    no_ignore: bool = False
    force: bool = False
    yes: bool = False
    confirm_above: int = CONFIRM_BYTES


folder_options = option_group(
    Choice,
    "choice",
    click.option(
        "--exclude",
        multiple=True,
        metavar="PATTERN",
        help="Leave out files that match this pattern, as in .gitignore. Can be repeated.",
    ),
    click.option(
        "--include",
        multiple=True,
        metavar="PATTERN",
        help="Send files that match this pattern although a rule excludes them, also secrets. Can be repeated.",
    ),
    click.option("--no-ignore", is_flag=True, help="Send files that .penstockignore or .gitignore excludes, too."),
    click.option("--force", is_flag=True, help="Send the folder even if it is a home directory or a system folder."),
    click.option("-y", "--yes", is_flag=True, help="Send the files without confirmation, however large they are."),
    click.option(
        "--confirm-above",
        type=click.IntRange(min=0),
        metavar="BYTES",
        default=CONFIRM_BYTES,
        show_default=True,
        envvar="PENSTOCK_SEND_CONFIRM_BYTES",
        help="Require confirmation before more bytes than this are sent. [PENSTOCK_SEND_CONFIRM_BYTES]",
    ),
)
"""The options of `Choice`, which a command receives as the argument `choice`."""


def from_here(
    workflow: Path, entrypoint: str | None, choice: Choice, *, engine: str | None = None, in_place: bool = False
) -> Sent:
    """Return what to send of a workflow on this machine, and print it.

    Files that fit go into the submission, where the same ones are stored once however often they are submitted.

    Raises:
        Stop: it cannot be sent, or the user does not want it to be.

    """
    try:
        if in_place:
            folder = workflow.resolve() if ".." in workflow.parts else workflow.absolute()
            return Sent(SubmittedSource(path=str(folder), entrypoint=entrypoint), path_text(folder.name) or "workflow")
        chosen = chosen_from(workflow, entrypoint, choice, engine=engine)
        files = packed(chosen)
    except BadWorkflow as error:
        raise Stop(str(error), Exit.USAGE) from error
    beside = None if files is not None else chosen.entries
    name = chosen.main if chosen.is_alone else chosen.folder.name
    source = SubmittedSource(files=files, entrypoint=chosen.main, left_out=list(chosen.left_out))
    return Sent(source, path_text(name) or "workflow", beside)


def chosen_from(workflow: Path, entrypoint: str | None, choice: Choice, *, engine: str | None = None) -> Chosen:
    """Return what is sent of a folder, printed and agreed to.

    Raises:
        BadWorkflow: as `choose`.
        Stop: it is more than may be sent without a confirmation, and there was none.

    """
    chosen = choose(
        workflow,
        entrypoint=entrypoint,
        engine=engine,
        exclude=choice.exclude,
        include=choice.include,
        ignore=not choice.no_ignore,
        force=choice.force,
    )
    amount = f"{counted(len(chosen.files), 'file')}, {tables.size(chosen.bytes)}"
    click.echo(printable(f"sending {amount}, of {chosen.folder}"), err=True)
    if chosen.is_alone:
        click.echo(
            printable(f"{chosen.main} goes alone: its folder shows no workflow; give the folder to send all of it"),
            err=True,
        )
    for line in left_out_lines(chosen.left_out):
        click.echo(line, err=True)
    _agree(chosen, choice)
    return chosen


def _agree(chosen: Chosen, choice: Choice) -> None:
    """Have the user agree to a large submission.

    Raises:
        Stop: nobody did.

    """
    if choice.yes or chosen.bytes <= choice.confirm_above:
        return
    largest = max(chosen.files.items(), key=lambda file: file[1])[0]
    what = (
        f"{tables.size(chosen.bytes)} are more than {tables.size(choice.confirm_above)}; the largest file is "
        f"{printable(largest)}"
    )
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Stop(f"{what}: nothing was sent; add --yes, or raise --confirm-above", Exit.USAGE)
    if not click.confirm(f"{what}. Send it?", err=True):
        raise Stop("nothing was sent", Exit.USAGE)


class UploadProgress:
    """Shows on a terminal how much was sent, once that takes a while; elsewhere it is silent."""

    def __init__(self) -> None:
        self._is_live = tables.is_live()
        self._draws_at = SYSTEM.monotonic() + QUIET_S
        self._is_drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._is_drawn:
            click.echo("\r\x1b[K", err=True, nl=False)

    def __call__(self, sent: int, total: int) -> None:
        """Show that so many bytes were sent of so many."""
        now = SYSTEM.monotonic()
        if not self._is_live or (now < self._draws_at and not (self._is_drawn and sent == total)):
            return
        self._draws_at = now + REDRAW_S
        self._is_drawn = True
        text = f"sent {tables.size(sent)} of {tables.size(total)}, {100 * sent // total}%"
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)
