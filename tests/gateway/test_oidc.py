"""Tokens of an OpenID provider: a real discovery document and real signatures, served on loopback."""

import time
from collections.abc import Generator

import pytest
from msgspec.structs import replace
from tests.gateway.gateway_harness import GatewayHarness, problem, submission
from tests.gateway.provider import EC, ED, NEXT_RSA, RSA, Provider, jwk, running_provider
from tests.gateway.user_fixtures import bearer

from penstock_gateway.authentication.oidc import LOOK_AGAIN_S, USE_S, OpenIdProvider, principal_of
from penstock_gateway.authentication.provider import ProviderSettings
from penstock_gateway.http.problems import ProviderAway, Unauthenticated
from penstock_schemas.access import AuthMethod, Principal, Role
from penstock_schemas.ids import DEFAULT_TENANT, TenantId


@pytest.fixture
def provider() -> Generator[Provider]:
    with running_provider() as provider:
        yield provider


def settings(provider: Provider) -> ProviderSettings:
    return ProviderSettings(
        issuer=provider.issuer,
        audience=("penstock",),
        tenant=DEFAULT_TENANT,
        role_claim="realm.roles",
        roles={"staff": Role.OPERATOR, "guests": Role.VIEWER},
    )


async def test_every_algorithm_that_is_taken(provider: Provider) -> None:
    verifier = OpenIdProvider(settings(provider))
    for key, key_id, algorithm in ((RSA, "one", "RS256"), (EC, "two", "ES256"), (ED, "three", "EdDSA")):
        found = await verifier.verify(provider.token(key, key_id, algorithm))
        assert found == Principal(name="ada", role=Role.OPERATOR, method=AuthMethod.OIDC)
    assert provider.request_count == 2, "the keys are fetched once"


async def test_every_wrong_token_is_refused(provider: Provider) -> None:
    verifier = OpenIdProvider(settings(provider))
    now = time.time()
    wrong = {
        "audience": provider.token(aud="other"),
        "no audience": provider.token(aud=None),
        "issuer": provider.token(iss="https://other.example"),
        "expired": provider.token(exp=now - 120),
        "no end": provider.token(exp=None),
        "not yet": provider.token(nbf=now + 120),
        "unknown key": provider.token(NEXT_RSA, "none"),
        "no key": provider.token(key_id=None),
        "signed by another": provider.token(NEXT_RSA, "one"),
        "key of another algorithm": provider.token(EC, "one", "ES256"),
        "none": provider.token(None, "one", "none"),
        "public key as a secret": provider.forged(),
        "cut": provider.token()[:-8],
        "nonsense": "a.b.c",
        "no name": provider.token(sub=None),
        "no role": provider.token(realm={"roles": ["nobody"]}),
    }
    for name, token in wrong.items():
        try:
            await verifier.verify(token)
        except Unauthenticated:
            continue
        pytest.fail(name)
    assert (await verifier.verify(provider.token(exp=now - 30, nbf=now + 30))).name == "ada", "clocks differ a little"


async def test_keys_may_rotate_and_the_provider_may_be_away(provider: Provider) -> None:
    time_s = 1000.0
    verifier = OpenIdProvider(settings(provider), clock=lambda: time_s)
    assert await verifier.verify(provider.token())
    provider.keys = [jwk(NEXT_RSA, "next", "RS256")]
    fresh = provider.token(NEXT_RSA, "next")
    with pytest.raises(Unauthenticated):
        await verifier.verify(fresh)
    assert provider.request_count == 2, "unknown keys are not looked for without end"
    time_s += LOOK_AGAIN_S
    assert await verifier.verify(fresh)
    with pytest.raises(Unauthenticated):
        await verifier.verify(provider.token())
    provider.is_down = True
    time_s += USE_S - 1
    assert await verifier.verify(fresh), "known keys go on being used"
    time_s += 1
    with pytest.raises(ProviderAway, match="500"):
        await verifier.verify(fresh)
    provider.is_down = False
    time_s += LOOK_AGAIN_S
    assert await verifier.verify(fresh)
    provider.is_down = True
    with pytest.raises(ProviderAway):
        await OpenIdProvider(settings(provider)).verify(fresh)


async def test_a_provider_that_calls_itself_otherwise_is_not_believed(provider: Provider) -> None:
    provider.calls_itself = "https://other.example"
    with pytest.raises(ProviderAway, match="the provider has the issuer"):
        await OpenIdProvider(settings(provider)).verify(provider.token())


async def test_keys_that_are_none_are_left_out(provider: Provider) -> None:
    good = provider.keys[0]
    provider.keys = [
        {},
        {"kty": "RSA"},
        {"kty": "RSA", "n": 5, "e": "AQAB", "kid": "one"},
        {**good, "kid": ["one"]},
        {**good, "use": "enc", "kid": "enc"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "alg": "HS256"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "two"},
        good,
    ]
    verifier = OpenIdProvider(settings(provider))
    assert await verifier.verify(provider.token())
    for key_id in ("enc", "two"):
        with pytest.raises(Unauthenticated):
            await verifier.verify(provider.token(key_id=key_id))


def test_claims_become_a_principal() -> None:
    base = ProviderSettings(
        issuer="https://i", audience=("a",), tenant=DEFAULT_TENANT, roles={"a": Role.ADMIN, "v": Role.VIEWER}
    )
    assert principal_of({"sub": "x", "roles": "v a"}, base).role is Role.ADMIN
    assert principal_of({"sub": "x"}, replace(base, default_role=Role.VIEWER)).role is Role.VIEWER
    tenanted = replace(base, tenant_claim="org.id", name_claim="email")
    found = principal_of({"email": "x@y", "roles": ["v"], "org": {"id": "lab"}}, tenanted)
    assert (found.name, found.tenant) == ("x@y", TenantId("lab"))
    for claims in ({"sub": "x"}, {"sub": 7, "roles": "a"}, {"sub": "a\nb", "roles": "a"}):
        with pytest.raises(Unauthenticated):
            principal_of(claims, base)
    with pytest.raises(Unauthenticated):
        principal_of({"email": "x", "roles": "a", "org": {"id": "a.b"}}, tenanted)


async def test_over_http(harness: GatewayHarness, provider: Provider) -> None:
    wanted = {
        "auth": (AuthMethod.OIDC,),
        "oidc_issuer": provider.issuer,
        "oidc_audience": ("penstock",),
        "oidc_default_role": Role.SUBMITTER,
    }
    async with harness.serve(**wanted) as client:
        made = await client.post("/jobs", json=submission(), headers=bearer(provider.token()))
        assert (made.status_code, made.json()["owner"]) == (201, "ada")
        refused = await client.get("/jobs", headers=bearer(provider.token(aud="other")))
        assert "audience" in problem(refused, 401)["detail"]
        assert refused.headers["www-authenticate"] == 'Bearer realm="penstock"'
