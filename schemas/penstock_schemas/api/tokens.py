"""The bodies of API tokens."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from penstock_schemas.access import Role
from penstock_schemas.api.bounds import MAX_TOKEN_S
from penstock_schemas.ids import TenantId
from penstock_schemas.jobs import Name, Token


class TokenRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The body of `POST /tokens`."""

    name: Name
    """What it is for."""
    principal: Name | None = None
    """The principal of the token; default: the issuer. Only an admin may name another principal."""
    tenant: Token | None = None
    """The tenant of the principal; default: that of the issuer."""
    role: Role | None = None
    """Left out: `submitter`, or `viewer` for a viewer. Never above the role of the issuer."""
    expires_in_s: Annotated[int, Meta(ge=1, le=MAX_TOKEN_S)] | None = None
    """Left out: it is valid until it is revoked."""


class TokenResponse(Struct, frozen=True, kw_only=True):
    """An API token; its secret is known to its holder alone."""

    id: str
    name: str
    principal: str
    tenant: TenantId
    role: Role
    issued_at: datetime
    issued_by: str
    expires_at: datetime | None
    revoked_at: datetime | None


class IssuedToken(Struct, frozen=True, kw_only=True):
    """The answer to `POST /tokens`."""

    token: str
    """What its holder sends, as `Authorization: Bearer` or `X-API-Key`. It is shown this once."""
    details: TokenResponse


class TokenList(Struct, frozen=True, kw_only=True):
    """The tokens that somebody sees, newest first: its own, or for an admin all."""

    tokens: list[TokenResponse]
