"""Tokens of an OpenID provider: its keys, fetched and kept, and the principal that their claims name.

Only signatures with the provider's public keys count: `none` and secrets shared with it (HS256) are refused before a
key is looked for, so a public key can never be taken for a secret.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

import anyio
import jwt
import msgspec
import structlog
import urllib3
from anyio import to_thread
from msgspec import Struct

from penstock_gateway.authentication.provider import ProviderSettings, is_safe_url
from penstock_gateway.http.problems import ProviderAway, Unauthenticated
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.access import AuthMethod, Principal
from penstock_schemas.ids import TenantId, is_name, is_token

KEY_TYPES: Final = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
"""The algorithms that are taken, each with the one type of key that it may use."""
MAX_KEYS: Final = 100
MAX_DOCUMENT_BYTES: Final = 512 * 1024
FETCH_S: Final = 5.0
KEEP_S: Final = 3600.0
"""Keys are fetched again when they are older than this."""
USE_S: Final = 24 * 3600.0
"""While the provider does not answer, the keys that are known go on being used for this long."""
RETRY_S: Final = 10.0
"""The pause between two tries while it does not answer."""
LOOK_AGAIN_S: Final = 2.0
"""A key that is not known is looked for at the provider, but no more often than this."""

T = TypeVar("T")
log = structlog.get_logger()


class _Discovery(Struct, frozen=True):
    issuer: str
    jwks_uri: str


class _Keys(Struct, frozen=True):
    keys: list[dict[str, Any]]


class OpenIdProvider:
    """Verifies the signed tokens of one provider.

    Args:
        settings: the operator's settings for it.
        clock: seconds that only grow.

    """

    def __init__(self, settings: ProviderSettings, *, clock: Callable[[], float] = SYSTEM.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched_at = -math.inf
        self._tried_at = -math.inf
        self._why = "its keys were not fetched yet"
        self._fetching: anyio.Lock | None = None

    async def run(self) -> None:
        """Keep the keys fresh, for ever, so that no request has to wait for them but one with a new key."""
        while True:
            await self._look()
            await anyio.sleep(KEEP_S if self._age_s < KEEP_S else RETRY_S)

    async def verify(self, text: str) -> Principal:
        """Return the principal of a signed token.

        Raises:
            Unauthenticated: it is worth nothing, and why.
            ProviderAway: the provider's keys are not known, or too old, and it does not answer.

        """
        try:
            header = jwt.get_unverified_header(text)
        except jwt.InvalidTokenError as error:
            raise Unauthenticated(f"the token cannot be read ({error})") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in KEY_TYPES:
            raise Unauthenticated(f"the token is signed by {algorithm}; {', '.join(KEY_TYPES)} are taken")
        key = await self._key(key_id)
        if key is None or key.key_type != KEY_TYPES[algorithm] or key.algorithm_name != algorithm:
            raise Unauthenticated("the token is signed by a key that its provider does not have")
        try:
            claims: dict[str, Any] = jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=self._settings.skew_s,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.InvalidTokenError as error:
            raise Unauthenticated(f"the token is not valid: {str(error).lower()}") from None
        return principal_of(claims, self._settings)

    async def _key(self, key_id: object) -> jwt.PyJWK | None:
        wanted = key_id if isinstance(key_id, str) else None
        if wanted not in self._keys or self._age_s >= USE_S:
            await self._look()
        if not self._keys or self._age_s >= USE_S:
            raise ProviderAway(f"the OpenID provider {self._settings.issuer} gave no keys to check tokens: {self._why}")
        return self._keys.get(wanted)

    @property
    def _age_s(self) -> float:
        return self._clock() - self._fetched_at

    async def _look(self) -> None:
        """Fetch the keys, unless somebody did a moment ago."""
        if self._clock() - self._tried_at < LOOK_AGAIN_S:
            return
        self._fetching = self._fetching or anyio.Lock()
        async with self._fetching:
            if self._clock() - self._tried_at >= LOOK_AGAIN_S:
                await self._fetch()

    async def _fetch(self) -> None:
        """Fetch the keys; when that fails, those that are known stay."""
        try:
            with anyio.fail_after(3 * FETCH_S):
                keys = await to_thread.run_sync(_fetch_keys, self._settings.issuer, abandon_on_cancel=True)
        except (TimeoutError, OSError, urllib3.exceptions.HTTPError, msgspec.MsgspecError, BadProvider) as error:
            self._why = str(error) or "no answer in time"
            write = log.warning if self._keys else log.error
            write("oidc_keys_not_fetched", issuer=self._settings.issuer, reason=self._why, known=len(self._keys))
        else:
            self._keys = keys
            self._fetched_at = self._clock()
            log.info("oidc_keys", count=len(keys))
        self._tried_at = self._clock()


class BadProvider(Exception):
    """The provider's documents are not what they must be."""


