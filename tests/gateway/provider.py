"""An OpenID provider on loopback: a real discovery document, real keys, real signatures."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NEXT_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, key_id: str, algorithm: str) -> dict[str, Any]:
    """Return the public half of a key as a provider publishes it."""
    shapes: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}
    exported: dict[str, Any] = json.loads(shapes[algorithm].to_jwk(key.public_key()))
    return {**{name: value for name, value in exported.items() if name != "key_ops"}, "kid": key_id, "alg": algorithm}


class Provider:
    """A provider on loopback."""

    def __init__(self) -> None:
        provider = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.request_count += 1
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
        self.request_count = 0

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

    def forged(self, **changes: Any) -> str:
        """Return a token that is signed by HS256 with the public key for the secret."""
        public = RSA.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        _, claims, _ = self.token(**changes).split(".")
        head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one","typ":"JWT"}').decode().rstrip("=")
        signature = hmac.digest(public, f"{head}.{claims}".encode(), "sha256")
        return f"{head}.{claims}." + base64.urlsafe_b64encode(signature).decode().rstrip("=")


@contextmanager
def running_provider() -> Generator[Provider]:
    """Run one."""
    provider = Provider()
    thread = threading.Thread(target=provider.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.server.shutdown()
        provider.server.server_close()
        thread.join(5)
