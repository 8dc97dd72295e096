"""`verify`."""

from pathlib import Path

import anyio
import click

from penstock.exits import Exit, Stop
from penstock.log_access import log_settings
from penstock_core.ports import PortError


@click.command()
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="The state folder of 'penstock up'.")
def verify(state: Path | None) -> None:
    """Check the whole event log: that nothing is missing or changed, and every decision of the scheduler.

    It reads the log itself, from the NATS server of 'penstock up', else from PENSTOCK_NATS_URL (and
    PENSTOCK_NATS_CREDENTIALS). The exit code is 1 when something does not fit.
    """
    from penstock.audit import Audit, Broken, audit
    from penstock_jetstream import connect

    settings = log_settings(state, "penstock-verify")

    async def look() -> Audit:
        async with connect(settings) as cluster:
            return await audit(cluster.log)

    try:
        found = anyio.run(look)
    except Broken as error:
        raise Stop(f"the log at {settings.shown_url} does not fit: {error}") from error
    except PortError as error:
        raise Stop(str(error), Exit.UNREACHABLE) from error
    click.echo(
        f"ok: {found.events:,} events in {found.aggregates:,} hash chains, "
        f"{found.cycles:,} decisions taken again with the same result"
    )
