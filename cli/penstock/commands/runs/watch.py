"""`watch`."""

from pathlib import Path

import click

from penstock.terminal.connection import connected, server_options


@click.command()
@click.argument("job_id", metavar="ID")
@server_options
def watch(job_id: str, url: str | None, state: Path | None) -> int:
    """Follow a run to its end. Ctrl-C detaches; the run goes on.

    The exit code is the run's outcome: 0 completed, 10 failed, 11 cancelled.
    """
    from penstock.terminal.watching import watch as follow

    with connected(url, state) as client:
        return follow(client, client.find(job_id))
