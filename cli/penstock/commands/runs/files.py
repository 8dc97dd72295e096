"""`files`."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import click

from penstock.client.work_files import WorkFileClient
from penstock.terminal import tables
from penstock.terminal.connection import Format, connected, format_option, print_json, print_line, server_options
from penstock.terminal.exit_codes import Exit, Stop
from penstock_domain.quantities import counted
from penstock_schemas.api import WorkFileEntry, WorkFileList

MAX_FILES: Final = 10_000
"""Downloaded by one command."""
MAX_FOLDERS: Final = 2_000
"""Looked at by one command."""


@click.command()
@click.argument("job_id", metavar="ID")
@click.argument("path", required=False, default=".")
@click.option(
    "--get",
    "to",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Download the file, or all files of the folder, into this folder.",
)
@format_option
@server_options
def files(job_id: str, path: str, to: Path | None, form: Format, url: str | None, state: Path | None) -> None:
    """List or download what is in the work directory of a run, on the runner that has it.

    PATH is a folder or a file in it. The work directory of a failed run is kept for a time that the operator sets, that
    of another run when it was submitted with --keep-work. The results of a run are its outputs: 'penstock outputs'.
    """
    with connected(url, state, deadline_s=30.0) as client:
        found_id = client.find(job_id)
        wanted = PurePosixPath(path.strip("/") or ".").as_posix()
        found = client.work_files.listing(found_id, wanted)
        if to is not None:
            count = sum(1 for _ in fetch(client.work_files, found_id, found, to))
            click.echo(f"{counted(count, 'file')} in {to}")
            return
    if form is Format.JSON:
        print_json(found)
    elif form is Format.JSONL:
        for entry in found.entries:
            print_line(entry)
    else:
        _print(found)


def _print(found: WorkFileList) -> None:
    if not found.entries:
        click.echo("the folder is empty", err=True)
    else:
        rows = [
            (f"{entry.path}/", "", "") if entry.is_folder else (entry.path, tables.size(entry.size_bytes), entry.note)
            for entry in found.entries
        ]
        click.echo(tables.table(("PATH", "SIZE", "NOTE"), rows, flexible=0))
    if found.is_cut:
        click.echo("there are more entries than are listed", err=True)
    if found.kept_until is not None:
        click.echo(f"kept until {tables.moment(found.kept_until)}, or until the runner's disk is short", err=True)


def fetch(folder: WorkFileClient, job_id: str, listed: WorkFileList, to: Path) -> Iterator[Path]:
    """Download files below `to`, each at its own path, and yield where they are.

    Raises:
        Stop: a path leads out of `to`, cannot be written, or there are too many.

    """
    waiting, folders, count = [listed], 0, 0
    while waiting:
        found = waiting.pop()
        folders += 1
        if found.is_cut or folders > MAX_FOLDERS:
            raise Stop(f"{found.path} holds more than can be downloaded at once: choose a folder within it")
        for entry in found.entries:
            if entry.is_folder:
                waiting.append(folder.listing(job_id, entry.path))
            elif entry.note:
                click.echo(f"{entry.path} is left out: it is {entry.note}", err=True)
            else:
                count += 1
                if count > MAX_FILES:
                    raise Stop(f"more than {MAX_FILES:,} files: choose a folder within it")
                yield _fetch_one(folder, job_id, entry, to)


def _fetch_one(folder: WorkFileClient, job_id: str, entry: WorkFileEntry, to: Path) -> Path:
    path = PurePosixPath(entry.path)
    if path.is_absolute() or ".." in path.parts:
        raise Stop(f"the server names a file {entry.path!r}, which would be written outside {to}", Exit.ERROR)
    place = to / path
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        folder.download(job_id, entry, place)
    except OSError as error:
        raise Stop(f"cannot write {place}: {error.strerror}") from error
    return place
