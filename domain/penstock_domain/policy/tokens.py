"""API tokens: a token is issued once, revoked at most once, and not valid after its expiry.

    (none) --issue--> VALID --revoke--> REVOKED
                        |
                        +-- expires_at passes --> EXPIRED

The secret itself is in no event: only the SHA-256 of the whole token, which is random enough to need no salt.
"""

from datetime import datetime
from typing import Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

from penstock_domain.access import Forbidden, has_role
from penstock_domain.chain import Stored, misfit
from penstock_schemas.access import AuthMethod, Principal, Role
from penstock_schemas.events import TokenIssued, TokenRevoked
from penstock_schemas.ids import TenantId
from penstock_schemas.views import EMPTY_HEAD, Head

PREFIX: Final = "pst_"
"""The first characters of every token, so that a token in a file can be found."""
TOKEN_ID_CHARS: Final = 16


class UnknownToken(Exception):
    """There is no token with this id."""


class IssueToken(Struct, frozen=True, kw_only=True):
    """Make a token valid."""

    issued: TokenIssued


class RevokeToken(Struct, frozen=True, kw_only=True):
    """Make a token invalid for ever."""

    token_id: str
    reason: str | None = None


TokenCommand = IssueToken | RevokeToken


class Token(Struct, frozen=True, kw_only=True):
    """An API token, without its secret."""

    id: str
    name: str
    principal: str
    tenant: TenantId
    role: Role
    secret_sha256: str
    issued_at: datetime
    issued_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    head: Head

    @property
    def holder(self) -> Principal:
        """The principal of requests with this token."""
        return Principal(name=self.principal, tenant=self.tenant, role=self.role, method=AuthMethod.TOKEN)

    def is_valid(self, now: datetime) -> bool:
        """Return whether requests with it are accepted at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def decide(token: Token | None, command: TokenCommand) -> tuple[TokenIssued, ...] | tuple[TokenRevoked, ...]:
    """Return what happens when `command` is given; nothing when its effect is there already.

    Raises:
        UnknownToken: there is no such token to revoke.

    """
    match command:
        case IssueToken():
            return (command.issued,) if token is None else ()
        case RevokeToken():
            if token is None:
                raise UnknownToken(f"token {command.token_id} was not found")
            is_revoked = token.revoked_at is not None
            return () if is_revoked else (TokenRevoked(token_id=command.token_id, reason=command.reason),)
        case _:
            assert_never(command)


def evolve(token: Token | None, stored: Stored) -> Token | None:
    """Return the token after an event; one that does not concern it leaves it as it was.

    A token whose events are damaged is not valid: the event that cannot be read may have revoked it.
    """
    event, data = stored.event, stored.event.data
    if misfit(EMPTY_HEAD if token is None else token.head, stored) is not None:
        return None if token is None else replace(token, revoked_at=token.revoked_at or event.time, head=stored.head)
    if isinstance(data, TokenIssued):
        return Token(
            id=data.token_id,
            name=data.name,
            principal=data.principal,
            tenant=data.tenant,
            role=data.role,
            secret_sha256=data.secret_sha256,
            issued_at=event.time,
            issued_by=event.actor,
            expires_at=data.expires_at,
            revoked_at=None,
            head=stored.head,
        )
    if token is not None and isinstance(data, TokenRevoked):
        return replace(token, revoked_at=token.revoked_at or event.time, head=stored.head)
    return token


def is_token_id(text: str) -> bool:
    """Return whether `text` has the form of a token's id."""
    return len(text) == TOKEN_ID_CHARS and text.isalnum() and text.isascii()


def id_of(secret: str) -> str | None:
    """Return the id in a token's text; `None` when the text has not the form of a token."""
    token_id, _, rest = secret.removeprefix(PREFIX).partition("_")
    return token_id if secret.startswith(PREFIX) and is_token_id(token_id) and rest else None


def owns(principal: Principal, token: Token) -> bool:
    """Return whether a token represents `principal`."""
    return token.tenant == principal.tenant and token.principal == principal.name


def may_see(principal: Principal, token: Token) -> bool:
    """Return whether `principal` may list and revoke a token."""
    return principal.role is Role.ADMIN or owns(principal, token)


def check_issue(principal: Principal, *, name: str, tenant: TenantId, role: Role) -> None:
    """Check that `principal` may issue a token that represents `name` of `tenant`.

    A request that is authenticated with a token cannot issue one, so that revoking a stolen token ends its use.

    Raises:
        Forbidden: only an admin may issue this token.

    """
    if principal.role is Role.ADMIN:
        return
    if (name, tenant) != (principal.name, principal.tenant):
        raise Forbidden(f"issue a token for {name} of the tenant {tenant}", needed=Role.ADMIN, principal=principal)
    if not has_role(principal, role):
        raise Forbidden(f"issue a token with the role {role.value}", needed=role, principal=principal)
    if principal.method is AuthMethod.TOKEN:
        raise Forbidden("issue a token by means of another token", needed=Role.ADMIN, principal=principal)
