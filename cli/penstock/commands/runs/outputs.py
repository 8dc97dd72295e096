"""`outputs`."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import click
from msgspec import structs

from penstock.client.client import Client
from penstock.terminal import tables
from penstock.terminal.connection import Format, connected, format_option, print_for_program, server_options
from penstock.terminal.exit_codes import Stop
from penstock.terminal.terminal_text import plain
from penstock_domain.quantities import counted
from penstock_schemas.api import OutputList

MAX_NAMED: Final = 20
"""So many files that are missing from the outputs are listed."""
MAX_REPORT_ITEMS: Final = 50
MAX_CAPTION_LINES: Final = 10


@click.command()
@click.argument("job_id", metavar="ID")
@click.option(
    "--get",
    "to",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Download the files into this folder.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="PATTERN",
    help="Select only paths that match, for example 'results/*.png'. Can be repeated.",
)
@format_option
@server_options
def outputs(
    job_id: str, to: Path | None, only: tuple[str, ...], form: Format, url: str | None, state: Path | None
) -> None:
    """List the files that a run produced, or download them: outputs, logs, benchmarks, and what was not stored."""
    with connected(url, state, deadline_s=30.0) as client:
        found = client.outputs(client.find(job_id))
        if only:
            kept = [file for file in found.files if any(PurePosixPath(file.path).match(one) for one in only)]
            if found.files and not kept:
                click.echo(f"none of the run's {counted(len(found.files), 'file')} matches --only", err=True)
            found = structs.replace(found, files=kept, total_bytes=sum(item.size_bytes for item in kept))
        if to is not None:
            fetch(client, found, to)
    if not print_for_program(form, found, found.files):
        _print(found, to)


def _print(found: OutputList, to: Path | None) -> None:
    if not found.files:
        click.echo("no outputs", err=True)
    elif to is None:
        rows = [
            (
                file.path,
                str(file.kind.value),
                file.media_type.partition(";")[0],
                tables.size(file.size_bytes),
                file.sha256[:12],
            )
            for file in found.files
        ]
        click.echo(tables.table(("PATH", "KIND", "TYPE", "SIZE", "SHA-256"), rows, flexible=0))
        for line in report_lines(found):
            click.echo(line)
    else:
        click.echo(f"{counted(len(found.files), 'file')}, {tables.size(found.total_bytes)}, in {to}")
    for line in missing_lines(found):
        click.echo(line, err=True)


def report_lines(found: OutputList) -> Iterator[str]:
    """Yield what the workflow states of each report item: where it belongs, its labels, and its caption."""
    items = [(file.path, file.report) for file in found.files if file.report is not None]
    for path, item in items[:MAX_REPORT_ITEMS]:
        places = " / ".join(part for part in (item.category, item.subcategory) if part)
        labels = ", ".join(f"{key}={value}" for key, value in item.labels.items())
        stated = "; ".join(part for part in (places, labels) if part)
        yield plain(f"report item {path}" + (f": {stated}" if stated else ""))
        yield from (f"    {plain(line)}" for line in (item.caption or "").splitlines()[:MAX_CAPTION_LINES])
    if len(items) > MAX_REPORT_ITEMS:
        yield f"  and {len(items) - MAX_REPORT_ITEMS:,} more report items; -o json lists all"


def missing_lines(found: OutputList) -> Iterator[str]:
    """Yield what was not stored and why, and what was not kept, up to `MAX_NAMED` files of each."""
    if found.not_stored_count:
        yield f"not stored, {counted(found.not_stored_count, 'file')}:"
        yield from (f"  {item.path}: {item.reason}" for item in found.not_stored[:MAX_NAMED])
        yield from _more(found.not_stored_count)
    if found.undeclared_count:
        size = tables.size(found.undeclared_bytes)
        yield f"not kept because no rule declares them, {counted(found.undeclared_count, 'file')}, {size}:"
        yield from (f"  {item.path}  {tables.size(item.size_bytes)}" for item in found.undeclared[:MAX_NAMED])
        yield from _more(found.undeclared_count)
        yield "submit with --keep-undeclared to keep such files"


def _more(count: int) -> Iterator[str]:
    if count > MAX_NAMED:
        yield f"  and {count - MAX_NAMED:,} more; -o json lists up to 1,000"


def fetch(client: Client, found: OutputList, to: Path) -> None:
    """Download outputs below `to`, each at its own path.

    Raises:
        Stop: a path leads out of `to`, or cannot be written.

    """
    for file in found.files:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts:
            raise Stop(f"the server names an output {file.path!r}, which would be written outside {to}")
        try:
            place = to / path
            place.parent.mkdir(parents=True, exist_ok=True)
            client.download(file, place)
        except OSError as error:
            raise Stop(f"cannot write {to / path}: {error.strerror}") from error
