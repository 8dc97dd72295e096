"""`token` and `hash-password`: who may come in."""

from datetime import UTC, datetime
from pathlib import Path

import click

from penstock import tables
from penstock.connection import connected, server_options
from penstock_schemas.access import Role
from penstock_schemas.api import TokenRequest

ROLES = click.Choice([each.value for each in Role])


@click.group()
def token() -> None:
    """Issue, list and revoke API tokens."""


@token.command()
@click.argument("name")
@click.option("--role", type=ROLES, help="What it may do, at most what you may; left out: submitter.")
@click.option("--principal", help="Who asks with it; left out: you. For admins.")
@click.option("--tenant", help="Of whom; left out: yours. For admins.")
@click.option("--days", type=click.IntRange(1, 3660), help="It ends after so many days; left out: never.")
@server_options
def create(
    name: str,
    role: str | None,
    principal: str | None,
    tenant: str | None,
    days: int | None,
    url: str | None,
    state: Path | None,
) -> None:
    """Issue a token and print it. It is shown this once."""
    asked = TokenRequest(
        name=name,
        principal=principal,
        tenant=tenant,
        role=None if role is None else Role(role),
        expires_in_s=None if days is None else days * 86_400,
    )
    with connected(url, state) as client:
        issued = client.issue_token(asked)
    click.echo(issued.token)
    click.echo(f"{issued.details.id}: {issued.details.role.value} {issued.details.principal}", err=True)


@token.command("ls")
@server_options
def list_tokens(url: str | None, state: Path | None) -> None:
    """List your tokens; an admin sees all."""
    with connected(url, state) as client:
        found = client.tokens().tokens
    now = datetime.now(UTC)
    rows = [
        (
            each.id,
            each.name,
            each.principal,
            each.tenant,
            each.role.value,
            "revoked" if each.revoked_at else "expired" if each.expires_at and each.expires_at <= now else "valid",
        )
        for each in found
    ]
    if rows:
        click.echo(tables.table(("ID", "NAME", "PRINCIPAL", "TENANT", "ROLE", "STATE"), rows))
    else:
        click.echo("no tokens", err=True)


@token.command()
@click.argument("token_id", metavar="ID")
@server_options
def revoke(token_id: str, url: str | None, state: Path | None) -> None:
    """Make a token worth nothing, at once."""
    with connected(url, state) as client:
        client.revoke_token(token_id)
