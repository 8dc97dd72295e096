"""An operator, an account and a user with separate keys: a NATS server that requests credentials."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import nkeys as _nkeys  # type: ignore[import-untyped]  # it ships no types
from msgspec import Struct

nkeys: Any = _nkeys

_UNBOUNDED = dict.fromkeys(
    ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams"), -1
)


class Operator(Struct, frozen=True):
    """A server's configuration, and the file that lets a client in."""

    config: str
    credentials: str

    def write(self, folder: Path) -> Path:
        """Write the `.creds` file."""
        path = folder / "penstock.creds"
        path.write_text(self.credentials)
        return path


class _Key:
    def __init__(self, prefix: int) -> None:
        self.seed: bytes = nkeys.encode_seed(os.urandom(32), prefix)
        self._pair: Any = nkeys.from_seed(bytearray(self.seed))
        self.name: str = self._pair.public_key.decode()

    def signed(self, subject: str, nats: dict[str, Any]) -> str:
        """Return a JWT about `subject`."""
        claims = {"jti": "1", "iat": 1, "iss": self.name, "name": "test", "sub": subject}
        parts = ({"typ": "JWT", "alg": "ed25519-nkey"}, claims | {"nats": nats | {"version": 2}})
        text = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
        return f"{text}.{_encoded(self._pair.sign(text.encode()))}"


def new_operator() -> Operator:
    """Return an operator with one account that has JetStream, and one user of it."""
    operator, account = _Key(nkeys.PREFIX_BYTE_OPERATOR), _Key(nkeys.PREFIX_BYTE_ACCOUNT)
    system, user = _Key(nkeys.PREFIX_BYTE_ACCOUNT), _Key(nkeys.PREFIX_BYTE_USER)
    limits = _UNBOUNDED | {"consumer": -1, "wildcards": True}
    accounts = {
        account.name: operator.signed(account.name, {"type": "account", "limits": limits}),
        system.name: operator.signed(
            system.name, {"type": "account", "limits": limits | {"mem_storage": 0, "disk_storage": 0}}
        ),
    }
    preloaded = "\n".join(f"  {name}: {jwt}" for name, jwt in accounts.items())
    config = (
        f"operator: {operator.signed(operator.name, {'type': 'operator'})}\nsystem_account: {system.name}\n"
        f"resolver: MEMORY\nresolver_preload {{\n{preloaded}\n}}\n"
    )
    permissions: dict[str, Any] = {"type": "user", "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}}
    blocks = {"NATS USER JWT": account.signed(user.name, permissions), "USER NKEY SEED": user.seed.decode()}
    credentials = "\n".join(
        f"-----BEGIN {name}-----\n{text}\n------END {name}------\n" for name, text in blocks.items()
    )
    return Operator(config, credentials)


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
