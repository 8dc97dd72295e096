"""The origin of a request: pure, from its headers and the peer of the connection."""

import ipaddress
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""What nearly every local request names: these are not parsed."""
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


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
