"""`runners`."""

from pathlib import Path

import click

from penstock.terminal import tables
from penstock.terminal.connection import Format, connected, format_option, print_for_program, server_options


@click.command()
@format_option
@server_options
def runners(form: Format, url: str | None, state: Path | None) -> None:
    """List the runners that are connected: their slots, what they can run and provide, when they reported last."""
    with connected(url, state) as client:
        found = client.server.runners()
    if print_for_program(form, found, found.runners):
        return
    if not found.runners:
        click.echo("no runner is connected: runs wait until one is", err=True)
    else:
        rows = [
            (
                runner.name,
                f"{runner.busy}/{runner.slots}",
                str(runner.cores or "-"),
                str(runner.gpus),
                "draining" if runner.draining else "active",
                tables.age(runner.seen_at),
                "-" if runner.sandbox is None else runner.sandbox.value,
                ", ".join(runner.provides),
                ", ".join(f"{name} {version}" for name, version in sorted(runner.engines.items())),
            )
            for runner in found.runners
        ]
        head = ("NAME", "BUSY", "CORES", "GPUS", "STATE", "SEEN", "SANDBOX", "PROVIDES", "ENGINES")
        click.echo(tables.table(head, rows))
