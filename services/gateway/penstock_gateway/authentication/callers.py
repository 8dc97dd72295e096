"""The sender of a request as its headers and its connection state it: address, site and credentials. Pure."""

import base64
import binascii
import ipaddress
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from penstock_domain.policy.tokens import PREFIX

_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""What nearly every local request names: these are not parsed."""
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_HEADER: Final = 16 * 1024
"""Characters. Longer credentials are not looked at."""


class Caller(Struct, frozen=True):
    """Where a request comes from."""

    address: str
    is_secure: bool
    """Whether it came over TLS, as far as we or a trusted proxy saw it."""


def caller_of(peer: str, scheme: str, headers: Mapping[str, str], trusted: Collection[str]) -> Caller:
    """Return the caller: the connection's other end, or whom that one names where it is a trusted proxy."""
    if peer not in trusted:
        return Caller(peer, scheme in ("https", "wss"))
    hops = [hop.strip() for hop in headers.get("x-forwarded-for", "").split(",") if hop.strip()]
    address = next((hop for hop in reversed(hops) if hop not in trusted), peer)
    return Caller(address[:64], headers.get("x-forwarded-proto", scheme).lower() in ("https", "wss"))


def network_of(address: str) -> str:
    """Return what counts as one caller: an IPv4 address, or the /64 that an IPv6 address is one of many of."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)


def is_loopback(host: str) -> bool:
    """Return whether a host, to listen on or in a request, is this machine alone."""
    name = host.strip("[]").lower()
    if name in _LOOPBACK_NAMES or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_name(host_header: str) -> str:
    """Return the name in a `Host` header, without its port."""
    try:
        return urlsplit(f"//{host_header}").hostname or ""
    except ValueError:
        return ""


def is_of_another_site(method: str, headers: Mapping[str, str], allowed: Collection[str]) -> bool:
    """Return whether a browser sends this from a page of another site, and it would change something here.

    Browsers add `Origin` to such requests by themselves, and pages cannot change it. Other clients do not send it.
    """
    origin = headers.get("origin")
    if method in _READS or origin is None or origin in allowed:
        return False
    try:
        return urlsplit(origin).netloc.lower() != headers.get("host", "").lower() or origin == "null"
    except ValueError:  # no address at all: no page of ours is there
        return True


class Password(Struct, frozen=True):
    """A name and a password."""

    name: str
    password: str


class ApiToken(Struct, frozen=True):
    """An API token."""

    secret: str
    is_ambient: bool = False
    """Whether a browser may have added it by itself, as it does with Basic."""


class SignedToken(Struct, frozen=True):
    """A JSON Web Token, not verified yet."""

    text: str


Credentials = Password | ApiToken | SignedToken


class Malformed(Exception):
    """The headers contain credentials of an unknown kind."""


def read_credentials(headers: Mapping[str, str]) -> Credentials | None:
    """Return the credentials in headers (names in lower case); `None` without any.

    Raises:
        Malformed: they are of an unknown kind.

    """
    authorization, key = headers.get("authorization"), headers.get("x-api-key")
    if len(authorization or key or "") > MAX_HEADER:
        raise Malformed("the credentials are too long")
    if authorization is None:
        return None if key is None else _bearer(key.strip())
    scheme, _, rest = authorization.strip().partition(" ")
    match scheme.lower():
        case "basic":
            return _basic(rest.strip())
        case "bearer":
            return _bearer(rest.strip())
        case _:
            raise Malformed("the scheme of the header Authorization is neither Basic nor Bearer")


def is_ambient(credentials: Credentials | None) -> bool:
    """Return whether a browser may have added these by itself, for a page of another site."""
    match credentials:
        case None | Password():
            return True
        case ApiToken():
            return credentials.is_ambient
        case SignedToken():
            return False


def _basic(text: str) -> Credentials:
    try:
        name, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise Malformed("the value after Basic is not the base64 of name:password") from None
    if not colon:
        raise Malformed("the value after Basic is not the base64 of name:password")
    return ApiToken(password, is_ambient=True) if password.startswith(PREFIX) else Password(name, password)


def _bearer(text: str) -> Credentials:
    if text.startswith(PREFIX):
        return ApiToken(text)
    if text.count(".") == 2:
        return SignedToken(text)
    raise Malformed(f"the credentials are neither an API token, which begins with {PREFIX}, nor a JSON Web Token")
