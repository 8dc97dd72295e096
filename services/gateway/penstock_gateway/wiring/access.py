"""Authentication, put together from the settings; every mistake in them is reported at once."""

import re
from collections.abc import Callable, Iterator
from typing import Final

from litestar.types import ASGIApp

from penstock_gateway.audit.denials import DenialLog
from penstock_gateway.authentication.authenticator import Authenticator, Provider
from penstock_gateway.authentication.callers import is_loopback
from penstock_gateway.authentication.middleware import AccessSettings, AuthMiddleware
from penstock_gateway.authentication.passwords import Passwords
from penstock_gateway.authentication.provider import ProviderSettings, is_safe_url
from penstock_gateway.authentication.rate_limits import RateLimiter
from penstock_gateway.authentication.response_headers import ANY_ORIGIN
from penstock_gateway.authentication.token_service import TokenService
from penstock_gateway.authentication.user_list import UserList
from penstock_gateway.authentication.users import BadUser
from penstock_gateway.http.error_responses import ErrorRenderer
from penstock_gateway.settings import GatewaySettings
from penstock_schemas.access import AuthMethod, Role
from penstock_schemas.ids import TenantId, is_token

_ORIGIN: Final = re.compile(r"https?://[^/?#@\s]+/?")


def build_auth_middleware(
    app: ASGIApp,
    settings: GatewaySettings,
    *,
    methods_at: Callable[[str], tuple[str, ...]],
    render_error: ErrorRenderer,
    tokens: TokenService,
    denials: DenialLog,
    provider: Provider | None,
) -> AuthMiddleware:
    """Return `app` behind the authentication that the settings require.

    Raises:
        BadUser: the list of users is wrong; `access_mistakes` reports that before.

    """
    methods = settings.auth
    authenticator = Authenticator(
        methods,
        passwords=Passwords(_users(settings)) if AuthMethod.BASIC in methods else None,
        tokens=tokens,
        provider=provider,
    )
    access = AccessSettings(
        open_paths=(f"{settings.wes_prefix}/service-info",),
        allowed_origins=frozenset(origin.rstrip("/").lower() for origin in settings.cors_origins),
        trusted_proxies=frozenset(settings.trusted_proxies),
        is_local_only=AuthMethod.NONE in methods and not settings.allow_anonymous,
    )
    rate_limiter = RateLimiter(settings.rate_limit, settings.rate_burst) if settings.rate_limit else None
    return AuthMiddleware(
        app,
        authenticator=authenticator,
        denials=denials,
        access=access,
        methods_at=methods_at,
        render_error=render_error,
        rate_limiter=rate_limiter,
    )


def make_provider(settings: GatewaySettings) -> Provider | None:
    """Return the OpenID provider; `None` when there is none."""
    if AuthMethod.OIDC not in settings.auth:
        return None
    # Its cryptography takes 8 MB, which a gateway without it need not have.
    from penstock_gateway.authentication.oidc import OpenIdProvider

    return OpenIdProvider(_provider_settings(settings))


def access_mistakes(settings: GatewaySettings) -> Iterator[str]:
    """Yield what is wrong with who may come in."""
    methods = settings.auth
    if AuthMethod.NONE in methods:
        if len(methods) > 1:
            yield "PENSTOCK_AUTH names none beside other methods: expected none alone, or others without it"
        yield from exposure(settings, settings.host)
        if ANY_ORIGIN in settings.cors_origins and not settings.allow_anonymous:
            yield (
                "PENSTOCK_CORS_ORIGINS is * and PENSTOCK_AUTH is none: every page that somebody visits here could read "
                "everything. List the sites that may, or set PENSTOCK_AUTH"
            )
    if AuthMethod.BASIC in methods:
        try:
            _users(settings)
        except BadUser as error:
            yield (
                f"the users of PENSTOCK_BASIC_AUTH_USERS or PENSTOCK_BASIC_AUTH_FILE: {error}; 'penstock "
                "hash-password' makes the hashes"
            )
    if AuthMethod.OIDC in methods:
        yield from _provider_mistakes(settings)
    for origin in settings.cors_origins:
        if origin != ANY_ORIGIN and not _ORIGIN.fullmatch(origin):
            yield f"PENSTOCK_CORS_ORIGINS holds '{origin}': expected origins such as https://portal.example.org, or *"


def exposure(settings: GatewaySettings, host: str) -> Iterator[str]:
    """Yield what is wrong with listening on `host`, a name or the address that it turned out to be."""
    if AuthMethod.NONE in settings.auth and not settings.allow_anonymous and not is_loopback(host):
        address = settings.host if host == settings.host else f"{settings.host}' which is '{host}"
        yield (
            f"PENSTOCK_HOST is '{address}', which other machines reach, and PENSTOCK_AUTH is none: everybody could "
            "run programs on this installation. Set PENSTOCK_AUTH to basic, token or oidc "
            "(docs/how-to/authenticate.md), or PENSTOCK_HOST to 127.0.0.1, or PENSTOCK_ALLOW_ANONYMOUS=true where "
            "that is intended"
        )


def _users(settings: GatewaySettings) -> UserList:
    return UserList(settings.basic_auth_users, settings.basic_auth_file)


def _provider_mistakes(settings: GatewaySettings) -> Iterator[str]:
    if not settings.oidc_issuer or not is_safe_url(settings.oidc_issuer):
        yield "PENSTOCK_OIDC_ISSUER is no https address: expected the issuer of the OpenID provider"
    if not settings.oidc_audience:
        yield "PENSTOCK_OIDC_AUDIENCE is not set: expected the audience that tokens for this server name"
    if not settings.oidc_roles and settings.oidc_default_role is None:
        yield "neither PENSTOCK_OIDC_ROLES nor PENSTOCK_OIDC_DEFAULT_ROLE is set: no user would have access"
    if not is_token(settings.oidc_tenant):
        yield f"PENSTOCK_OIDC_TENANT is '{settings.oidc_tenant}': expected letters, digits, - and _"
    for entry in settings.oidc_roles:
        value, equals, role = entry.rpartition("=")
        if not equals or not value or role not in {known.value for known in Role}:
            yield f"PENSTOCK_OIDC_ROLES contains '{entry}': expected value=role, the role one of viewer, submitter, ..."


def _provider_settings(settings: GatewaySettings) -> ProviderSettings:
    mapped = (entry.rpartition("=") for entry in settings.oidc_roles)
    return ProviderSettings(
        issuer=settings.oidc_issuer or "",
        audience=settings.oidc_audience,
        name_claim=settings.oidc_name_claim,
        tenant_claim=settings.oidc_tenant_claim,
        tenant=TenantId(settings.oidc_tenant),
        role_claim=settings.oidc_role_claim,
        roles={value: Role(role) for value, _, role in mapped},
        default_role=settings.oidc_default_role,
        skew_s=settings.oidc_skew_s,
    )
