"""`refusals`."""

from datetime import datetime
from pathlib import Path

import anyio
import click
from msgspec import Struct

from penstock.operations.log_access import log_settings, quiet_logs
from penstock.terminal import tables
from penstock.terminal.connection import Format, format_option, print_for_program
from penstock.terminal.exit_codes import Exit, Stop
from penstock.terminal.options.parameters import parse_time
from penstock_domain import aggregates
from penstock_ports import EventLog, PortError
from penstock_schemas.events import AccessDenied
from penstock_schemas.ids import DEFAULT_TENANT, TenantId, is_token

LOAD_S = 60.0


class Refusal(Struct, frozen=True, kw_only=True):
    """A refused request, or several equal ones within a minute."""

    time: datetime
    """When it was recorded: up to a minute after it was refused."""
    principal: str | None
    address: str
    method: str
    path: str
    reason: str
    times: int


class RefusalList(Struct, frozen=True):
    """What is printed as JSON."""

    refusals: list[Refusal]


@click.command()
@click.option(
    "--tenant",
    default=DEFAULT_TENANT,
    show_default=True,
    help="The tenant of the requests; unknown users count to the default one.",
)
@click.option("--since", metavar="TIME", help="List only refusals after this time: 30m, 24h, 7d or an ISO time.")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=50,
    show_default=True,
    help="List only the last refusals, this many.",
)
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="The state folder of 'penstock up'.")
@format_option
def refusals(tenant: str, since: str | None, limit: int, state: Path | None, form: Format) -> None:
    """List refused requests: wrong passwords and tokens, what a role does not allow, ids of others.

    It reads the log itself, from the NATS server of 'penstock up', else from PENSTOCK_NATS_URL (and
    PENSTOCK_NATS_CREDENTIALS). A gateway records the first at once, then once a minute, those alike as one
    with its count.
    """
    from penstock_jetstream import connect

    if not is_token(tenant):
        raise click.UsageError(f"{tenant!r} is no tenant: expected letters, digits, - and _")
    after = None if since is None else parse_time(since)
    settings = log_settings(state, "penstock-refusals")
    quiet_logs("refusals")

    async def look() -> list[Refusal]:
        async with connect(settings) as cluster:
            return await recorded(cluster.log, TenantId(tenant), after=after, limit=limit)

    try:
        found = anyio.run(look)
    except PortError as error:
        raise Stop(str(error), Exit.UNREACHABLE) from error
    _print(found, form)


async def recorded(log: EventLog, tenant: TenantId, *, after: datetime | None, limit: int) -> list[Refusal]:
    """Return the last refusals of a tenant, oldest first.

    Raises:
        PortError: the log cannot be read.

    """
    found: list[Refusal] = []
    for stored in await log.load(aggregates.audit(tenant), deadline_s=LOAD_S):
        data, time = stored.event.data, stored.event.time
        if isinstance(data, AccessDenied) and (after is None or time > after):
            found.append(
                Refusal(
                    time=time,
                    principal=data.principal,
                    address=data.address,
                    method=data.method,
                    path=data.path,
                    reason=data.reason,
                    times=data.times,
                )
            )
    return found[-limit:]


def _print(found: list[Refusal], form: Format) -> None:
    if print_for_program(form, RefusalList(found), found):
        return
    if not found:
        click.echo("no request was refused", err=True)
    else:
        rows = [
            (
                tables.moment(item.time),
                item.principal or "-",
                item.address,
                str(item.times),
                f"{item.method} {item.path}",
                item.reason,
            )
            for item in found
        ]
        click.echo(tables.table(("TIME", "PRINCIPAL", "ADDRESS", "COUNT", "REQUEST", "REASON"), rows))
