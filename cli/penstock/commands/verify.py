"""`verify`."""

import os
from pathlib import Path

import anyio
import click
from msgspec.structs import replace

from penstock import running
from penstock.exits import Exit, Stop
from penstock_core.ports import PortError
from penstock_core.settings import BadSettings, read_settings
from penstock_jetstream.settings import NatsSettings, ServiceSettings


@click.command()
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="The state folder of 'penstock up'.")
def verify(state: Path | None) -> None:
    """Check the whole event log: that nothing is missing or changed, and every decision of the scheduler.

    It reads the log itself, from the NATS server of 'penstock up', else from PENSTOCK_NATS_URL (and
    PENSTOCK_NATS_CREDENTIALS). The exit code is 1 when something does not fit.
    """
    from penstock.audit import Audit, Broken, audit
    from penstock_jetstream import connect

    settings = _settings(state)

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


def _settings(state: Path | None) -> NatsSettings:
    name = "penstock-verify"
    here = running.find(state or running.default_state(os.environ))
    if here is not None:
        return NatsSettings(url=here.nats_url, name=name)
    if state is not None:
        raise Stop(f"no Penstock runs on {state}: start it with 'penstock up --state {state}'", Exit.UNREACHABLE)
    try:
        settings = read_settings(ServiceSettings, os.environ)
    except BadSettings as error:
        raise Stop(str(error), Exit.USAGE) from error
    # It only reads: how large the log may be and how often it is kept is not for it to change.
    return replace(settings.nats(name), replicas=None, events_max_bytes=None)
