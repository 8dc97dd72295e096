"""`token`: API tokens."""

from pathlib import Path

import click
import msgspec

from penstock.terminal import tables
from penstock.terminal.connection import Format, connected, format_option, print_for_program, server_options
from penstock.terminal.exit_codes import Exit, Stop
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.access import Role
from penstock_schemas.api import IssuedToken, TokenRequest, TokenResponse

ROLES = click.Choice([item.value for item in Role])


@click.group()
def token() -> None:
    """Issue, list and revoke API tokens."""


@token.command()
@click.argument("name")
@click.option("--role", type=ROLES, help="The role of the token, at most your own. [default: submitter]")
@click.option("--principal", help="The user that the token represents; only admins may name another. [default: you]")
@click.option("--tenant", help="The tenant of the token; only admins may name another. [default: yours]")
@click.option(
    "--days", type=click.IntRange(1, 3660), help="The number of days for which the token is valid. [default: for ever]"
)
@click.option(
    "--bootstrap",
    "is_first",
    is_flag=True,
    help="Write the token directly to the event log: for the first admin, when nobody can log in yet.",
)
@format_option
@server_options
def create(
    name: str,
    role: str | None,
    principal: str | None,
    tenant: str | None,
    days: int | None,
    is_first: bool,
    form: Format,
    url: str | None,
    state: Path | None,
) -> None:
    """Issue a token and print it. It is shown this once.

    With --bootstrap the gateway is not used: the token is written to the log, through the NATS server of 'penstock up',
    or through PENSTOCK_NATS_URL (and PENSTOCK_NATS_CREDENTIALS), as the services do. By default the token has the role
    and the name 'admin' (--role, --principal); the log records who issued it.
    """
    request = _request(
        name=name, principal=principal, tenant=tenant, role=role, expires_in_s=None if days is None else days * 86_400
    )
    issued = _bootstrap(request, url, state) if is_first else _issue(request, url, state)
    details = issued.details
    if print_for_program(form, issued, (issued,)):
        return
    click.echo(issued.token)
    click.echo(
        f"{details.id}: {details.role.value} {details.principal} of {details.tenant}, {_state(details)}", err=True
    )


@token.command("ls")
@format_option
@server_options
def list_tokens(form: Format, url: str | None, state: Path | None) -> None:
    """List your tokens; an admin sees all."""
    with connected(url, state) as client:
        found = client.tokens.visible()
    if print_for_program(form, found, found.tokens):
        return
    if found.tokens:
        rows = [
            (
                one_token.id,
                one_token.name,
                one_token.principal,
                one_token.tenant,
                one_token.role.value,
                _state(one_token),
            )
            for one_token in found.tokens
        ]
        click.echo(tables.table(("ID", "NAME", "PRINCIPAL", "TENANT", "ROLE", "STATE"), rows))
    else:
        click.echo("no tokens", err=True)


@token.command()
@click.argument("token_id", metavar="ID")
@server_options
def revoke(token_id: str, url: str | None, state: Path | None) -> None:
    """Revoke a token, with immediate effect."""
    with connected(url, state) as client:
        client.tokens.revoke(token_id)


def _request(**given: object) -> TokenRequest:
    """Return what is requested, checked as the server checks it."""
    try:
        return msgspec.convert({key: value for key, value in given.items() if value is not None}, TokenRequest)
    except msgspec.ValidationError as error:
        raise Stop(f"the token cannot be issued: {error}", Exit.USAGE) from error


def _issue(request: TokenRequest, url: str | None, state: Path | None) -> IssuedToken:
    with connected(url, state) as client:
        return client.tokens.issue(request)


def _bootstrap(request: TokenRequest, url: str | None, state: Path | None) -> IssuedToken:
    from penstock.operations.bootstrap import bootstrap
    from penstock.operations.log_access import log_settings

    if click.get_current_context().get_parameter_source("url") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError(f"--bootstrap does not use the server at {url}; it needs PENSTOCK_NATS_URL or --state")
    settings = log_settings(state, "penstock-bootstrap")
    issued = bootstrap(request, settings)
    notice = f"issued past the server, into the log at {settings.shown_url}, as {issued.details.issued_by}"
    click.echo(notice, err=True)
    return issued


def _state(token: TokenResponse) -> str:
    if token.revoked_at:
        return "revoked"
    if token.expires_at is None:
        return "valid"
    return "expired" if token.expires_at <= SYSTEM.now() else f"valid until {token.expires_at:%Y-%m-%d %H:%M} UTC"
