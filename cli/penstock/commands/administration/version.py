"""`version`."""

from pathlib import Path

import click

from penstock.client.client import Client
from penstock.client.transport import ClientError
from penstock.terminal.connection import server_options, server_url
from penstock.versions import software_version


@click.command()
@server_options
def version(url: str | None, state: Path | None) -> None:
    """Print the versions of this command and of the server; without a server, only the first."""
    click.echo(f"penstock {software_version()}")
    place = server_url(url, state)
    with Client(place, deadline_s=3.0) as client:
        try:
            found = client.server.version()
        except ClientError:
            click.echo(f"server   none at {place}")
        else:
            image = f" (image {found.version})" if found.version != "unknown" else ""
            click.echo(f"server   {found.software_version}{image} at {place}")
