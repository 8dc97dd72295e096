"""What the operator says of an OpenID provider. It needs none of what checks signatures, which is heavy to import."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from penstock_gateway.authentication.callers import is_loopback
from penstock_schemas.access import Role
from penstock_schemas.ids import TenantId


class ProviderSettings(Struct, frozen=True, kw_only=True):
    """What the operator says of the provider."""

    issuer: str
    audience: tuple[str, ...]
    name_claim: str = "sub"
    tenant_claim: str | None = None
    tenant: TenantId
    """Of everybody, where there is no `tenant_claim`."""
    role_claim: str = "roles"
    roles: Mapping[str, Role]
    """A value of the role claim to the role that it gives; the highest counts."""
    default_role: Role | None = None
    """Of whoever has none of `roles`; `None`: it may not come in."""
    skew_s: float = 60.0


def is_safe_url(url: str) -> bool:
    """Say whether nobody on the way can change what is fetched from there."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return (parts.scheme == "https" and bool(parts.hostname)) or (
        parts.scheme == "http" and is_loopback(parts.hostname or "")
    )
