"""`outputs`."""

from pathlib import Path, PurePosixPath

import click

from penstock import tables
from penstock.client import Client
from penstock.connection import Format, connected, format_option, print_json, print_line, server_options
from penstock.exits import Stop
from penstock_schemas.api import OutputList


@click.command()
@click.argument("job_id", metavar="ID")
@click.option(
    "--get", "to", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), help="Download them here."
)
@click.option(
    "--only", multiple=True, metavar="PATTERN", help="Only paths like this, as in 'results/*.png'; repeat it."
)
@format_option
@server_options
def outputs(
    job_id: str, to: Path | None, only: tuple[str, ...], form: Format, url: str | None, state: Path | None
) -> None:
    """List the files that a run produced, or download them."""
    with connected(url, state, deadline_s=30.0) as client:
        found = client.outputs(client.find(job_id))
        if only:
            kept = [each for each in found.files if any(PurePosixPath(each.path).match(one) for one in only)]
            found = OutputList(
                job_id=found.job_id,
                attempt=found.attempt,
                files=kept,
                total_bytes=sum(each.size_bytes for each in kept),
            )
        if to is not None:
            fetch(client, found, to)
    if form is Format.JSON:
        print_json(found)
    elif form is Format.JSONL:
        for each in found.files:
            print_line(each)
    elif not found.files:
        click.echo("no outputs", err=True)
    elif to is None:
        rows = [(each.path, tables.size(each.size_bytes), each.sha256[:12]) for each in found.files]
        click.echo(tables.table(("PATH", "SIZE", "SHA-256"), rows, flexible=0))
    else:
        click.echo(f"{len(found.files)} files, {tables.size(found.total_bytes)}, in {to}")


def fetch(client: Client, found: OutputList, to: Path) -> None:
    """Download outputs below `to`, each at its own path.

    Raises:
        Stop: a path leads out of `to`, or cannot be written.

    """
    for each in found.files:
        path = PurePosixPath(each.path)
        if path.is_absolute() or ".." in path.parts:
            raise Stop(f"the server names an output {each.path!r}, which would be written outside {to}")
        try:
            place = to / path
            place.parent.mkdir(parents=True, exist_ok=True)
            client.download(each, place)
        except OSError as error:
            raise Stop(f"cannot write {to / path}: {error.strerror}") from error
