"""`verify`."""

from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import click

from penstock.operations.log_access import log_settings, quiet_logs
from penstock.terminal.exit_codes import Exit, Stop
from penstock_domain.quantities import counted
from penstock_ports import PortError

if TYPE_CHECKING:
    from penstock_jetstream import Cluster


@click.command()
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="The state folder of 'penstock up'.")
@click.option("--replicas", is_flag=True, help="Compare every NATS server's copy of each stream as well.")
def verify(state: Path | None, *, replicas: bool) -> None:
    """Check the whole event log: that nothing is missing or changed, and every decision of the scheduler.

    It reads the log itself, from the NATS server of 'penstock up', else from PENSTOCK_NATS_URL (and
    PENSTOCK_NATS_CREDENTIALS). The exit code is 1 when something does not fit.
    """
    from penstock.operations.audit import Audit, audit
    from penstock_jetstream import connect

    settings = log_settings(state, "penstock-verify")
    quiet_logs("verify")

    async def look() -> tuple[Audit, bool]:
        async with connect(settings) as cluster:
            are_whole = await _compare_replicas(cluster) if replicas else True
            return await audit(cluster.log), are_whole

    try:
        found, are_whole = anyio.run(look)
    except PortError as error:
        raise Stop(str(error), Exit.UNREACHABLE) from error
    if found.problems:
        for finding in found.findings:
            click.echo(str(finding))
        more = f", of which the first {len(found.findings)} are shown" if found.problems > len(found.findings) else ""
        raise Stop(
            f"the log at {settings.shown_url} is damaged: {counted(found.problems, 'problem')} in "
            f"{counted(found.events, 'event')}{more}; see docs/how-to/repair-damage.md"
        )
    click.echo(
        f"ok: {counted(found.events, 'event')} in {counted(found.aggregates, 'hash chain')}, "
        f"{counted(found.cycles, 'decision')} repeated with the same result"
    )
    if not are_whole:
        raise Stop(
            "a copy is damaged or was not read; docs/how-to/repair-a-nats-cluster.md describes how to rebuild it"
        )


async def _compare_replicas(cluster: "Cluster") -> bool:
    """Print what every copy of every stream is like; return whether all of them are whole."""
    from penstock_jetstream.replicas import FILE_STREAMS, compare

    are_whole = True
    for stream in FILE_STREAMS:
        for copy in await compare(cluster.connection, stream):
            if copy.damage is None:
                click.echo(f"{copy.server}: the copy of {stream} is whole, {copy.messages:,} messages")
                continue
            are_whole = False
            damage = copy.damage
            click.echo(
                f"{copy.server}: the copy of {stream} is damaged from sequence {damage.seq} on: {damage.kind} "
                f"({damage.messages:,} messages differ)"
                if copy.messages or damage.messages
                else f"{copy.server}: the copy of {stream} was not read: {damage.kind}"
            )
    return are_whole