def principal_of(claims: Mapping[str, Any], settings: ProviderSettings) -> Principal:
    """Return who has these claims.

    Raises:
        Unauthenticated: they contain no name, or give no role.

    """
    name = _claim(claims, settings.name_claim)
    if not isinstance(name, str) or not is_name(name):
        raise Unauthenticated(f"the token's claim {settings.name_claim} holds no name")
    tenant = settings.tenant if settings.tenant_claim is None else _claim(claims, settings.tenant_claim)
    if not isinstance(tenant, str) or not is_token(tenant):
        raise Unauthenticated(f"the token's claim {settings.tenant_claim} names no tenant")
    given = _claim(claims, settings.role_claim)
    values = given.split() if isinstance(given, str) else cast("list[object]", given) if isinstance(given, list) else []
    roles = [settings.roles[value] for value in values if isinstance(value, str) and value in settings.roles]
    role = max(roles, key=lambda role: role.rank, default=settings.default_role)
    if role is None:
        raise Unauthenticated(f"the token's claim {settings.role_claim} gives no role here")
    return Principal(name=name, tenant=TenantId(tenant), role=role, method=AuthMethod.OIDC)


def _claim(claims: Mapping[str, Any], path: str) -> object:
    """Return a claim by its name, or by a path with dots into nested ones."""
    if path in claims:
        return cast("object", claims[path])
    found: object = claims
    for part in path.split("."):
        if not isinstance(found, dict):
            return None
        found = cast("dict[str, object]", found).get(part)
    return found


def _fetch_keys(issuer: str) -> dict[str | None, jwt.PyJWK]:
    """Return the provider's keys by id; one without an id is for tokens without one. Blocks."""
    with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=FETCH_S)) as pool:
        found = _get(pool, issuer.rstrip("/") + "/.well-known/openid-configuration", _Discovery)
        if found.issuer != issuer:
            raise BadProvider(f"the provider has the issuer {found.issuer}, not {issuer}")
        if not is_safe_url(found.jwks_uri):
            raise BadProvider(f"the provider's keys are at {found.jwks_uri}, which is not https")
        listed = _get(pool, found.jwks_uri, _Keys).keys[:MAX_KEYS]
    keys: dict[str | None, jwt.PyJWK] = {}
    for jwk in listed:
        is_named = isinstance(jwk.get("kid"), str | None)
        if jwk.get("use", "sig") != "sig" or jwk.get("kty") not in KEY_TYPES.values() or not is_named:
            continue
        try:
            key = jwt.PyJWK(jwk)
        except jwt.PyJWTError as error:
            log.warning("oidc_key_left_out", kid=jwk.get("kid"), reason=str(error))
            continue
        keys[key.key_id] = key
    if not keys:
        raise BadProvider("none of the provider's keys can be used to check tokens")
    return keys


def _get(pool: urllib3.PoolManager, url: str, shape: type[T]) -> T:
    response = pool.request("GET", url, preload_content=False, redirect=False)
    try:
        if response.status != 200:
            raise BadProvider(f"{url} answered {response.status}")
        body = response.read(MAX_DOCUMENT_BYTES + 1)
    finally:
        response.close()
    if len(body) > MAX_DOCUMENT_BYTES:
        raise BadProvider(f"{url} has more than {MAX_DOCUMENT_BYTES:,} bytes")
    return msgspec.json.decode(body, type=shape)
