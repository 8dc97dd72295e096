"""The first admin's token: written directly to the event log, because the server accepts no user yet."""

import getpass
import os
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import anyio

from penstock.operations.log_access import quiet_logs
from penstock.terminal.exit_codes import Exit, Stop
from penstock_jetstream.settings import NatsSettings
from penstock_ports import PortError
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.access import Role
from penstock_schemas.api import IssuedToken, TokenRequest
from penstock_schemas.ids import DEFAULT_TENANT, TenantId

FIRST_ADMIN: Final = "admin"
"""The principal of the token when no other is named."""


def bootstrap(request: TokenRequest, settings: NatsSettings) -> IssuedToken:
    """Issue a token with the rights of a client with write access to the log; it is durable when this returns.

    Raises:
        Stop: the gateway is not installed here, or the log does not answer.

    """
    try:
        from penstock_gateway.authentication.token_service import TokenService, described
        from penstock_jetstream import connect
    except ModuleNotFoundError as error:
        raise Stop(f"this needs {error.name}, which is not installed: pip install 'penstock[gateway]'") from error
    quiet_logs("bootstrap")  # to standard error: what is printed is the token alone
    lasts = None if request.expires_in_s is None else timedelta(seconds=request.expires_in_s)

    async def issue() -> IssuedToken:
        async with connect(settings) as cluster:
            issued = await TokenService(cluster.log, runtime=SYSTEM).bootstrap(
                actor(),
                name=request.name,
                holder=request.principal or FIRST_ADMIN,
                tenant=TenantId(request.tenant or DEFAULT_TENANT),
                role=request.role or Role.ADMIN,
                expires_at=None if lasts is None else SYSTEM.now() + lasts,
            )
            return IssuedToken(token=issued.secret, details=described(issued.token))

    try:
        return anyio.run(issue)
    except PortError as error:
        raise Stop(str(error), Exit.UNREACHABLE) from error


def actor(user: Callable[[], str] = getpass.getuser) -> str:
    """Return the name of the present user for the log: `bootstrap:<user>@<host>`."""
    try:
        name = user()
    except (OSError, KeyError, ImportError):  # what it raises for a user without a name depends on Python's version
        name = str(os.getuid())
    return f"bootstrap:{name}@{socket.gethostname()}"
