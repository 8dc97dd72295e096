"""Settings of an OpenID provider, without the libraries that check signatures: those are heavy to import."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from penstock_gateway.authentication.callers import is_loopback
from penstock_schemas.access import Role
from penstock_schemas.ids import TenantId


class ProviderSettings(Struct, frozen=True, kw_only=True):
    """The operator's settings for the provider."""

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
    """Of a user who has none of `roles`; `None`: such a user is refused."""
    skew_s: float = 60.0


def is_safe_url(url: str) -> bool:
    """Return whether nobody on the way can change what is fetched from there."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return (parts.scheme == "https" and bool(parts.hostname)) or (
        parts.scheme == "http" and is_loopback(parts.hostname or "")
    )
