"""Tokens of an OpenID provider: a real discovery document and real signatures, served on loopback."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from msgspec.structs import replace
from tests.gateway.people import bearer
from tests.gateway.stage import Stage, problem, submission

from penstock_core.ports import Unavailable
from penstock_gateway.authentication.oidc import KEEP_S, LOOK_AGAIN_S, OpenIdProvider, principal_of
from penstock_gateway.authentication.provider import ProviderSettings
from penstock_gateway.problems import Unauthenticated
from penstock_schemas.access import AuthMethod, Principal, Role
from penstock_schemas.ids import DEFAULT_TENANT, TenantId

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NEXT_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, key_id: str, algorithm: str) -> dict[str, Any]:
    """Return the public half of a key as a provider publishes it."""
    shapes: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}
    shown: dict[str, Any] = json.loads(shapes[algorithm].to_jwk(key.public_key()))
    return {**{name: value for name, value in shown.items() if name != "key_ops"}, "kid": key_id, "alg": algorithm}


class Provider:
    """A provider on loopback."""

    def __init__(self) -> None:
        provider = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                documents: dict[str, Any] = {
                    "/.well-known/openid-configuration": {
                        "issuer": provider.calls_itself or provider.issuer,
                        "jwks_uri": provider.issuer + "/keys",
                        "authorization_endpoint": provider.issuer + "/login",
                        "id_token_signing_alg_values_supported": ["RS256"],
                    },
                    "/keys": {"keys": provider.keys},
                }
                body = json.dumps(documents.get(self.path)).encode()
                self.send_response(500 if provider.is_down else 200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name is the base class')
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.issuer = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.keys = [jwk(RSA, "one", "RS256"), jwk(EC, "two", "ES256"), jwk(ED, "three", "EdDSA")]
        self.calls_itself: str | None = None
        self.is_down = False
        self.asked = 0

    def token(self, key: Any = RSA, key_id: str | None = "one", algorithm: str | None = "RS256", **changes: Any) -> str:
        claims = {
            "iss": self.issuer,
            "aud": "penstock",
            "sub": "ada",
            "exp": time.time() + 300,
            "realm": {"roles": ["staff", "other"]},
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": key_id} if key_id else {})


@pytest.fixture
def provider() -> Generator[Provider, None, None]:
    provider = Provider()
    thread = threading.Thread(target=provider.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()
    thread.join(5)


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
    assert provider.asked == 2, "the keys are fetched once"


def forged(provider: Provider, public: bytes) -> str:
    """Return a token that is signed by HS256 with the provider's public key for the secret."""
    _, claims, _ = provider.token().split(".")
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one","typ":"JWT"}').decode().rstrip("=")
    signature = hmac.digest(public, f"{head}.{claims}".encode(), "sha256")
    return f"{head}.{claims}." + base64.urlsafe_b64encode(signature).decode().rstrip("=")


async def test_every_wrong_token_is_refused(provider: Provider) -> None:
    verifier = OpenIdProvider(settings(provider))
    public = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
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
        "public key as a secret": forged(provider, public),
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
    assert provider.asked == 2, "unknown keys are not looked for without end"
    time_s += LOOK_AGAIN_S
    assert await verifier.verify(fresh)
    with pytest.raises(Unauthenticated):
        await verifier.verify(provider.token())
    provider.is_down = True
    time_s += KEEP_S
    assert await verifier.verify(fresh), "known keys go on being used"
    with pytest.raises(Unavailable):
        await OpenIdProvider(settings(provider)).verify(fresh)


async def test_a_provider_that_calls_itself_otherwise_is_not_believed(provider: Provider) -> None:
    provider.calls_itself = "https://other.example"
    with pytest.raises(Unavailable):
        await OpenIdProvider(settings(provider)).verify(provider.token())


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


async def test_over_http(stage: Stage, provider: Provider) -> None:
    wanted = {
        "auth": (AuthMethod.OIDC,),
        "oidc_issuer": provider.issuer,
        "oidc_audience": ("penstock",),
        "oidc_default_role": Role.SUBMITTER,
    }
    async with stage.serve(**wanted) as client:
        made = await client.post("/jobs", json=submission(), headers=bearer(provider.token()))
        assert (made.status_code, made.json()["owner"]) == (201, "ada")
        refused = await client.get("/jobs", headers=bearer(provider.token(aud="other")))
        assert "audience" in problem(refused, 401)["detail"]
        assert refused.headers["www-authenticate"] == 'Bearer realm="penstock"'
